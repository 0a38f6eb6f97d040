/** The last seconds of a camera as a clip, for walls whose gateway cannot go back by itself. Times are epoch ms. */
import { getJSON } from "../api/client";
import type { Coverage } from "../api/types";
import { rfc3339 } from "../lib/time";
import { type Footage, footage, newest, type Range } from "./bar";
import { clipURL } from "./retrieval";
import { askTimeline, type Stretch } from "./timeline";

export interface InstantClip extends Range {
  url: string;
  /** Which moments it shows. */
  spans: Stretch[];
}

/** Recording runs some seconds behind: footage older than this is no instant replay any more. */
export const oldestMs = 180_000;

/**
 * The range to play: `backS` seconds before now, or, where recording has not come so far, as many before its end.
 * Undefined if the newest footage is too old to be taken for what has just happened.
 */
export function instantRange(f: Footage, now: number, backS: number): Range | undefined {
  const r = newest(f, backS * 1000);
  if (!r || now - r.to > oldestMs) return undefined;
  const first = f.spans.filter((s) => s.to > r.from).reduce((min, s) => Math.min(min, s.from), r.to);
  return { from: Math.max(r.from, first), to: Math.min(r.to, now) };
}

/** Asks what there is and where to get it. Rejects with ApiError; undefined: nothing fresh enough is recorded. */
export async function instantClip(camera: string, now: number, backS: number, signal: AbortSignal) {
  const query = new URLSearchParams({ from: rfc3339(now - oldestMs - 60_000), to: rfc3339(now), camera });
  const known = footage(await getJSON<Coverage>(`/v1/coverage?${query}`, { signal, timeoutMs: 5000 }), camera);
  const range = instantRange(known, now, backS);
  if (!range) return undefined;
  const { spans } = await askTimeline(camera, range, undefined, { signal, timeoutMs: 5000 });
  if (spans.length === 0) return undefined;
  const clip: InstantClip = { ...range, url: clipURL(camera, range, "mp4"), spans };
  return clip;
}
