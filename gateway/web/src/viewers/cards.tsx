import { useTexts } from "../i18n";
import { type Grade, grades, type Row } from "./judge";
import type { StreamRow } from "./streams";

export type View = "sessions" | "streams";

interface Props {
  rows: readonly Row[];
  streams: readonly StreamRow[];
  /** False: rows and streams are what was known before. */
  fresh: boolean;
  view: View;
  grade?: Grade;
  onView(view: View): void;
  onGrade(grade?: Grade): void;
}

/** The sums, which are the filters too. */
export function Cards({ rows, streams, fresh, view, grade, onView, onGrade }: Props) {
  const { t } = useTexts();
  const choose = (next?: Grade) => {
    onView("sessions");
    onGrade(next);
  };
  const measured = rows.filter((r) => fresh && r.path.kbps !== undefined);
  const arriving = measured.reduce((sum, r) => sum + (r.path.kbps ?? 0), 0) / 1000;
  const transcoded = streams.filter((s) => s.stream.variant).length;
  const sessions = view === "sessions";
  return (
    <div className="cards">
      <button
        type="button"
        className="card"
        aria-pressed={sessions && grade === undefined}
        onClick={() => choose(undefined)}
        data-testid="grade-all"
      >
        <b>{rows.length}</b>
        <span>{t("viewers.all")}</span>
      </button>
      {grades.map((g) => {
        const n = rows.filter((r) => r.grade === g).length;
        return (
          <button
            key={g}
            type="button"
            className={`card g-${g} ${n === 0 ? "zero" : ""}`}
            aria-pressed={sessions && grade === g}
            onClick={() => choose(grade === g ? undefined : g)}
            data-testid={`grade-${g}`}
          >
            <b>{n}</b>
            <span>
              <i className="dot" aria-hidden="true" />
              {t(`viewers.${g}`)}
            </span>
          </button>
        );
      })}
      <div className="card rate">
        <b>{measured.length > 0 ? arriving.toFixed(1) : t("health.notMeasured")}</b>
        <span>{t("viewers.arriving", { n: measured.length })}</span>
      </div>
      <button
        type="button"
        className="card rate"
        aria-pressed={!sessions}
        onClick={() => onView(sessions ? "streams" : "sessions")}
        data-testid="show-streams"
      >
        <b>
          {streams.length} <em className={transcoded > 0 ? "warn" : ""}>/ {transcoded}</em>
        </b>
        <span>{t("viewers.streams")}</span>
      </button>
    </div>
  );
}
