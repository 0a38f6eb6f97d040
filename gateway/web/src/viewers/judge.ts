/** Whose pictures are bad, and why. Pure. What was not measured is never good. */
import { parse } from "../lib/time";
import { type Point, type Reading, recentMs, slotKbps, slotOf, type Track } from "./track";
import type { LiveSession, LiveSlot } from "./types";

/** From `high` on a figure is called bad, from `worst` on nothing can be watched any more. */
export const limits = {
  queueMs: { high: 100, worst: 700 },
  loss: { high: 2, worst: 10 },
} as const;

/** The path's figures are those of one second: the worst of the last three polls counts. */
const pathMs = 5000;
/** A viewer that said nothing for so long is not measured. */
const silentMs = 15_000;
/** A connection that does not stand by then will hardly do so. */
const connectMs = 10_000;

/** What can be wrong, the worst first. */
export const troubles = ["still", "silent", "away", "freezes", "slow", "loss", "queue", "dark"] as const;
export type TroubleName = (typeof troubles)[number];

export interface Trouble {
  what: TroubleName;
  /** How many, how much; meaning by `what`. */
  n: number;
}

export type Grade = "bad" | "unmeasured" | "good";
export const grades: readonly Grade[] = ["bad", "unmeasured", "good"];

/** A slot that shows a camera, or is to. */
export interface Tile {
  slot: LiveSlot;
  /** Sent lately, without what was sent again. */
  kbps?: number;
  fps?: number;
  /** Freezes in the last seconds. */
  freezes?: number;
  /** There is a recent report of the viewer, and an earlier one to compare it with. */
  measured: boolean;
  /** Packets are sent and nothing becomes a picture. */
  still: boolean;
  /** Nothing is sent, for a reason that lies in viewer or gateway. */
  dark: boolean;
}

export interface Row {
  session: LiveSession;
  grade: Grade;
  troubles: readonly Trouble[];
  tiles: readonly Tile[];
  sounds: readonly LiveSlot[];
  path: Point;
  borneKbps?: number;
  rttMs?: number;
  points: readonly Point[];
}

/** Reasons for which a slot stays empty though its camera is well. */
const ours = new Set(["codec-not-offered", "unsupported-codec", "transcodes-busy", "too-many-sessions", "internal"]);

export function tileOf(track: Track, last: Reading, slot: LiveSlot): Tile {
  const kbps = slotKbps(track, slot);
  const v = slot.viewer;
  const tile: Tile = {
    slot,
    kbps,
    measured: false,
    still: false,
    dark: slot.reason !== undefined && ours.has(slot.reason) && !(kbps !== 0 && slot.profile),
  };
  if (!v || last.at - (parse(v.at) ?? 0) > silentMs) return tile;
  const told = track.recent.map((r) => slotOf(r, slot.slot)).filter((s) => s?.viewer !== undefined) as Told[];
  const earlier = told.filter((s) => s.viewer.at !== v.at);
  const began = parse(last.session.since) ?? 0;
  tile.measured = earlier.length > 0 || last.at - began <= recentMs; // totals of a new connection began at nothing
  if (!tile.measured) return tile;
  // A change of camera is no freeze: only what the slot showed all the time counts.
  const same = earlier.slice(earlier.findLastIndex((s) => s.camera !== slot.camera) + 1);
  tile.freezes = Math.max(0, v.freezes - (same[0]?.viewer.freezes ?? (earlier.length > 0 ? v.freezes : 0)));
  if (earlier.length > 0) tile.fps = v.fps;
  tile.still = stands(same, v.decoded);
  return tile;
}

type Told = LiveSlot & Required<Pick<LiveSlot, "viewer">>;

/** Packets were sent between the last two reports, and none of them became a picture. */
function stands(earlier: readonly Told[], decoded: number): boolean {
  const end = earlier.at(-1);
  const begin = earlier.find((s) => s.viewer.at === end?.viewer.at);
  return end !== undefined && begin !== undefined && end.viewer.decoded === decoded && end.bytes > begin.bytes;
}

const sum = (list: readonly number[]) => list.reduce((a, b) => a + b, 0);

function wrong(track: Track, last: Reading, tiles: readonly Tile[]): Trouble[] {
  const lately = track.points.filter((p) => p.at >= last.at - pathMs);
  const most = (of: (p: Point) => number | undefined) => Math.max(0, ...lately.map((p) => of(p) ?? 0));
  const sent = sum(tiles.map((t) => t.kbps ?? 0));
  const heard = track.points.some((p) => p.kbps !== undefined);
  const found: Record<TroubleName, number> = {
    still: tiles.filter((t) => t.still).length,
    silent: sent > 0 && heard && lately.length > 1 && lately.every((p) => p.kbps === undefined) ? 1 : 0,
    away: !last.session.connected && last.at - (parse(last.session.since) ?? last.at) > connectMs ? 1 : 0,
    freezes: sum(tiles.map((t) => t.freezes ?? 0)),
    slow: tiles.filter((t) => t.slot.reason === "link-slow").length,
    loss: most((p) => p.loss),
    queue: most((p) => p.queueMs),
    dark: tiles.filter((t) => t.dark).length,
  };
  if (found.loss <= limits.loss.high) found.loss = 0;
  if (found.queue <= limits.queueMs.high) found.queue = 0;
  return troubles.filter((what) => found[what] > 0).map((what) => ({ what, n: found[what] }));
}

const middle = (list: number[]): number | undefined => list.sort((a, b) => a - b)[list.length >> 1];

/** One viewer, judged. */
export function judge(track: Track): Row | undefined {
  const last = track.recent.at(-1);
  if (!last) return undefined;
  const { session } = last;
  const slots = session.slots ?? [];
  const shown = slots.filter((s) => s.camera);
  const tiles = shown.filter((s) => !s.audio).map((s) => tileOf(track, last, s));
  const path = track.points.at(-1) ?? { at: last.at };
  const found = wrong(track, last, tiles);
  const fed = tiles.filter((t) => t.kbps !== 0);
  const known = session.connected && path.kbps !== undefined && fed.length > 0 && fed.every((t) => t.measured);
  return {
    session,
    grade: found.length > 0 ? "bad" : known ? "good" : "unmeasured",
    troubles: found,
    tiles,
    sounds: shown.filter((s) => s.audio),
    path,
    borneKbps: session.path.estimated_kbps || undefined,
    rttMs: middle(shown.map((s) => s.rtt_ms).filter((ms) => ms > 0)),
    points: track.points,
  };
}

/** The worst first: by grade, by the worst trouble, by how many there are, then who came first. */
export function worstFirst(a: Row, b: Row): number {
  const rank = ({ troubles: [first] }: Row) => (first ? troubles.indexOf(first.what) : 0);
  return (
    grades.indexOf(a.grade) - grades.indexOf(b.grade) ||
    rank(a) - rank(b) ||
    b.troubles.length - a.troubles.length ||
    (parse(a.session.since) ?? 0) - (parse(b.session.since) ?? 0) ||
    a.session.id.localeCompare(b.session.id)
  );
}

/** How a figure stands against its limits, as a CSS class. */
export function level(
  value: number | undefined,
  limit: { high: number; worst: number },
): "none" | "fine" | "high" | "worst" {
  if (value === undefined) return "none";
  if (value >= limit.worst) return "worst";
  return value > limit.high ? "high" : "fine";
}
