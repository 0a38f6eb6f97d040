import { type KeyboardEvent, type PointerEvent, useRef, useState, useSyncExternalStore } from "react";
import { causeText, gapText, useTexts } from "../i18n";
import { clock, length } from "../lib/time";
import { type Footage, pieces, type Range, ticks } from "./bar";
import type { Shown } from "./shown";

interface Props {
  footage: Footage;
  window: Range;
  selected?: Range;
  /** The picture being played. */
  shown: Shown;
  onJump(at: number): void;
  onSelect(r: Range): void;
}

/** The picture's time to a quarter of a second: finer does not show on a bar. */
const usePlaying = (s: Shown) =>
  useSyncExternalStore(s.subscribe, () => {
    const at = s.get();
    return at === undefined ? undefined : Math.floor(at / 250) * 250;
  });

const percent = (v: number) => `${(v * 100).toFixed(3)}%`;

/** Time from left to right: recorded, missing with its cause in a colour, and nothing where nothing is known. */
export function CoverageBar({ footage, window: w, selected, shown, onJump, onSelect }: Props) {
  const { t } = useTexts();
  const bar = useRef<HTMLDivElement>(null);
  const playing = usePlaying(shown);
  const [drag, setDrag] = useState<{ a: number; b: number }>();
  const share = (at: number) => Math.max(0, Math.min(1, (at - w.from) / (w.to - w.from)));
  const timeAt = (x: number) => {
    const box = bar.current?.getBoundingClientRect();
    if (!box || box.width === 0) return w.from;
    return w.from + Math.max(0, Math.min(1, (x - box.left) / box.width)) * (w.to - w.from);
  };
  const down = (e: PointerEvent) => {
    e.currentTarget.setPointerCapture(e.pointerId);
    const at = timeAt(e.clientX);
    setDrag({ a: at, b: at });
  };
  const move = (e: PointerEvent) => drag && setDrag({ a: drag.a, b: timeAt(e.clientX) });
  const up = () => {
    if (!drag) return;
    const [from, to] = [Math.min(drag.a, drag.b), Math.max(drag.a, drag.b)];
    setDrag(undefined);
    if ((to - from) / (w.to - w.from) < 0.01) onJump(from);
    else onSelect({ from, to });
  };
  const keys = (e: KeyboardEvent) => {
    const step = e.shiftKey ? 60_000 : 10_000;
    const at = playing ?? selected?.from ?? w.from;
    if (e.key === "ArrowLeft") onJump(at - step);
    else if (e.key === "ArrowRight") onJump(at + step);
    else return;
    e.preventDefault();
  };
  const drawn = pieces(footage, w);
  const mark = drag ? { from: Math.min(drag.a, drag.b), to: Math.max(drag.a, drag.b) } : selected;
  return (
    <div className="coverage">
      <div
        ref={bar}
        className="bar"
        role="slider"
        tabIndex={0}
        aria-label={t("replay.coverage")}
        aria-valuemin={w.from}
        aria-valuemax={w.to}
        aria-valuenow={Math.round(playing ?? selected?.from ?? w.from)}
        aria-valuetext={clock(playing ?? selected?.from ?? w.from)}
        title={t("replay.zoomHint")}
        onPointerDown={down}
        onPointerMove={move}
        onPointerUp={up}
        onPointerCancel={() => setDrag(undefined)}
        onKeyDown={keys}
        data-testid="coverage-bar"
      >
        {drawn.map((p) => (
          <i
            key={`${p.from}-${p.cause ?? ""}`}
            className={p.cause ? `gap c-${p.cause}` : "span"}
            style={{ left: percent(p.left), width: `max(1px, ${percent(p.width)})` }}
            title={`${p.cause ? gapText(t, p.cause) : t("replay.recorded")} ${clock(p.from)}–${clock(p.to)} (${length(p.to - p.from)})`}
          />
        ))}
        {mark && (
          <em
            style={{ left: percent(share(mark.from)), width: percent(share(mark.to) - share(mark.from)) }}
            aria-hidden="true"
          />
        )}
        {playing !== undefined && <u style={{ left: percent(share(playing)) }} aria-hidden="true" />}
      </div>
      <div className="scale" aria-hidden="true">
        {ticks(w).map((at) => (
          <span key={at} style={{ left: percent(share(at)) }}>
            {clock(at).slice(0, w.to - w.from < 600_000 ? 8 : 5)}
          </span>
        ))}
      </div>
      <ul className="legend">
        <li>
          <i className="span" />
          {t("replay.recorded")}
        </li>
        {[...new Set(drawn.flatMap((p) => p.cause ?? []))].map((cause) => (
          <li key={cause}>
            <i className={`gap c-${cause}`} />
            {causeText(t, cause)}
          </li>
        ))}
      </ul>
    </div>
  );
}
