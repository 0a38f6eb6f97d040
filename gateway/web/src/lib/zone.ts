import { useSyncExternalStore } from "react";
import { remembered } from "./remember";

/** Beijing time is what the district works by; the others are for comparing with logs and for guests. */
export const zones = ["Asia/Shanghai", "UTC", "local"] as const;
export type ZoneChoice = (typeof zones)[number];

const saved = remembered<ZoneChoice>("skein.zone", "Asia/Shanghai", (v) => zones.includes(v as ZoneChoice));
let choice: ZoneChoice = saved.get();
const listeners = new Set<() => void>();

/** The zone times are shown in, as the Intl API names it. */
export function zone(): string {
  return choice === "local" ? new Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC" : choice;
}

export function setZone(next: ZoneChoice): void {
  choice = next;
  saved.set(next);
  for (const l of listeners) l();
}

const subscribe = (listener: () => void) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};

export const zoneChoice = () => choice;

/** The choice; the component renders again when it changes. */
export const useZone = (): ZoneChoice => useSyncExternalStore(subscribe, zoneChoice);

/** A short name to stand beside a time, so that nobody takes it for another zone's: UTC+8, UTC, UTC−3:30. */
export function zoneLabel(at: number, name = zone()): string {
  const parts = new Intl.DateTimeFormat("en-GB", { timeZone: name, timeZoneName: "shortOffset" }).formatToParts(at);
  const offset = parts.find((p) => p.type === "timeZoneName")?.value ?? name;
  return offset.replace("GMT", "UTC").replace("-", "−").replace(/\+0$/, "");
}
