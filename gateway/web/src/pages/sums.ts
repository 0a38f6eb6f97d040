/** The figures of the health page. Pure. What was not measured is never counted as good or bad. */
import type { Sight } from "../api/cameras";
import type { Camera, Profile, Unit } from "../api/types";
import { type Badge, badges, faulty, listed, unmeasured } from "../live/tile";
import { path } from "./tree";

export type RecordingWord = "active" | "losing" | "stalled" | "off" | "unknown";

export function recordingOf(camera: Camera, reachable: boolean): RecordingWord {
  const r = camera.recording;
  if (!r || !reachable) return "unknown";
  if (!r.wanted) return "off";
  if (!r.active) return "stalled";
  return r.loss ? "losing" : "active";
}

/** How many cameras lose footage, all of it or the oldest. */
export function recordingBad(sums: Sums): number {
  return (sums.recording.get("stalled") ?? 0) + (sums.recording.get("losing") ?? 0);
}

/** The profile whose figures stand for the camera: main where it is measured, else sub. */
export function lead(camera: Camera): Profile | undefined {
  const main = camera.profiles?.main;
  return main && (main.fps || main.codec) ? main : (camera.profiles?.sub ?? main ?? undefined);
}

export const clockLimitMs = 1000;

export interface Sums {
  total: number;
  measured: number;
  /** Cameras with a fault, see live/tile. */
  faulty: number;
  states: Map<Badge, number>;
  recording: Map<RecordingWord, number>;
  clockOff: number;
}

type Sights = ReadonlyMap<string, Sight>;

export function sum(cameras: Iterable<Camera>, reachable: boolean, sights?: Sights): Sums {
  const out: Sums = {
    total: 0,
    measured: 0,
    faulty: 0,
    states: new Map(badges.map((b) => [b, 0])),
    recording: new Map(),
    clockOff: 0,
  };
  for (const camera of cameras) {
    const state = listed(camera, reachable, sights);
    out.total++;
    if (faulty(state)) out.faulty++;
    if (!unmeasured.has(state)) out.measured++;
    out.states.set(state, (out.states.get(state) ?? 0) + 1);
    const recording = recordingOf(camera, reachable);
    out.recording.set(recording, (out.recording.get(recording) ?? 0) + 1);
    const offset = lead(camera)?.clock_offset_ms;
    if (offset !== undefined && Math.abs(offset) > clockLimitMs) out.clockOff++;
  }
  return out;
}

export interface UnitSum extends Sums {
  unit: Unit;
  depth: number;
}

/** The sums of every unit that has cameras at or below it, in tree order. */
export function perUnit(
  units: ReadonlyMap<string, Unit>,
  cameras: Iterable<Camera>,
  reachable: boolean,
  sights?: Sights,
): UnitSum[] {
  const below = new Map<string, Camera[]>();
  for (const camera of cameras) {
    for (const u of path(units, camera.unit)) {
      const list = below.get(u.id);
      if (list) list.push(camera);
      else below.set(u.id, [camera]);
    }
  }
  const chain = new Map([...units.keys()].map((id) => [id, path(units, id)]));
  const order = new Map([...units.keys()].map((id, i) => [id, i]));
  const key = (id: string) => (chain.get(id) ?? []).map((u) => order.get(u.id) ?? 0);
  const compare = (a: number[], b: number[]) => {
    for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) return (a[i] ?? 0) - (b[i] ?? 0);
    return a.length - b.length;
  };
  return [...below.entries()]
    .map(([id, list]) => ({
      unit: units.get(id) as Unit,
      depth: (chain.get(id)?.length ?? 1) - 1,
      ...sum(list, reachable, sights),
    }))
    .sort((a, b) => compare(key(a.unit.id), key(b.unit.id)));
}
