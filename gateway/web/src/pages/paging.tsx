import { useCallback, useEffect, useRef, useState } from "react";
import type { Camera } from "../api/types";
import { useTexts } from "../i18n";
import { some } from "../lib/names";
import { useHalfSecond } from "../lib/tick";
import { Icon } from "../ui/icons";
import { pages, type Tour } from "./layout";

/** The page of a tour of the whole wall that is on. */
export interface Page {
  cameras: readonly string[];
  index: number;
  total: number;
  skipped: readonly string[];
  since: number;
}

const noPicture = new Set(["offline", "no_signal", "sound_only", "edge_silent", "paused", "not_permitted"]);

/** The list says that there is nothing to see. What is merely unknown is given its chance. */
export const dead = (camera: Camera | undefined) => !camera || noPicture.has(camera.state);

/** Turns the pages of a tour. What is on a page is fixed when it is turned to: nothing moves under the viewer's eyes. */
export function usePaging(o: { tour?: Tour; size: number; cameras: ReadonlyMap<string, Camera>; ready: boolean }) {
  const { tour, size, ready } = o;
  const [page, setPage] = useState<Page>();
  const [paused, pause] = useState(false);
  const known = useRef(o.cameras);
  known.current = o.cameras;
  const turn = useCallback(
    (to: (old: Page | undefined) => number) => {
      if (!tour) return;
      const { pages: all, skipped } = pages(tour, size, (id) => dead(known.current.get(id)));
      setPage((old) => {
        const index = all.length > 0 ? (to(old) + all.length) % all.length : 0;
        return { cameras: all[index] ?? [], index, total: all.length, skipped, since: Date.now() };
      });
    },
    [tour, size],
  );
  useEffect(() => {
    if (tour && ready) turn(() => 0);
    else setPage(undefined);
    pause(false);
  }, [tour, ready, turn]);
  const next = useCallback(() => turn((old) => (old?.index ?? -1) + 1), [turn]);
  const back = useCallback(() => turn((old) => (old?.index ?? 1) - 1), [turn]);
  const since = page?.since;
  useEffect(() => {
    if (!tour || paused || since === undefined) return;
    const timer = setTimeout(next, tour.dwell * 1000);
    return () => clearTimeout(timer);
  }, [tour, paused, since, next]);
  return { page, paused, pause, next, back };
}

interface BarProps {
  tour: Tour;
  page: Page;
  paused: boolean;
  nameOf(camera: string): string;
  onPause(paused: boolean): void;
  onNext(): void;
  onBack(): void;
  onEdit(): void;
  onStop(): void;
}

/** Says that the wall is on tour: where it is, who was left out, and how to stop it. */
export function PagingBar(p: BarProps) {
  const { t } = useTexts();
  const now = useHalfSecond();
  const { tour, page, paused } = p;
  const share = Math.min(1, Math.max(0, (now - page.since) / (tour.dwell * 1000)));
  const names = page.skipped.map(p.nameOf);
  const button = (icon: Parameters<typeof Icon>[0]["name"], label: string, onClick: () => void, id: string) => (
    <button type="button" className="quiet icon" aria-label={label} title={label} onClick={onClick} data-testid={id}>
      <Icon name={icon} size={14} />
    </button>
  );
  return (
    <div className={`paging ${paused ? "paused" : ""}`} role="toolbar" aria-label={t("tour.wall")} data-testid="paging">
      <b>
        <Icon name="tour" size={14} /> {tour.name || t("tour.wall")}
      </b>
      <span data-testid="paging-at">
        {page.total > 0 ? t("tour.page", { n: page.index + 1, total: page.total }) : t("tour.allDead")}
      </span>
      {button("back", t("tour.back"), p.onBack, "paging-back")}
      {button(
        paused ? "play" : "pause",
        t(paused ? "tour.resume" : "tour.pause"),
        () => p.onPause(!paused),
        "paging-pause",
      )}
      {button("next", t("tour.next"), p.onNext, "paging-next")}
      {paused && <em>{t("tour.paused")}</em>}
      {names.length > 0 && (
        <span className="skipped" title={names.join(t("tour.list"))}>
          <Icon name="warn" size={12} /> {t("tour.left", { n: names.length, names: some(t, names) })}
        </span>
      )}
      <button type="button" className="quiet" onClick={p.onEdit}>
        {t("tour.edit")}
      </button>
      <button type="button" className="quiet stop" onClick={p.onStop} data-testid="paging-stop">
        {t("tour.stop")}
      </button>
      {!paused && <i style={{ width: `${share * 100}%` }} aria-hidden="true" />}
    </div>
  );
}
