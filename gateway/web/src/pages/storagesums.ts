import type { T } from "../i18n";

/** What GET /v1/storage tells, as far as it is shown. Sizes are bytes. */
export interface Storage {
  bytes: number;
  max_bytes?: number;
  free?: number;
  bytes_per_day: number;
  days_held?: number;
  measured: boolean;
  retention?: { kept: boolean; early_segments: number; needed_bytes: number; short_bytes: number };
}

export interface Standing {
  /** What there is room for in all; undefined: not known. */
  capacity?: number;
  /** How much of it is used, 0 to 1. */
  share?: number;
  /** No footage went before its retention was over, within the last hour. */
  kept: boolean;
  /** There is room for what the retention of all cameras takes. */
  fits: boolean;
}

/** How the archive stands: the bound, or what the disk still has. */
export function standing(s: Storage): Standing {
  const room = s.free === undefined ? undefined : s.bytes + s.free;
  const capacity = s.max_bytes ? Math.min(s.max_bytes, room ?? s.max_bytes) : room;
  return {
    capacity,
    share: capacity ? Math.min(1, s.bytes / capacity) : undefined,
    kept: s.retention?.kept ?? true,
    fits: (s.retention?.short_bytes ?? 0) === 0,
  };
}

/** Bytes in the units disks are sold in. */
export function bytesText(n: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let i = 0;
  for (; n >= 1000 && i < units.length - 1; i++) n /= 1000;
  return `${n < 10 && i > 0 ? n.toFixed(1) : Math.round(n)} ${units[i]}`;
}

/** A length of days, in hours or minutes where it is short. */
export function daysText(t: T, days: number): string {
  if (days >= 2) return t("storage.days", { n: days < 10 ? days.toFixed(1) : Math.round(days) });
  const hours = days * 24;
  if (hours >= 2) return t("storage.hours", { n: hours < 10 ? hours.toFixed(1) : Math.round(hours) });
  return t("storage.minutes", { n: Math.round(hours * 60) });
}
