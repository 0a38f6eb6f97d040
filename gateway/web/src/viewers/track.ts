/** What the page remembers of each viewer from poll to poll, by the gateway's clock. Pure. */
import type { LiveList, LiveSession, LiveSlot, LiveStream } from "./types";

/** How far back whole readings are kept: three of the reports that viewers give every five seconds. */
export const recentMs = 16_000;
/** How far back the path's figures are kept. */
export const trendMs = 120_000;
/** Rates are over about so long. */
const rateMs = 4500;

/** One reading of a path; what was not measured is absent. */
export interface Point {
  at: number;
  kbps?: number;
  loss?: number;
  queueMs?: number;
}

export interface Reading {
  at: number;
  session: LiveSession;
}

/** One viewer: the newest reading is the last of `recent`. */
export interface Track {
  recent: readonly Reading[];
  points: readonly Point[];
}

/** Rates of a stream need its last readings only. */
export type StreamTrack = readonly { at: number; stream: LiveStream }[];

export interface Tracks {
  /** The gateway's clock at the newest reading, epoch ms. */
  now: number;
  sessions: ReadonlyMap<string, Track>;
  streams: ReadonlyMap<string, StreamTrack>;
}

export const noTracks: Tracks = { now: 0, sessions: new Map(), streams: new Map() };

/** The gateway writes 0 where it heard nothing: without anything arriving there is no queue and no loss to speak of. */
export function pointOf(at: number, { path }: LiveSession): Point {
  if (path.kbps > 0) return { at, kbps: path.kbps, loss: path.loss_percent, queueMs: path.queue_ms };
  return path.loss_percent > 0 ? { at, loss: path.loss_percent } : { at };
}

export const streamKey = (s: LiveStream) => `${s.camera}/${s.profile}${s.variant ? `/${s.variant}` : ""}`;

const newer = <E extends { at: number }>(list: readonly E[] | undefined, than: number) =>
  (list ?? []).filter((e) => e.at >= than);

/** The tracks with one more answer of the gateway. Who left is forgotten; after a step back of its clock, all is. */
export function advance(known: Tracks, list: LiveList): Tracks {
  const now = Date.parse(list.now);
  const old = now > known.now ? known : noTracks;
  const sessions = new Map<string, Track>();
  for (const session of list.sessions) {
    const before = old.sessions.get(session.id);
    sessions.set(session.id, {
      recent: [...newer(before?.recent, now - recentMs), { at: now, session }],
      points: [...newer(before?.points, now - trendMs), pointOf(now, session)],
    });
  }
  const streams = new Map<string, StreamTrack>();
  for (const stream of list.streams) {
    const key = streamKey(stream);
    streams.set(key, [...newer(old.streams.get(key), now - rateMs), { at: now, stream }]);
  }
  return { now, sessions, streams };
}

/** kbit/s between two totals of bytes; undefined if time stood still or the total went back. */
export function kbpsBetween(from: { at: number; bytes: number } | undefined, to: { at: number; bytes: number }) {
  if (!from || to.at - from.at < 500 || to.bytes < from.bytes) return undefined;
  return ((to.bytes - from.bytes) * 8) / (to.at - from.at);
}

export const slotOf = (r: Reading, slot: number): LiveSlot | undefined => r.session.slots?.find((s) => s.slot === slot);

/** What was sent for a slot lately, kbit/s. */
export function slotKbps(track: Track, slot: LiveSlot): number | undefined {
  const last = track.recent.at(-1);
  if (!last) return undefined;
  const first = track.recent.find((r) => r.at >= last.at - rateMs && slotOf(r, slot.slot));
  const from = first && { at: first.at, bytes: slotOf(first, slot.slot)?.bytes ?? 0 };
  return kbpsBetween(from, { at: last.at, bytes: slot.bytes });
}
