import type { Sight } from "../api/cameras";
import type { Camera, State } from "../api/types";
import { parse } from "../lib/time";
import type { FrameReading } from "./frames";
import type { SlotView } from "./transport";

/** The one word on a tile. `unknown` and `empty` are the page's own. */
export type Badge = State | "unknown" | "empty";

export interface TileState {
  badge: Badge;
  /** Age of the picture, for live and delayed. */
  ageMs?: number;
  /** False: the picture is at least this old. */
  measured: boolean;
  /** When the picture stopped (if there is one) or the state began, epoch ms. */
  since?: number;
  /** A key of i18n `reason.*`. */
  reason?: string;
  detail?: string;
  /** There is a picture and it is not now: it is dimmed and stamped with `since`. */
  stale: boolean;
  /** Nothing of the picture may be seen (another camera's, or not for these eyes). */
  veil: boolean;
}

export interface TileInput {
  camera?: Camera;
  /** A camera is assigned to the tile, whether or not it is in the list. */
  assigned: boolean;
  loaded: boolean;
  view: SlotView;
  frames: FrameReading;
  now: number;
  reachable: boolean;
}

/** From this age on a picture is called delayed. */
export const delayedMs = 2000;
/** A tile without a new frame for so long is frozen, whatever the connection says. */
export const freezeMs = 2500;

/** Slow sources (below 1.2 fps) are given three frame intervals, at most 10 s. */
export function freezeAfter(fps: number | undefined): number {
  return fps && fps > 0 && fps < 1.2 ? Math.min(10_000, 3000 / fps) : freezeMs;
}

const bad = new Set<State>(["offline", "no_signal", "edge_silent", "frozen"]);

/**
 * Says how a tile is. Frames presented are the only proof of life: a state of the list or of the connection can make
 * a tile worse, never better. What is not known is `unknown`.
 */
export function deriveTile(i: TileInput): TileState {
  const base = { measured: false, stale: false, veil: false };
  if (!i.assigned) return { ...base, badge: "empty" };
  const { camera, view, frames, now } = i;
  if (!camera) return { ...base, badge: "unknown", reason: i.loaded ? "not_in_list" : undefined, veil: true };
  const began = parse(camera.since);
  if (camera.state === "paused" || camera.state === "not_permitted") {
    return { ...base, badge: camera.state, reason: camera.reason, since: began, veil: true };
  }
  if (view.phase === "refused" && view.reason === "not_permitted") {
    return { ...base, badge: "not_permitted", detail: view.detail, veil: true }; // the state says it all
  }
  const known = view.report?.fps || camera.profiles?.[view.profile ?? "sub"]?.fps;
  const failing = view.phase === "waiting" || view.phase === "refused"; // no connection: nothing can be moving
  if (frames.lastAt !== undefined) {
    const fresh = !failing && now - frames.lastAt <= freezeAfter(known);
    return fresh ? moving(i, frames.lastAt) : stopped(i, frames.lastAt);
  }
  if (!i.reachable) return { ...base, badge: "unknown", reason: "gateway_away", veil: true };
  if (bad.has(camera.state)) {
    return { ...base, badge: camera.state, reason: camera.reason, detail: camera.detail, since: began, veil: true };
  }
  if (view.report && bad.has(view.report.state)) {
    return { ...base, badge: view.report.state, reason: view.reason ?? view.report.reason, veil: true };
  }
  if (camera.state === "sound_only") {
    return { ...base, badge: "sound_only", reason: failing ? view.reason : "sound_only", since: began, veil: true };
  }
  const badge = failing ? "unknown" : "connecting";
  return { ...base, badge, reason: view.reason, detail: view.detail, veil: true };
}

/** Frames are coming. The age is the worst of what is known: the frames' own, the gateway's, the edge's. */
function moving({ camera, view, frames, now }: TileInput, lastAt: number): TileState {
  const upstream = view.report?.ageMs ?? camera?.profiles?.[view.profile ?? "sub"]?.delay_ms;
  const shown = frames.ageMs ?? 0;
  const ageMs =
    Math.max(frames.measured ? shown : shown + (upstream ?? 0), upstream ?? 0) + Math.max(0, now - lastAt - 250);
  const measured = frames.measured || view.report?.ageMs !== undefined;
  return { badge: ageMs >= delayedMs ? "delayed" : "live", ageMs, measured, stale: false, veil: false };
}

/** Frames came and stopped: whatever else is known, the picture is old and says since when. */
function stopped({ camera, view, reachable }: TileInput, lastAt: number): TileState {
  const base = { measured: false, since: lastAt, stale: true, veil: false };
  if (!reachable) return { ...base, badge: "frozen", reason: "gateway_away" };
  if (camera && bad.has(camera.state)) {
    return { ...base, badge: camera.state, reason: camera.reason || "no_frames", detail: camera.detail };
  }
  if (view.report && bad.has(view.report.state)) {
    return { ...base, badge: view.report.state, reason: view.reason ?? view.report.reason };
  }
  return { ...base, badge: "frozen", reason: view.reason ?? "no_frames", detail: view.detail };
}

/** How a camera is by the list alone, for trees and tables. A list that is no longer refreshed proves nothing. */
export function listed(camera: Camera, reachable: boolean, sights?: ReadonlyMap<string, Sight>): Badge {
  if (!reachable || camera.state === undefined) return "unknown";
  return sightOf(camera, sights)?.state ?? camera.state;
}

/** What a tile sees of the camera, where the list still says that all is well. */
export function sightOf(camera: Camera, sights: ReadonlyMap<string, Sight> | undefined): Sight | undefined {
  const well = camera.state === "live" || camera.state === "delayed" || camera.state === "connecting";
  return well ? sights?.get(camera.id) : undefined;
}

/** What of a tile the rest of the page has to know: a camera that is worse than the list says. */
export function sight(s: TileState): Sight | undefined {
  if (s.badge === "live" || s.badge === "connecting" || s.badge === "empty") return undefined;
  return { state: s.badge, reason: s.reason };
}

/** States nobody has measured: kept apart from good and bad in every count. */
export const unmeasured = new Set<Badge>(["unknown", "connecting"]);

/** States that are as they shall be. What is neither, nor unmeasured, is a fault. */
const sound = new Set<Badge>(["live", "paused", "not_permitted", "empty", "sound_only"]);

export const faulty = (state: Badge): boolean => !sound.has(state) && !unmeasured.has(state);

export const badges: readonly Badge[] = [
  "live",
  "delayed",
  "frozen",
  "sound_only",
  "no_signal",
  "offline",
  "edge_silent",
  "paused",
  "not_permitted",
  "connecting",
  "unknown",
];
