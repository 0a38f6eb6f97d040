import { type DragEvent, memo, useEffect, useRef, useState } from "react";
import type { Sight } from "../api/cameras";
import type { Camera, Me, ProfileName } from "../api/types";
import { reasonText, useTexts } from "../i18n";
import { fileName, saveSnapshot, takeNext } from "../lib/snapshot";
import { useHalfSecond } from "../lib/tick";
import { length, since, stamp, stampMs } from "../lib/time";
import { visibleSince } from "../lib/visible";
import type { Heard } from "../live/listen";
import { useMeter, useStats, useStill } from "../live/meter";
import { capturedAt } from "../live/moments";
import { deaf, hearable } from "../live/sound";
import { deriveTile, sight, type TileState } from "../live/tile";
import type { LiveTransport, SlotView, TourRequest } from "../live/transport";
import { useSlot } from "../live/use";
import { cameras } from "../state";
import { Badge } from "../ui/badge";
import { Icon } from "../ui/icons";
import { toast } from "../ui/toast";
import { backs, PastLayer, usePast } from "./past";
import { TourMarks, TourPlace } from "./tourmarks";

export interface TileProps {
  slot: number;
  assigned: string | null;
  camera?: Camera;
  unit: string;
  me: Me;
  transport?: LiveTransport;
  loaded: boolean;
  reachable: boolean;
  offset: number;
  /** On screen; what is not is given back to the gateway after a moment. */
  visible: boolean;
  /** Alone on the screen: main profile. */
  large: boolean;
  focused: boolean;
  target: boolean;
  /** What is heard of the whole page; the tile that is heard says so. */
  heard: Heard;
  /** The tile runs a tour; `assigned` and `camera` are those shown now. */
  tour?: TourRequest;
  nameOf(camera: string): string;
  onTour(slot: number): void;
  onOpen(slot: number): void;
  onClear(slot: number): void;
  onTarget(slot: number): void;
  onDrop(slot: number, data: DataTransfer): void;
}

/** The title bar above the picture, as in the style sheet. */
const barHeight = 22;
const lingerMs = 3000;
const nudgeMs = 10_000;
const graceMs = 1500;

/** What ails a camera whose pictures arrive: what is seen on the picture is not this screen's fault. */
const besideLive = new Set<string | undefined>(["camera_loss", "bad_timestamps", "gradual_refresh"]);

function cameraNote(camera: Camera | undefined, profile: ProfileName | undefined): string | undefined {
  const p = camera?.profiles?.[profile ?? "sub"] ?? camera?.profiles?.main;
  return besideLive.has(p?.reason) ? p?.reason : undefined;
}

/** Codec names by profile, for the profiles the camera has. */
export function codecsOf(camera: Camera | undefined): Partial<Record<ProfileName, string>> {
  const out: Partial<Record<ProfileName, string>> = {};
  for (const name of ["main", "sub"] as const) {
    const p = camera?.profiles?.[name];
    if (p) out[name] = p.codec ?? "";
  }
  return out;
}

