import { useEffect, useMemo, useRef, useState } from "react";
import type { Camera, Me } from "../api/types";
import { lossText, reasonText, setLanguage, type T, useTexts } from "../i18n";
import { remembered } from "../lib/remember";
import { useSecond } from "../lib/tick";
import { length } from "../lib/time";
import { listed } from "../live/tile";
import { mayOpen } from "../pages/may";
import { useCameras } from "../state";
import { Badge } from "../ui/badge";
import { Icon, Mark } from "../ui/icons";
import { Awake } from "./awake";
import type { BroadcastView } from "./broadcast";
import type { Sending } from "./sending";
import { useDevice } from "./use";

const last = remembered<string>("skein.publish", "", (v) => typeof v === "string");

/** The state of the broadcast in one line. */
function phaseText(t: T, view: BroadcastView, now: number): string {
  switch (view.phase) {
    case "connecting":
      return t("publish.connecting");
    case "live":
      return t("publish.live", { length: length(now - (view.since ?? now)) });
    case "waiting":
      return t("publish.waiting", { seconds: Math.max(0, Math.ceil(((view.retryAt ?? now) - now) / 1000)) });
    case "refused":
      return t("publish.refused");
    default:
      return t("publish.off");
  }
}

function figures(t: T, s: Sending | undefined): string {
  if (!s?.width) return "";
  const parts = [`${s.width}×${s.height}`, s.fps ? `${Math.round(s.fps)} fps` : "", s.kbps ? `${s.kbps} kbit/s` : ""];
  if (s.limited) parts.push(t(`publish.limit.${s.limited === "cpu" ? "cpu" : "bandwidth"}`));
  return parts.filter((p) => p !== "").join(" · ");
}

/** What becomes of the pictures at the gateway: recorded, or not and why. */
function recordingText(t: T, camera: Camera | undefined): { text: string; bad: boolean } {
  const r = camera?.recording;
  if (!r?.wanted) return { text: t("publish.notRecorded"), bad: false };
  const loss = lossText(t, r);
  if (loss) return { text: loss, bad: true };
  if (r.active) return { text: t("publish.recorded"), bad: false };
  return { text: r.detail ? t("publish.unrecorded", { detail: r.detail }) : t("publish.beginning"), bad: !!r.detail };
}

/** This device as a camera of the inventory: made for a phone held in one hand. */
export default function Publish({ me }: { me: Me }) {
  const { t, language } = useTexts();
  const { cameras, order, units, loaded, reachable } = useCameras();
  const now = useSecond();
  const d = useDevice();
  const video = useRef<HTMLVideoElement>(null);
  const [chosen, choose] = useState(last.get);

  const list = useMemo(
    () => order.map((id) => cameras.get(id)).filter((c): c is Camera => c?.pushed === true),
    [cameras, order],
  );
  const camera = list.find((c) => c.id === chosen) ?? list.find((c) => c.state !== "live") ?? list[0];
  const running = d.view.phase !== "off" && d.view.phase !== "refused";

  useEffect(() => {
    if (video.current) video.current.srcObject = d.stream ?? null;
  }, [d.stream]);
  useEffect(() => {
    if (!running) return;
    const ask = (e: BeforeUnloadEvent) => e.preventDefault();
    addEventListener("beforeunload", ask);
    return () => removeEventListener("beforeunload", ask);
  }, [running]);

  const begin = () => {
    if (!camera) return;
    last.set(camera.id);
    choose(camera.id);
    void d.start(camera.id);
  };
  const trouble =
    d.lack !== undefined
      ? t(`publish.no.${d.lack.why}`, { detail: d.lack.detail ?? "" })
      : [reasonText(t, d.view.reason), d.view.detail].filter(Boolean).join("：");
  const recording = recordingText(t, camera);
  const empty = !mayOpen(me, "publish") ? t("publish.role") : loaded && list.length === 0 ? t("publish.none") : "";

  return (
    <div className="publish" data-phase={d.view.phase} data-testid="publish">
      <header>
        <a href="#/wall" aria-label={t("publish.back")} data-testid="publish-back">
          <Icon name="back" size={20} />
        </a>
        <Mark size={22} />
        <h1>{t("publish.title")}</h1>
        <button type="button" className="quiet" onClick={() => setLanguage(language === "zh" ? "en" : "zh")}>
          {t("app.language")}
        </button>
      </header>
      <main id="main">
        <div className="publish-picture">
          <video ref={video} muted playsInline autoPlay tabIndex={-1} data-testid="publish-video" />
          {!d.stream && <p>{t("publish.hint")}</p>}
          {d.paused && (
            <p className="publish-paused" role="status">
              {t("publish.paused")}
            </p>
          )}
          {running && camera && (
            <span className="publish-name">
              <Badge state={listed(camera, reachable)} /> {camera.name}
            </span>
          )}
        </div>
        <section aria-live="polite">
          <b className={`publish-state p-${d.view.phase}`} data-testid="publish-state">
            {phaseText(t, d.view, now)}
          </b>
          {trouble && (
            <p className="publish-trouble" role="alert" data-testid="publish-trouble">
              <Icon name="warn" /> {trouble}
            </p>
          )}
          {d.view.phase === "live" && (
            <p data-testid="publish-figures">
              <span className={recording.bad ? "publish-trouble" : ""}>{recording.text}</span>{" "}
              <small>{figures(t, d.sending)}</small>
            </p>
          )}
          {running && !Awake.possible && <p className="faint">{t("publish.keepOn")}</p>}
        </section>
        {empty ? (
          <p className="publish-trouble" role="alert" data-testid="publish-empty">
            {empty}
          </p>
        ) : (
          <label className="publish-choice">
            <span>{t("publish.camera")}</span>
            <select
              value={camera?.id ?? ""}
              disabled={running || list.length === 0}
              onChange={(e) => choose(e.target.value)}
              data-testid="publish-camera"
            >
              {list.map((c) => (
                <option key={c.id} value={c.id}>
                  {c.name}（{units.get(c.unit)?.name ?? c.unit}）{c.state === "live" ? ` ${t("publish.inUse")}` : ""}
                </option>
              ))}
            </select>
          </label>
        )}
      </main>
      <footer>
        <button
          type="button"
          className="quiet"
          aria-pressed={d.quiet}
          onClick={() => d.mute(!d.quiet)}
          data-testid="publish-mute"
        >
          <Icon name={d.quiet ? "mute" : "sound"} size={22} />
          {t(d.quiet ? "publish.quiet" : "publish.loud")}
        </button>
        <button
          type="button"
          className={running ? "publish-stop" : "primary"}
          disabled={!running && (empty !== "" || !camera || d.opening || d.unable)}
          onClick={running ? d.stop : begin}
          data-testid="publish-go"
        >
          {t(running ? "publish.stop" : "publish.start")}
        </button>
        <button
          type="button"
          className="quiet"
          disabled={running && d.cameras < 2}
          onClick={() => void d.turn()}
          data-testid="publish-turn"
        >
          <Icon name="tour" size={22} />
          {t(d.facing === "environment" ? "publish.rear" : "publish.front")}
        </button>
      </footer>
    </div>
  );
}
