import type { Camera, Unit } from "../api/types";
import { type Badge, unmeasured } from "../live/tile";

export interface Counts {
  total: number;
  live: number;
  unmeasured: number;
}

export interface UnitRow {
  kind: "unit";
  id: string;
  unit: Unit;
  depth: number;
  open: boolean;
  counts: Counts;
}

export interface CameraRow {
  kind: "camera";
  id: string;
  camera: Camera;
  depth: number;
}

export type Row = UnitRow | CameraRow;

export interface TreeInput {
  units: ReadonlyMap<string, Unit>;
  cameras: Iterable<Camera>;
  /** Units folded away. */
  closed: ReadonlySet<string>;
  /** Lower-case words that must all be in a camera's name, id or unit names; empty keeps all. */
  search: string;
  stateOf(camera: Camera): Badge;
}

/** The chain of units from the top down to `id`; ends early at an unknown parent or a loop. */
export function path(units: ReadonlyMap<string, Unit>, id: string): Unit[] {
  const out: Unit[] = [];
  const seen = new Set<string>();
  for (let u = units.get(id); u && !seen.has(u.id); u = u.parent ? units.get(u.parent) : undefined) {
    seen.add(u.id);
    out.unshift(u);
  }
  return out;
}

/** The unit and everything below it. */
export function subtree(units: ReadonlyMap<string, Unit>, id: string): Set<string> {
  const out = new Set<string>();
  for (const u of units.values()) if (path(units, u.id).some((p) => p.id === id)) out.add(u.id);
  return out;
}

export function matches(units: ReadonlyMap<string, Unit>, camera: Camera, search: string): boolean {
  if (search === "") return true;
  const names = path(units, camera.unit).map((u) => u.name);
  const text = [camera.name, camera.id, camera.grid ?? "", ...names].join(" ").toLowerCase();
  return search.split(/\s+/).every((word) => text.includes(word));
}

/** The tree as rows from top to bottom: units with their counts, cameras below their unit. Empty units are left out. */
export function rows(i: TreeInput): Row[] {
  const counts = new Map<string, Counts>();
  const own = new Map<string, Camera[]>();
  const loose: Camera[] = [];
  for (const camera of i.cameras) {
    if (!matches(i.units, camera, i.search)) continue;
    const chain = path(i.units, camera.unit);
    if (chain.length === 0) loose.push(camera);
    else own.set(camera.unit, [...(own.get(camera.unit) ?? []), camera]);
    const state = i.stateOf(camera);
    for (const unit of chain) {
      const c = counts.get(unit.id) ?? { total: 0, live: 0, unmeasured: 0 };
      c.total++;
      if (state === "live") c.live++;
      if (unmeasured.has(state)) c.unmeasured++;
      counts.set(unit.id, c);
    }
  }
  const children = new Map<string, Unit[]>();
  for (const u of i.units.values()) {
    const parent = u.parent && i.units.has(u.parent) ? u.parent : "";
    children.set(parent, [...(children.get(parent) ?? []), u]);
  }
  const out: Row[] = [];
  const walk = (unit: Unit, depth: number) => {
    const c = counts.get(unit.id);
    if (!c || depth > 8) return;
    const open = !i.closed.has(unit.id) || i.search !== "";
    out.push({ kind: "unit", id: unit.id, unit, depth, open, counts: c });
    if (!open) return;
    for (const camera of own.get(unit.id) ?? []) out.push({ kind: "camera", id: camera.id, camera, depth: depth + 1 });
    for (const child of children.get(unit.id) ?? []) walk(child, depth + 1);
  };
  for (const top of children.get("") ?? []) walk(top, 0);
  for (const camera of loose) out.push({ kind: "camera", id: camera.id, camera, depth: 0 });
  return out;
}
