/** The streams being relayed, as rows. Pure. */
import { kbpsBetween, type StreamTrack, type Tracks } from "./track";
import type { LiveStream } from "./types";

export interface StreamRow {
  key: string;
  stream: LiveStream;
  /** Sent to all viewers together. */
  kbps?: number;
  /** Part of the packets that was sent again, %. */
  again?: number;
  /** Mean time to the first picture. */
  firstMs?: number;
  drops: readonly [reason: string, n: number][];
}

function rowOf(key: string, track: StreamTrack): StreamRow | undefined {
  const last = track.at(-1);
  if (!last) return undefined;
  const { stream } = last;
  const first = track[0] && { at: track[0].at, bytes: track[0].stream.bytes };
  return {
    key,
    stream,
    kbps: kbpsBetween(first, { at: last.at, bytes: stream.bytes }),
    again: stream.packets > 0 ? (stream.resent / stream.packets) * 100 : undefined,
    firstMs: stream.first_frame_ms || undefined,
    drops: Object.entries(stream.drops ?? {}).sort((a, b) => b[1] - a[1]),
  };
}

/** Rows by what was sent again, the most first. */
export function streamRows(tracks: Tracks): StreamRow[] {
  return [...tracks.streams]
    .map(([key, track]) => rowOf(key, track))
    .filter((r): r is StreamRow => r !== undefined)
    .sort(
      (a, b) => (b.again ?? 0) - (a.again ?? 0) || b.stream.viewers - a.stream.viewers || a.key.localeCompare(b.key),
    );
}
