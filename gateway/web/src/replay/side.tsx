import { useMemo } from "react";
import type { Camera, Me } from "../api/types";
import { lossText, reasonText, useTexts } from "../i18n";
import { clock, parse, signed } from "../lib/time";
import { useZone } from "../lib/zone";
import { listed } from "../live/tile";
import { path } from "../pages/tree";
import { useCameras, useFigures } from "../state";
import { Badge } from "../ui/badge";
import { Icon } from "../ui/icons";
import { Replay } from "./replay";

export default function Side({ camera, me, onClose }: { camera: Camera; me: Me; onClose(): void }) {
  const { t } = useTexts();
  const { units, reachable, sights, offset } = useCameras();
  useFigures(() => [camera.id]);
  useZone();
  return (
    <aside className="side" aria-label={t("replay.title")} data-testid="side">
      <header>
        <div>
          <h2>{camera.name}</h2>
          <p>
            {path(units, camera.unit)
              .map((u) => u.name)
              .join(" / ")}
          </p>
        </div>
        <Badge state={listed(camera, reachable, sights)} />
        <button
          type="button"
          className="quiet icon"
          onClick={onClose}
          aria-label={t("wall.back")}
          title={t("wall.back")}
          data-testid="side-close"
        >
          <Icon name="close" />
        </button>
      </header>
      <Replay camera={camera} me={me} offset={offset} />
      <Facts camera={camera} />
    </aside>
  );
}

/** What is known of the camera itself, per profile. */
function Facts({ camera }: { camera: Camera }) {
  const { t } = useTexts();
  const profiles = useMemo(() => Object.entries(camera.profiles ?? {}), [camera.profiles]);
  const r = camera.recording;
  const lastWrite = parse(r?.last_write);
  const offset = camera.profiles?.main?.clock_offset_ms ?? camera.profiles?.sub?.clock_offset_ms;
  return (
    <section className="facts" aria-label={t("replay.info")}>
      <table>
        <thead>
          <tr>
            <th>{t("health.profile")}</th>
            <th>{t("health.state")}</th>
            <th>{t("health.codec")}</th>
            <th>{t("health.size")}</th>
            <th>{t("health.fps")}</th>
            <th>{t("health.kbps")}</th>
          </tr>
        </thead>
        <tbody>
          {profiles.map(([name, p]) => (
            <tr key={name}>
              <td>{t(`wall.${name}`)}</td>
              <td title={p.detail}>
                <Badge state={p.state} />
                {p.reason && <small>{reasonText(t, p.reason)}</small>}
              </td>
              <td>{p.codec || "—"}</td>
              <td>{p.width ? `${p.width}×${p.height}` : "—"}</td>
              <td>{p.fps ? p.fps.toFixed(1) : "—"}</td>
              <td>{p.kbps || "—"}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <dl>
        <dt>{t("health.recording")}</dt>
        <dd>
          {!r
            ? t("health.unknownRecording")
            : !r.wanted
              ? t("health.off")
              : lossText(t, r) || (r.active ? t("health.active") : `${t("health.stalled")} ${r.detail ?? ""}`)}
          {lastWrite !== undefined && ` · ${clock(lastWrite)}`}
        </dd>
        <dt>{t("health.clock")}</dt>
        <dd>{offset === undefined ? t("health.notMeasured") : signed(offset)}</dd>
        <dt>ID</dt>
        <dd>{camera.id}</dd>
      </dl>
    </section>
  );
}
