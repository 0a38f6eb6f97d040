import { useTexts } from "../i18n";
import type { TourView } from "../live/transport";
import { Icon } from "../ui/icons";

interface Props {
  tour: TourView | undefined;
  now: number;
  nameOf(camera: string): string;
}

/** In the header of a tile that runs a tour: where it is. */
export function TourPlace({ tour }: { tour: TourView | undefined }) {
  if (!tour) return null;
  return (
    <span className={`tour-at ${tour.paused ? "paused" : ""}`} data-testid="tour-at">
      <Icon name={tour.paused ? "pause" : "tour"} size={11} />
      {tour.index + 1}/{tour.total}
    </span>
  );
}

/** Below the header of such a tile: how long the camera stays, and who was passed by. */
export function TourMarks({ tour, now, nameOf }: Props) {
  const { t } = useTexts();
  if (!tour) return null;
  const share = Math.min(1, Math.max(0, (now - tour.since) / (tour.dwellS * 1000)));
  return (
    <>
      {!tour.paused && <i className="tour-time" style={{ width: `${share * 100}%` }} aria-hidden="true" />}
      {tour.skipped && (
        <span className="tour-skipped" role="status">
          {t("tour.skipped", { name: nameOf(tour.skipped) })}
        </span>
      )}
    </>
  );
}
