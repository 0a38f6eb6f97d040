import { gapText, useTexts } from "../i18n";
import { clock } from "../lib/time";
import type { Hole } from "./bar";

/**
 * What is missing where the film is. still: the picture stands until the next one · end: nothing follows in this range ·
 * none: nothing was recorded in it · before: nothing was recorded before the first picture · cut: a gap was passed over.
 */
export interface Missing {
  kind: "still" | "end" | "none" | "before" | "cut";
  gaps: readonly Hole[];
}

export const sameMissing = (a: Missing | undefined, b: Missing | undefined) =>
  a?.kind === b?.kind && a?.gaps.length === b?.gaps.length && a?.gaps[0]?.from === b?.gaps[0]?.from;

/** More causes than these are not read. */
const most = 3;

interface Props {
  missing: Missing;
  /** Goes to the next footage; absent if there is none, or none is known. */
  onNext?(): void;
}

/** Names a gap over the picture: its causes, from when to when, and the way on. */
export function GapNote({ missing: { kind, gaps }, onNext }: Props) {
  const { t } = useTexts();
  const strip = kind === "before" || kind === "cut";
  return (
    <div className={`player-note gap ${strip ? "strip" : kind}`} role="status" data-testid="replay-gap" data-kind={kind}>
      <div>
        {kind === "none" && <b>{t("replay.none")}</b>}
        {kind === "cut" && <b>{t("replay.cut")}</b>}
        {gaps.slice(0, most).map((g) => (
          <p key={g.from}>
            {clock(g.from)} – {clock(g.to)} {gapText(t, g.cause)}
          </p>
        ))}
        {gaps.length > most && <p>{t("replay.gapMore", { n: gaps.length - most })}</p>}
        {!strip && onNext && (
          <button type="button" className="primary" onClick={onNext} data-testid="replay-next">
            {t("replay.next")}
          </button>
        )}
      </div>
    </div>
  );
}
