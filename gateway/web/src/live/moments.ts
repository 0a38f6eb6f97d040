/** When the pictures of a slot were captured: the gateway ties RTP timestamps to moments, the browser names its frames by them. */
export interface Moment {
  rtp: number;
  /** Epoch ms, by the archive's clock. */
  at: number;
}

/** Pictures on the screen are younger than this many rules. */
const kept = 6;
const ticksPerMs = 90;

/** Signed distance of two RTP timestamps, which wrap at 32 bits. */
const ticks = (a: number, b: number) => (a - b) | 0;

export function addMoment(old: readonly Moment[] | undefined, m: Moment): readonly Moment[] {
  return [...(old ?? []), m].slice(-kept);
}

/** When the picture with an RTP timestamp was captured: by the newest rule not after it. Undefined where none is known. */
export function capturedAt(moments: readonly Moment[] | undefined, rtp: number | undefined): number | undefined {
  if (!moments || rtp === undefined) return undefined;
  const m = moments.findLast((x) => ticks(rtp, x.rtp) >= 0) ?? moments[0];
  return m && m.at + ticks(rtp, m.rtp) / ticksPerMs;
}
