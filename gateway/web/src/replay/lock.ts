import { postJSON } from "../api/client";
import { fromInput, rfc3339 } from "../lib/time";
import type { Range } from "./bar";

export interface LockForm {
  reason: string;
  case: string;
  /** Day up to which it holds, yyyy-mm-dd in the viewer's zone. */
  until: string;
}

/** Why a lock cannot be asked for: a key of i18n `lock.*`. */
export function lockFault(f: LockForm, now: number): "needReason" | "badUntil" | undefined {
  if (f.reason.trim() === "") return "needReason";
  return endOfDay(f.until) > now ? undefined : "badUntil";
}

/** The last second of a day; NaN if it is none. */
export const endOfDay = (day: string) => fromInput(`${day}T23:59:59`);

/** The body of POST /v1/locks. */
export function lockBody(camera: string, r: Range, f: LockForm) {
  return {
    cameras: [camera],
    from: rfc3339(r.from),
    to: rfc3339(r.to),
    reason: f.reason.trim(),
    until: rfc3339(endOfDay(f.until)),
    case: f.case.trim(),
  };
}

/** Keeps footage from being deleted; throws ApiError. */
export async function lock(camera: string, r: Range, f: LockForm): Promise<void> {
  await postJSON("/v1/locks", lockBody(camera, r, f));
}
