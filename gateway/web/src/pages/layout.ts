/** Which camera is on which tile. Pure: every change gives a new object. */
export const sizes = [1, 4, 9, 16, 25, 36] as const;
export type Size = (typeof sizes)[number];

const most = 36;

export interface Layout {
  size: Size;
  /** Always `most` long; tiles beyond `size` keep their camera for when the wall grows again. */
  tiles: readonly (string | null)[];
  /** Nobody chose anything yet: empty tiles fill themselves with live cameras. */
  auto: boolean;
}

export const initial: Layout = { size: 16, tiles: Array<string | null>(most).fill(null), auto: true };

export function valid(v: unknown): boolean {
  const l = v as Layout;
  return (
    typeof l === "object" &&
    l !== null &&
    (sizes as readonly number[]).includes(l.size) &&
    Array.isArray(l.tiles) &&
    l.tiles.length === most &&
    l.tiles.every((t) => t === null || typeof t === "string") &&
    typeof l.auto === "boolean"
  );
}

function put(tiles: readonly (string | null)[], changes: [number, string | null][]): (string | null)[] {
  const next = [...tiles];
  for (const [i, camera] of changes) if (i >= 0 && i < next.length) next[i] = camera;
  return next;
}

/** Puts a camera on a tile. If another visible tile shows it already, the two tiles change places. */
export function assign(l: Layout, tile: number, camera: string): Layout {
  const at = l.tiles.slice(0, l.size).indexOf(camera);
  if (at === tile) return l.auto ? { ...l, auto: false } : l;
  const changes: [number, string | null][] = [[tile, camera]];
  if (at >= 0) changes.push([at, l.tiles[tile] ?? null]);
  return { ...l, auto: false, tiles: put(l.tiles, changes) };
}

export function swap(l: Layout, a: number, b: number): Layout {
  const changes: [number, string | null][] = [
    [a, l.tiles[b] ?? null],
    [b, l.tiles[a] ?? null],
  ];
  return { ...l, auto: false, tiles: put(l.tiles, changes) };
}

export function clear(l: Layout, tile: number): Layout {
  return { ...l, auto: false, tiles: put(l.tiles, [[tile, null]]) };
}

export function resize(l: Layout, size: Size): Layout {
  return l.size === size ? l : { ...l, size };
}

/** Fills empty visible tiles with cameras that are on no visible tile, in order. */
export function fill(l: Layout, cameras: readonly string[]): Layout {
  const shown = new Set(l.tiles.slice(0, l.size));
  const free = cameras.filter((c) => !shown.has(c));
  const changes: [number, string | null][] = [];
  for (let i = 0; i < l.size && changes.length < free.length; i++) {
    if (l.tiles[i] === null) changes.push([i, free[changes.length] ?? null]);
  }
  return changes.length === 0 ? l : { ...l, tiles: put(l.tiles, changes) };
}

/** Where the next chosen camera goes: the target if empty or given, else the first empty tile, else round and round. */
export function nextTile(l: Layout, target: number | undefined): number {
  if (target !== undefined && target < l.size) return target;
  return Math.max(0, l.tiles.slice(0, l.size).indexOf(null));
}
