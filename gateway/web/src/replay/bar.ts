/** The arithmetic of the coverage bar. Times are epoch ms. */
import type { Coverage } from "../api/types";
import { parse } from "../lib/time";

export interface Range {
  from: number;
  to: number;
}

export interface Hole extends Range {
  cause: string;
}

export interface Footage {
  spans: Range[];
  gaps: Hole[];
}

/** One camera's coverage, without malformed entries, in order. */
export function footage(c: Coverage, camera: string): Footage {
  const own = c.cameras?.find((x) => x.camera === camera);
  const range = (s: { from: string; to: string }): Range => ({ from: parse(s.from) ?? 0, to: parse(s.to) ?? 0 });
  const whole = (r: Range) => r.from > 0 && r.to > r.from;
  const order = (a: Range, b: Range) => a.from - b.from;
  return {
    spans: (own?.spans ?? []).map(range).filter(whole).sort(order),
    gaps: (own?.gaps ?? [])
      .map((g) => ({ ...range(g), cause: g.cause || "unknown" }))
      .filter(whole)
      .sort(order),
  };
}

export interface Piece {
  /** Share of the bar, 0 to 1. */
  left: number;
  width: number;
  /** Absent: recorded. */
  cause?: string;
  from: number;
  to: number;
}

/** Pieces of the bar inside a window, clipped to it. What is in neither list stays empty: nothing is known there. */
export function pieces(f: Footage, w: Range): Piece[] {
  const all = w.to - w.from;
  if (all <= 0) return [];
  const place = (r: Range, cause?: string): Piece[] => {
    const from = Math.max(r.from, w.from);
    const to = Math.min(r.to, w.to);
    return to > from ? [{ left: (from - w.from) / all, width: (to - from) / all, cause, from, to }] : [];
  };
  return [...f.spans.flatMap((s) => place(s)), ...f.gaps.flatMap((g) => place(g, g.cause))];
}

/** The newest `ms` of footage: the range ends where recording ends, not now. Undefined without footage. */
export function newest(f: Footage, ms: number): Range | undefined {
  const to = f.spans.reduce((end, s) => Math.max(end, s.to), 0);
  return to > 0 ? { from: to - ms, to } : undefined;
}

/** Round times inside a window for its scale, at most `n` of them, first and last kept clear of the edges. */
export function ticks(w: Range, n = 6): number[] {
  const steps = [10, 30, 60, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600].map((s) => s * 1000);
  const step = steps.find((s) => (w.to - w.from) / s <= n) ?? 43_200_000;
  const out: number[] = [];
  for (let t = Math.ceil(w.from / step) * step; t < w.to; t += step) out.push(t);
  return out;
}
