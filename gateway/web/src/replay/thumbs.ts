import type { Footage, Range } from "./bar";

export interface Cell {
  at: number;
  /** Middle of the picture as a share of the window. */
  share: number;
}

/**
 * The moments of a window worth a picture: `n` of them, evenly apart at round times, so that they stay the same while
 * the window moves on; those without footage are left out.
 */
export function cells(f: Footage, w: Range, n: number): Cell[] {
  const step = (w.to - w.from) / n;
  if (!(step > 0)) return [];
  const out: Cell[] = [];
  for (let at = Math.ceil((w.from + step / 2) / step) * step; at <= w.to - step / 2; at += step) {
    const when = Math.round(at);
    if (f.spans.some((s) => s.from <= when && when < s.to))
      out.push({ at: when, share: (at - w.from) / (w.to - w.from) });
  }
  return out;
}
