/** Which camera is on which tile. Pure: every change gives a new object. */
export const sizes = [1, 4, 9, 16, 25, 36, 64] as const;
export type Size = (typeof sizes)[number];

const most = 64;

/** Cameras shown in turn. */
export interface Tour {
  name: string;
  cameras: readonly string[];
  /** Seconds each is shown. */
  dwell: number;
}

export const dwells = { least: 3, usual: 10, most: 600 } as const;
/** More would not fit one message to the gateway, and nobody waits that long. */
export const mostStops = 120;

export interface Layout {
  size: Size;
  /** At least `size` long; tiles beyond it keep their camera for when the wall grows again. */
  tiles: readonly (string | null)[];
  /** Nobody chose anything yet: empty tiles fill themselves with live cameras. */
  auto: boolean;
  /** Tiles that run a tour, by their number; `tiles` has its first camera. */
  tours?: Readonly<Record<string, Tour>>;
  /** The whole wall turns its pages through these cameras; `tiles` waits underneath. */
  paging?: Tour;
}

export const initial: Layout = { size: 16, tiles: Array<string | null>(most).fill(null), auto: true };

const word = (v: unknown) => typeof v === "string" && v.length > 0 && v.length <= 128;

function validTour(v: unknown): boolean {
  const t = v as Tour;
  return (
    typeof t === "object" &&
    t !== null &&
    typeof t.name === "string" &&
    t.name.length <= 128 &&
    Array.isArray(t.cameras) &&
    t.cameras.length > 0 &&
    t.cameras.length <= 5000 &&
    t.cameras.every(word) &&
    typeof t.dwell === "number" &&
    t.dwell >= dwells.least &&
    t.dwell <= dwells.most
  );
}

const validTours = (v: unknown) =>
  typeof v === "object" &&
  v !== null &&
  Object.entries(v).every(([i, t]) => /^\d{1,2}$/.test(i) && Number(i) < most && validTour(t));

export function valid(v: unknown): boolean {
  const l = v as Layout;
  return (
    typeof l === "object" &&
    l !== null &&
    (sizes as readonly number[]).includes(l.size) &&
    Array.isArray(l.tiles) &&
    l.tiles.length >= l.size && // those kept before there were 64 are shorter
    l.tiles.length <= most &&
    l.tiles.every((t) => t === null || word(t)) &&
    typeof l.auto === "boolean" &&
    (l.tours === undefined || validTours(l.tours)) &&
    (l.paging === undefined || validTour(l.paging))
  );
}

function put(tiles: readonly (string | null)[], changes: [number, string | null][]): (string | null)[] {
  const next = Array.from({ length: most }, (_, i) => tiles[i] ?? null);
  for (const [i, camera] of changes) if (i >= 0 && i < next.length) next[i] = camera;
  return next;
}

/** The tours with some tiles' changed; undefined if none is left. */
function retour(l: Layout, changes: [number, Tour | undefined][]): Layout["tours"] {
  const next: Record<string, Tour> = { ...l.tours };
  for (const [i, tour] of changes) {
    if (tour) next[i] = tour;
    else delete next[i];
  }
  return Object.keys(next).length > 0 ? next : undefined;
}

/** Puts a camera on a tile. If another visible tile shows it already, the two tiles change places. */
export function assign(l: Layout, tile: number, camera: string): Layout {
  const at = l.tiles.slice(0, l.size).findIndex((c, i) => c === camera && !l.tours?.[i]);
  if (at === tile) return l.auto ? { ...l, auto: false } : l;
  const changes: [number, string | null][] = [[tile, camera]];
  const tours: [number, Tour | undefined][] = [[tile, undefined]];
  if (at >= 0) {
    changes.push([at, l.tiles[tile] ?? null]);
    tours.push([at, l.tours?.[tile]]);
  }
  return { ...l, auto: false, tiles: put(l.tiles, changes), tours: retour(l, tours) };
}

/** The tile runs a tour. */
export function tourOn(l: Layout, tile: number, tour: Tour): Layout {
  const tiles = put(l.tiles, [[tile, tour.cameras[0] ?? null]]);
  return { ...l, auto: false, tiles, tours: retour(l, [[tile, tour]]) };
}

/** The whole wall runs a tour, or shows its own tiles again. */
export function page(l: Layout, tour: Tour | undefined): Layout {
  return { ...l, paging: tour };
}

export function swap(l: Layout, a: number, b: number): Layout {
  const changes: [number, string | null][] = [
    [a, l.tiles[b] ?? null],
    [b, l.tiles[a] ?? null],
  ];
  const tours = retour(l, [
    [a, l.tours?.[b]],
    [b, l.tours?.[a]],
  ]);
  return { ...l, auto: false, tiles: put(l.tiles, changes), tours };
}

export function clear(l: Layout, tile: number): Layout {
  return { ...l, auto: false, tiles: put(l.tiles, [[tile, null]]), tours: retour(l, [[tile, undefined]]) };
}

export function resize(l: Layout, size: Size): Layout {
  return l.size === size ? l : { ...l, size, tiles: put(l.tiles, []) };
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

/**
 * Where the next chosen camera goes: the target if one is given, else the first empty tile, else the one after `last`
 * (where the camera before went), round and round.
 */
export function nextTile(l: Layout, target: number | undefined, last?: number): number {
  if (target !== undefined && target < l.size) return target;
  const empty = l.tiles.slice(0, l.size).indexOf(null);
  if (empty >= 0) return empty;
  return last === undefined ? 0 : (last + 1) % l.size;
}

/** The pages of a tour of the whole wall: those with a picture, and apart from them who was left out. */
export function pages(tour: Tour, size: number, dead: (camera: string) => boolean) {
  const skipped = tour.cameras.filter(dead);
  const alive = tour.cameras.filter((c) => !dead(c));
  const out: string[][] = [];
  for (let i = 0; i < alive.length; i += size) out.push(alive.slice(i, i + size));
  return { pages: out, skipped };
}