/** Asks the transport for what the tile should show, with its size, and gives the slot back when it is not seen. */
function useShow(p: TileProps, box: React.RefObject<HTMLElement | null>): void {
  const { transport, slot, visible, large, camera, tour } = p;
  // A tour's camera changes by itself: what is asked for is the tour.
  const assigned = tour ? (tour.stops[0]?.camera ?? null) : p.assigned;
  const [size, setSize] = useState("640x360");
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(() => {
      const scale = Math.min(devicePixelRatio || 1, 2);
      const even = (v: number) => Math.max(16, Math.round((v * scale) / 16) * 16);
      if (element.clientWidth > 0) setSize(`${even(element.clientWidth)}x${even(element.clientHeight - barHeight)}`);
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, [box]);
  const codecs = JSON.stringify(tour ? {} : codecsOf(camera));
  // What may not be seen is not fetched either.
  const barred = camera?.state === "paused" || camera?.state === "not_permitted";
  const wanted = assigned !== null && (tour !== undefined || !barred);
  useEffect(() => {
    if (!transport) return;
    if (!wanted) return transport.hide(slot);
    if (!visible) {
      const timer = setTimeout(() => transport.hide(slot), lingerMs);
      return () => clearTimeout(timer);
    }
    const [width = 0, height = 0] = size.split("x").map(Number);
    const profile = large ? "main" : transport.kind === "wall" ? "auto" : "sub";
    transport.show(slot, { camera: assigned as string, profile, width, height, codecs: JSON.parse(codecs), tour });
  }, [transport, slot, assigned, wanted, visible, large, size, codecs, tour]);
  useEffect(() => () => transport?.hide(slot), [transport, slot]);
}

/** A camera that is well by the list but not on the tile: ask again, now and then. */
function useNudge(p: TileProps, settled: boolean): void {
  const { transport, slot, visible, reachable, assigned } = p;
  const well = p.camera?.state === "live" || p.camera?.state === "delayed";
  const stuck = visible && reachable && assigned !== null && well && !settled;
  useEffect(() => {
    if (!stuck || !transport) return;
    const timer = setInterval(() => transport.nudge(slot), nudgeMs);
    return () => clearInterval(timer);
  }, [stuck, transport, slot]);
}

/** The rest of the page counts the camera as the tile shows it. */
function useSight(slot: number, camera: string | null, seen: Sight | undefined): void {
  const { state, reason } = seen ?? {};
  useEffect(() => {
    cameras.see(slot, camera ?? undefined, state && { state, reason });
  }, [slot, camera, state, reason]);
  useEffect(() => () => cameras.unsee(slot), [slot]);
}

function Watermark({ me, now }: { me: Me; now: number }) {
  const text = `${me.name} ${stamp(now)}`;
  return (
    <div className="watermark" aria-hidden="true">
      <span>{text}</span>
      <span>{text}</span>
      <span>{text}</span>
    </div>
  );
}

/** The middle of a tile that is not simply live: what is wrong, since when, why. */
function Notice({ s, view, now }: { s: TileState; view: SlotView; now: number }) {
  const { t } = useTexts();
  if (s.badge === "live" || s.badge === "delayed" || s.badge === "empty") return null;
  const retry = view.retryAt && view.retryAt > now ? Math.ceil((view.retryAt - now) / 1000) : 0;
  return (
    <div className={`notice s-${s.badge}`}>
      <strong>{t(`state.${s.badge}`)}</strong>
      {s.since !== undefined && (
        <time>{t(s.stale ? "wall.stopped" : "wall.since", { time: since(s.since, now) })}</time>
      )}
      {s.reason && <span title={s.detail}>{reasonText(t, s.reason)}</span>}
      {retry > 1 && <small>{t("wall.retry", { seconds: retry })}</small>}
    </div>
  );
}

function Figures({ p, view, fps }: { p: TileProps; view: SlotView; fps: number }) {
  const { t } = useTexts();
  const stats = useStats(p.transport, p.slot, true);
  const known = view.profile ? p.camera?.profiles?.[view.profile] : undefined;
  const width = stats?.width ?? known?.width;
  const height = stats?.height ?? known?.height;
  const kbps = view.report?.kbps ?? stats?.kbps ?? known?.kbps;
  const parts = [
    view.profile && t(`wall.${view.profile}`),
    stats?.codec ?? known?.codec,
    width && height && `${width}×${height}`,
    `${fps.toFixed(0)} fps`,
    kbps !== undefined && `${Math.round(kbps)} kbps`,
    stats?.lost ? t("wall.lost", { n: stats.lost }) : undefined,
    stats?.dropped ? t("wall.dropped", { n: stats.dropped }) : undefined,
  ];
  return <span className="figures">{parts.filter(Boolean).join(" · ")}</span>;
}

function ageText(s: TileState): string | undefined {
  if (s.badge !== "live" && s.badge !== "delayed") return undefined;
  if (s.ageMs === undefined) return undefined;
  return `${s.measured ? "" : "≥"}${length(Math.max(100, s.ageMs))}`; // below 0.1 s nobody can tell
}

/** Listens to the tile, or says why one cannot. Muted until somebody presses it. */
function Speaker({ p, name, note }: { p: TileProps; name: string; note?: string }) {
  const { t } = useTexts();
  const { transport, slot, camera, heard } = p;
  const codec = camera?.profiles?.main?.audio || camera?.profiles?.sub?.audio;
  const why = deaf(codec, hearable());
  const on = heard.slot === slot;
  // What the gateway says why nothing can be heard; that it transcodes is no trouble.
  const transcoded = note === "sound_transcoded";
  const trouble = on && note && !transcoded ? reasonText(t, note) : undefined;
  useEffect(() => {
    if (trouble) toast("info", trouble);
  }, [trouble]);
  if (why === "none") return null; // most cameras have no microphone, or may not use it
  const state = t(`sound.${heard.hearing}`) + (transcoded ? ` · ${reasonText(t, note)}` : "");
  const label = why
    ? t(`sound.${why}`, { codec })
    : on
      ? `${trouble ?? state} · ${t("sound.stop")}`
      : t("sound.listen", { name });
  return (
    <button
      type="button"
      className={`act speaker ${on ? `on h-${heard.hearing}` : ""} ${why || trouble ? "cannot" : ""}`}
      aria-pressed={on}
      aria-disabled={why !== undefined}
      aria-label={label}
      title={label}
      onClick={() => (why ? toast("info", label) : transport?.listen(on ? undefined : slot))}
      data-testid={`sound-${slot}`}
      data-hearing={why ?? (trouble ? note : on ? heard.hearing : "off")}
    >
      <Icon name={on && heard.hearing !== "blocked" ? "sound" : "mute"} size={15} />
      {on && <Bars n={heard.bars} />}
    </button>
  );
}

function Bars({ n }: { n: number }) {
  return (
    <span className={`bars b${n}`} aria-hidden="true">
      <i />
      <i />
      <i />
    </span>
  );
}

export const Tile = memo(function Tile(p: TileProps) {
  const { slot, camera, transport } = p;
  const { t } = useTexts();
  const box = useRef<HTMLElement>(null);
  const video = useRef<HTMLVideoElement>(null);
  const still = useRef<HTMLCanvasElement>(null);
  const last = useRef<TileState | undefined>(undefined);
  const [hover, setHover] = useState(false);
  const now = useHalfSecond();
  const view = useSlot(transport, slot);
  const meter = useMeter(video, view.stream, view.epoch);
  useShow(p, box);

  const frames = meter.read(now);
  const assigned = p.assigned !== null;
  let s = deriveTile({ camera, assigned, loaded: p.loaded, view, frames, now, reachable: p.reachable });
  // A page just shown again has not been given frames yet: that is no freeze.
  const back = visibleSince();
  if ((back === 0 || now - back < graceMs) && last.current && s.stale) s = last.current;
  last.current = s;
  const moving = s.badge === "live" || s.badge === "delayed";
  const { past, start, end } = usePast({
    transport,
    slot,
    camera: p.assigned ?? undefined,
    view: view.replay,
    offset: p.offset,
  });
  const gone = past !== undefined && past.phase !== "asking"; // from here on nothing of the tile is called live
  useNudge(p, moving || past !== undefined || s.badge === "not_permitted");
  useSight(slot, p.assigned, past === undefined && p.visible ? sight(s) : undefined);
  useStill(video, still, s.stale);

  // Live, but not what was asked for: the page's reason, or the gateway's.
  const note =
    view.fallback ??
    (view.report?.state === "live" ? view.report.reason : undefined) ??
    cameraNote(camera, view.profile);
  const name = camera?.name ?? p.assigned ?? "";
  const replay = (backS: number) => {
    if (p.tour) transport?.tourPause(slot, true);
    void start(backS);
  };
  const snapshot = async () => {
    const v = gone ? null : video.current; // what lies under a replay is not what one sees
    const next = v && !s.veil ? await takeNext(v) : undefined;
    const picture = transport?.view(slot).epoch === view.epoch ? next : undefined; // else it is of another camera
    const own = capturedAt(view.moments, picture?.rtp);
    const at = own ?? (frames.lastAt ?? now) - (frames.ageMs ?? 0) + p.offset;
    const time = own === undefined ? stamp(at) : stampMs(at);
    const caption = { title: `${name}  ${p.unit}`, time, note: p.me.name };
    const good = await saveSnapshot(picture, caption, fileName(p.assigned ?? "", time, "png"));
    if (!good) toast("info", t("wall.noPicture"));
  };
  const drag = (e: DragEvent) => e.dataTransfer.setData("text/skein-tile", String(slot));
  const over = (e: DragEvent) => e.preventDefault();
  const drop = (e: DragEvent) => {
    e.preventDefault();
    p.onDrop(slot, e.dataTransfer);
  };
  const press = () => (assigned ? p.onOpen(slot) : p.onTarget(slot));
  const classes = [
    "tile",
    `t-${s.badge}`,
    s.stale && "stale",
    s.veil && "veiled",
    p.target && "target",
    p.focused && "focused",
    gone && "in-past",
  ];
  return (
    <section
      ref={box}
      className={classes.filter(Boolean).join(" ")}
      data-testid={`tile-${slot}`}
      data-camera={p.assigned ?? ""}
      data-state={gone ? "replay" : s.badge}
      data-transport={transport?.kind}
      aria-label={`${t("wall.tile", { n: slot + 1 })}${assigned ? `: ${name}, ${gone ? t("past.badge") : t(`state.${s.badge}`)}` : ""}`}
      draggable={assigned && !p.focused}
      onDragStart={drag}
      onDragOver={over}
      onDrop={drop}
      onPointerEnter={() => setHover(true)}
      onPointerLeave={() => setHover(false)}
    >
      <video ref={video} data-testid="tile-video" muted playsInline autoPlay disablePictureInPicture tabIndex={-1} />
      <canvas ref={still} />
      {assigned && <Watermark me={p.me} now={now + p.offset} />}
      <button
        type="button"
        className="press"
        onClick={press}
        aria-label={assigned ? `${t("wall.enlarge")}: ${name}` : t("wall.empty")}
        data-testid={`tile-open-${slot}`}
      />
      {assigned ? (
        <>
          <header>
            <b title={p.assigned ?? ""}>{name}</b>
            <span className="where">{p.unit}</span>
            {p.tour && <TourPlace tour={view.tour} nameOf={p.nameOf} />}
            <span data-testid="tile-state" title={s.measured ? undefined : t("wall.atLeast")}>
              {gone ? (
                <b className="badge past-word">{t("past.badge")}</b>
              ) : (
                <Badge state={s.badge} note={ageText(s)} />
              )}
            </span>
          </header>
          {p.tour && <TourMarks tour={view.tour} now={now} nameOf={p.nameOf} />}
          {!gone && <Notice s={s} view={view} now={now} />}
          {past && (
            <PastLayer
              key={past.since}
              past={past}
              view={view.replay}
              taken={() => capturedAt(view.moments, meter.read(Date.now()).rtp)}
              now={now}
              offset={p.offset}
              onEnd={end}
            />
          )}
          {note && moving && !gone && <div className="fallback">{reasonText(t, note)}</div>}
          <footer>
            {(hover || p.focused) && moving && !gone && <Figures p={p} view={view} fps={frames.fps} />}
            <span className={`acts ${p.heard.slot === slot ? "keep" : ""}`}>
              <Speaker p={p} name={name} note={view.sound} />
              {p.tour && view.tour && (
                <>
                  <Act
                    icon={view.tour.paused ? "play" : "pause"}
                    label={t(view.tour.paused ? "tour.resume" : "tour.pause")}
                    onClick={() => transport?.tourPause(slot, !view.tour?.paused)}
                    id={`tour-pause-${slot}`}
                  />
                  <Act
                    icon="next"
                    label={t("tour.next")}
                    onClick={() => transport?.tourNext(slot)}
                    id={`tour-next-${slot}`}
                  />
                </>
              )}
              <Backs slot={slot} onBack={replay} />
              <Act icon="shot" label={t("wall.snapshot")} onClick={() => void snapshot()} id={`shot-${slot}`} />
              {!p.focused && (
                <>
                  <Act icon="tour" label={t("tour.tile")} onClick={() => p.onTour(slot)} id={`tour-edit-${slot}`} />
                  <Act icon="target" label={t("wall.target")} onClick={() => p.onTarget(slot)} />
                  <Act icon="close" label={t("wall.clear")} onClick={() => p.onClear(slot)} />
                </>
              )}
            </span>
          </footer>
        </>
      ) : (
        <div className="hollow">
          <i>{slot + 1}</i>
          {t("wall.empty")}
        </div>
      )}
    </section>
  );
});

/** Instant replay: how far back. */
function Backs({ slot, onBack }: { slot: number; onBack(backS: number): void }) {
  const { t } = useTexts();
  return (
    <span className="backs" role="group" aria-label={t("past.title")}>
      <Icon name="rewind" size={13} />
      {backs.map((n) => (
        <button
          key={n}
          type="button"
          onClick={() => onBack(n)}
          aria-label={t("past.back", { n })}
          title={t("past.back", { n })}
          data-testid={`back-${n}-${slot}`}
        >
          {n}
        </button>
      ))}
    </span>
  );
}

interface ActProps {
  icon: Parameters<typeof Icon>[0]["name"];
  label: string;
  onClick(): void;
  id?: string;
}

function Act({ icon, label, onClick, id }: ActProps) {
  return (
    <button type="button" className="act" aria-label={label} title={label} onClick={onClick} data-testid={id}>
      <Icon name={icon} size={15} />
    </button>
  );
}
