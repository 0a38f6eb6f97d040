/** The shapes of a small picture of a path's last two minutes. Pure. */
import { level, limits } from "./judge";
import { type Point, trendMs } from "./track";

export interface Stroke {
  /** Of an SVG path: what arrived, higher is more. */
  d: string;
  level: ReturnType<typeof level>;
}

export interface Column {
  x: number;
  height: number;
  level: ReturnType<typeof level>;
}

export interface Trend {
  /** Coloured by loss; broken where nothing was measured. */
  strokes: readonly Stroke[];
  /** Queues, coloured by their length; the root of it, so that 100 ms can be seen beside 700. */
  columns: readonly Column[];
  /** kbit/s at the top. */
  most: number;
}

/** Points further apart do not belong together: the page was hidden, or the gateway away. */
const gapMs = 5000;

/** `width` is two minutes up to `now`; what arrives takes the upper `top`, queues the lower `bottom`. */
export function trend(points: readonly Point[], now: number, width: number, top: number, bottom: number): Trend {
  const most = Math.max(1, ...points.map((p) => p.kbps ?? 0));
  const x = (p: Point) => Math.round(((p.at - now) / trendMs + 1) * width * 10) / 10;
  const y = (kbps: number) => Math.round((top - (kbps / most) * (top - 2) - 1) * 10) / 10;
  const strokes: Stroke[] = [];
  const columns: Column[] = [];
  points.forEach((p, i) => {
    if (p.kbps === undefined) return;
    const before = points[i - 1];
    if (before?.kbps !== undefined && p.at - before.at <= gapMs) {
      const colour = level(p.loss, limits.loss);
      const d = `M${x(before)} ${y(before.kbps)}L${x(p)} ${y(p.kbps)}`;
      const last = strokes.at(-1);
      const goesOn = last?.level === colour && last.d.endsWith(`${x(before)} ${y(before.kbps)}`);
      if (last && goesOn) last.d += d.slice(d.indexOf("L"));
      else strokes.push({ d, level: colour });
    }
    if (p.queueMs === undefined) return;
    const part = Math.min(1, Math.sqrt(p.queueMs / limits.queueMs.worst));
    columns.push({
      x: x(p),
      height: Math.round(Math.max(1, part * bottom) * 10) / 10,
      level: level(p.queueMs, limits.queueMs),
    });
  });
  return { strokes, columns, most };
}
