/**
 * Which moment each picture of a film is of. The server tells it: an MP4 by its timeline, HLS by the dates in its
 * playlist. Both become stretches, and nothing here guesses from lengths. Times are epoch ms, positions seconds.
 */
import { getJSON, type RequestOptions } from "../api/client";
import type { Coverage } from "../api/types";
import { parse, rfc3339 } from "../lib/time";
import { footage, type Hole, type Range } from "./bar";
import { clipURL } from "./retrieval";

/** A stretch in which picture follows picture, and the position in the film at which it begins. */
export interface Stretch extends Range {
  at: number;
}

export interface Timeline extends Range {
  spans: Stretch[];
  /** All else of the range, with its cause. */
  gaps: Hole[];
}

/** The answer of GET /v1/clips/{camera}.json. */
export interface TimelineBody {
  from: string;
  to: string;
  spans: { from: string; to: string; at_s: number }[];
  gaps: { from: string; to: string; cause: string }[];
}

export function readTimeline(b: TimelineBody): Timeline {
  const range = (r: { from: string; to: string }): Range => ({ from: parse(r.from) ?? 0, to: parse(r.to) ?? 0 });
  return {
    ...range(b),
    spans: b.spans.map((s) => ({ ...range(s), at: s.at_s })),
    gaps: b.gaps.map((g) => ({ ...range(g), cause: g.cause || "unknown" })),
  };
}

/** Asks for the timeline of a clip. Rejects with ApiError; of kind "retrieval" where a reason must be registered. */
export async function askTimeline(
  camera: string,
  r: Range,
  retrieval: string | undefined,
  o: RequestOptions,
): Promise<Timeline> {
  return readTimeline(await getJSON<TimelineBody>(clipURL(camera, r, "json", retrieval), o));
}

/** A fragment of a playlist as a player has placed it: positions and lengths in seconds, dates in epoch ms. */
interface Fragment {
  start: number;
  duration: number;
  programDateTime: number | null;
}

/** The stretches of a playlist: one for each of its parts. */
export function stretchesOf(fragments: readonly Fragment[]): Stretch[] {
  return fragments.flatMap(({ start, duration, programDateTime: from }) =>
    from === null ? [] : [{ at: start, from, to: from + duration * 1000 }],
  );
}

/** Media times are rounded by demuxers. */
const rounding = 0.002;

/** The stretch that a position is in, or that the picture standing there belongs to. */
function stretchAt(spans: readonly Stretch[], position: number): Stretch | undefined {
  return spans.findLast((s) => s.at <= position + rounding) ?? spans[0];
}

/** When the picture at a media time was captured. In a gap: when the one was that stands still. */
export function pictureAt(spans: readonly Stretch[], media: number): number | undefined {
  const s = stretchAt(spans, media);
  return s && Math.min(s.to, s.from + (media - s.at) * 1000);
}

/** Where the film shows a moment, or what was recorded next after it; at its end if nothing was. */
export function positionOf(spans: readonly Stretch[], wall: number): number {
  const s = spans.find((x) => wall < x.to) ?? spans.at(-1);
  if (!s) return 0;
  return s.at + Math.max(0, Math.min(wall, s.to) - s.from) / 1000;
}

/** Shorter gaps are not worth a word: they are over before it is read. */
const worthMs = 500;

/** The gap in which the film stands still at a position. */
export function gapAt(t: Timeline, position: number): Hole | undefined {
  const s = stretchAt(t.spans, position);
  const next = s && t.spans[t.spans.indexOf(s) + 1];
  if (!s || !next || next.from - s.to < worthMs) return undefined;
  const wall = s.from + (position - s.at) * 1000;
  if (wall < s.to) return undefined;
  return between(t, s.to, next.from).find((g) => wall < g.to);
}

/** The gaps between two moments, or one without a known cause. */
export function between(t: Timeline, from: number, to: number): Hole[] {
  if (to - from < worthMs) return [];
  const known = t.gaps.filter((g) => g.from < to && g.to > from);
  return known.length > 0 ? known : [{ from, to, cause: "unknown" }];
}

/** What is missing before the first picture and after the last. */
export const before = (t: Timeline) => between(t, t.from, t.spans[0]?.from ?? t.to);
export const after = (t: Timeline) => (t.spans.length > 0 ? between(t, t.spans.at(-1)?.to ?? t.from, t.to) : []);

/** The share of the range of which there are pictures, in percent. */
export function share(t: Timeline): number {
  const have = t.spans.reduce((sum, s) => sum + Math.min(s.to, t.to) - Math.max(s.from, t.from), 0);
  return Math.max(0, Math.min(100, (have / (t.to - t.from)) * 100));
}

/** How far ahead the next footage is looked for. */
const lookAheadMs = 24 * 3_600_000;

/** What was recorded of a camera within a range. Rejects with ApiError. */
export async function recordedIn(camera: string, r: Range, signal: AbortSignal) {
  const query = new URLSearchParams({ from: rfc3339(r.from), to: rfc3339(r.to), camera });
  return footage(await getJSON<Coverage>(`/v1/coverage?${query}`, { signal }), camera);
}

/** The first stretch recorded after a moment; undefined if there is none within a day. Rejects with ApiError. */
export async function nextFootage(camera: string, at: number, signal: AbortSignal): Promise<Range | undefined> {
  const found = await recordedIn(camera, { from: at, to: at + lookAheadMs }, signal);
  return found.spans.find((s) => s.to - s.from >= worthMs);
}
