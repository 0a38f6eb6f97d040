import { type T, useTexts } from "../i18n";
import { level } from "./judge";
import type { Point } from "./track";
import { trend } from "./trend";

/** The word for what nobody measured: neither good nor bad. */
export function Unmeasured({ t }: { t: T }) {
  return (
    <span className="faint" title={t("health.notMeasured")}>
      {t("viewers.none")}
    </span>
  );
}

/** A figure, or that there is none. */
export function Figure({ value, digits = 0, limit }: { value?: number; digits?: number; limit?: Limit }) {
  const { t } = useTexts();
  if (value === undefined) return <Unmeasured t={t} />;
  return <span className={limit ? `lv-${level(value, limit)}` : ""}>{value.toFixed(digits)}</span>;
}

type Limit = { high: number; worst: number };

const width = 150;
const top = 20;
const bottom = 12;

/** What arrived and how long it queued, the last two minutes. */
export function Trend({ points, now, t }: { points: readonly Point[]; now: number; t: T }) {
  const { strokes, columns, most } = trend(points, now, width, top, bottom);
  const last = points.at(-1);
  if (columns.length === 0) return <Unmeasured t={t} />;
  const label = t("viewers.trendOf", { most: Math.round(most), queue: Math.round(last?.queueMs ?? 0) });
  return (
    <svg className="trend" width={width} height={top + bottom} role="img" aria-label={label}>
      <title>{label}</title>
      {columns.map((c) => (
        <rect
          key={c.x}
          className={`lv-${c.level}`}
          x={c.x - 2}
          y={top + bottom - c.height}
          width={2}
          height={c.height}
        />
      ))}
      {strokes.map((s) => (
        <path key={s.d} className={`lv-${s.level}`} d={s.d} />
      ))}
    </svg>
  );
}
