import { reasonText, useTexts } from "../i18n";
import { namedMs } from "../live/tour";
import type { Passed, TourView } from "../live/transport";
import { useCameras } from "../state";
import { Icon } from "../ui/icons";
import { dead } from "./paging";

interface Props {
  tour: TourView | undefined;
  now: number;
  nameOf(camera: string): string;
}

/** Why a camera was passed by: by the list, which knows the device, or else by the gateway's word. */
function useWhy() {
  const { t } = useTexts();
  const { cameras } = useCameras();
  return (p: Passed) => {
    const listed = cameras.get(p.camera);
    const { state, reason } = listed && dead(listed) ? listed : p;
    const why = reason ? reasonText(t, reason) : "";
    return [state ? t(`state.${state}`) : "", why].filter(Boolean).join(t("tour.comma")) || t("tour.noPicture");
  };
}

/** In the header of a tile that runs a tour: where it is, and how many of its cameras have no picture. */
export function TourPlace({ tour, nameOf }: Omit<Props, "now">) {
  const { t } = useTexts();
  const why = useWhy();
  if (!tour) return null;
  const passed = tour.passed ?? [];
  return (
    <>
      <span className={`tour-at ${tour.paused ? "paused" : ""}`} data-testid="tour-at">
        <Icon name={tour.paused ? "pause" : "tour"} size={11} />
        {tour.index + 1}/{tour.total}
      </span>
      {passed.length > 0 && (
        <span
          className="tour-passed"
          title={passed.map((p) => t("tour.skipped", { name: nameOf(p.camera), why: why(p) })).join("\n")}
          data-testid="tour-passed"
        >
          <Icon name="warn" size={11} />
          {t("tour.passed", { n: passed.length })}
        </span>
      )}
    </>
  );
}

/** Below the header of such a tile: how long the camera stays, and who was just passed by and why. */
export function TourMarks({ tour, now, nameOf }: Props) {
  const { t } = useTexts();
  const why = useWhy();
  if (!tour) return null;
  const share = Math.min(1, Math.max(0, (now - tour.since) / (tour.dwellS * 1000)));
  const named = (tour.passed ?? []).filter((p) => now - p.at < namedMs);
  return (
    <>
      {!tour.paused && <i className="tour-time" style={{ width: `${share * 100}%` }} aria-hidden="true" />}
      {named.length > 0 && (
        <span className="tour-skipped" role="status" data-testid="tour-skipped">
          {named.slice(-3).map((p) => (
            <span key={p.camera}>{t("tour.skipped", { name: nameOf(p.camera), why: why(p) })}</span>
          ))}
        </span>
      )}
    </>
  );
}
