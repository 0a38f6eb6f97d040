import { lazy, Suspense, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { ApiError, getJSON } from "../api/client";
import type { Camera, Coverage, Me } from "../api/types";
import { lossText, reasonText, useTexts } from "../i18n";
import { fileName, saveSnapshot } from "../lib/snapshot";
import { clock, fromInput, length, parse, rfc3339, signed, stamp, toInput } from "../lib/time";
import { useZone } from "../lib/zone";
import { visibleSince } from "../lib/visible";
import { listed } from "../live/tile";
import { path } from "../pages/tree";
import { useCameras } from "../state";
import { Badge } from "../ui/badge";
import { Icon } from "../ui/icons";
import { toast } from "../ui/toast";
import { type Footage, footage, newest, position, type Range, recorded, total } from "./bar";
import { CoverageBar } from "./coveragebar";
import { Download } from "./download";
import { locks } from "./offers";
import { type Clip, type Kind, Player } from "./player";
import { register } from "./retrieval";
import { ThumbStrip } from "./thumbstrip";

const RetrievalDialog = lazy(() => import("./dialog"));
const LockDialog = lazy(() => import("./lockdialog"));

const minutes = [1, 5, 15] as const;
/** Minutes of the coverage bar. */
const windows = [10, 60, 360, 1440] as const;
const nothing: Footage = { spans: [], gaps: [] };
const mostHours = 6;
const refreshMs = 10_000;
/** Short clips come as one MP4; long ones as HLS, which can be sought without loading all of it. */
const kindFor = (r: Range): Kind => (r.to - r.from <= 5 * 60_000 ? "mp4" : "hls");

/** Coverage of the last hours, kept fresh while the page is seen. */
function useFootage(camera: string, length: number, offset: number) {
  const [window, setWindow] = useState<Range>(() => ({
    from: Date.now() + offset - length * 60_000,
    to: Date.now() + offset,
  }));
  const [data, setData] = useState<Footage>();
  const [failed, setFailed] = useState(false);
  const clockOffset = useRef(offset);
  clockOffset.current = offset;
  useEffect(() => {
    const abort = new AbortController();
    const read = async () => {
      if (visibleSince() === 0) return;
      const to = Date.now() + clockOffset.current;
      const w = { from: to - length * 60_000, to };
      const query = new URLSearchParams({ from: rfc3339(w.from), to: rfc3339(w.to), camera });
      try {
        const c = await getJSON<Coverage>(`/v1/coverage?${query}`, { signal: abort.signal });
        if (abort.signal.aborted) return;
        setWindow(w);
        setData(footage(c, camera));
        setFailed(false);
      } catch (e) {
        // What could not be read is not the same as nothing recorded.
        if (e instanceof ApiError && !abort.signal.aborted) setFailed(true);
      }
    };
    void read();
    const timer = setInterval(() => void read(), refreshMs);
    return () => {
      abort.abort();
      clearInterval(timer);
    };
  }, [camera, length]);
  return { window, data, failed };
}

export default function Side({ camera, me, onClose }: { camera: Camera; me: Me; onClose(): void }) {
  const { t } = useTexts();
  const { units, reachable, offset } = useCameras();
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
        <Badge state={listed(camera, reachable)} />
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

function Replay({ camera, me, offset }: { camera: Camera; me: Me; offset: number }) {
  const { t } = useTexts();
  const [span, setSpan] = useState<number>(60);
  const { window, data, failed } = useFootage(camera.id, span, offset);
  const [clip, setClip] = useState<Clip>();
  const [choice, setChoice] = useState<number | "custom">(1);
  const [ask, setAsk] = useState<Clip>();
  const [playing, setPlaying] = useState<number>();
  const video = useRef<HTMLVideoElement>(null);

  const open = useCallback(
    (r: Range, kind?: Kind) => {
      const to = Math.min(r.to, r.from + mostHours * 3_600_000);
      const range = { from: Math.round(r.from), to: Math.round(to) };
      setPlaying(undefined);
      setClip({
        ...range,
        camera: camera.id,
        kind: kind ?? kindFor(range),
        retrieval: register.find(camera.id, range),
      });
    },
    [camera.id],
  );
  const openLast = (n: number) => {
    setChoice(n);
    const r = data && newest(data, n * 60_000);
    if (r) open(r);
    else toast(data ? "info" : "error", t(data ? "replay.nothing" : "replay.unread"));
  };
  // The first look: the newest minute, as soon as it is known that there is one.
  const first = useRef(true);
  useEffect(() => {
    const r = first.current && data ? newest(data, 60_000) : undefined;
    if (!r) return;
    first.current = false;
    open(r);
  }, [data, open]);

  const jump = (at: number) => {
    const v = video.current;
    if (clip && data && v && at >= clip.from && at < clip.to && Number.isFinite(v.duration)) {
      v.currentTime = position(data, clip, at, v.duration);
      return;
    }
    setChoice("custom");
    open({ from: at, to: Math.min(at + 60_000, window.to) });
  };
  const onRetrieval = useCallback(() => setAsk(clip), [clip]);
  const end = data && newest(data, 0)?.to;
  const parts = clip && data ? recorded(data, clip) : [];
  const share = clip ? Math.min(100, (total(parts) / (clip.to - clip.from)) * 100) : 0;
  const snapshot = async () => {
    const at = playing ?? clip?.from ?? 0;
    const v = video.current;
    const caption = { title: camera.name, time: stamp(at), note: me.name };
    if (!(v && (await saveSnapshot(v, caption, fileName(camera.id, stamp(at), "png")))))
      toast("info", t("wall.noPicture"));
  };
  return (
    <section className="replay" aria-label={t("replay.title")}>
      <div className="choices" role="toolbar" aria-label={t("replay.title")}>
        {minutes.map((n) => (
          <button
            key={n}
            type="button"
            aria-pressed={choice === n}
            onClick={() => openLast(n)}
            data-testid={`replay-last-${n}`}
          >
            {t("replay.last", { n })}
          </button>
        ))}
        <button
          type="button"
          aria-pressed={choice === "custom"}
          onClick={() => setChoice("custom")}
          data-testid="replay-custom"
        >
          {t("replay.custom")}
        </button>
      </div>
      {choice === "custom" && <Custom range={clip ?? { from: window.to - 300_000, to: window.to }} onOpen={open} />}
      {clip ? (
        <Player
          clip={clip}
          codec={(camera.profiles?.main ?? camera.profiles?.sub)?.codec}
          footage={data ?? nothing}
          video={video}
          onTime={setPlaying}
          onRetrieval={onRetrieval}
        />
      ) : (
        <div className="player">
          <div className={`player-note ${failed ? "failed" : "none"}`} role="status">
            {data ? t("replay.nothing") : failed ? t("replay.unread") : t("replay.loading")}
          </div>
        </div>
      )}
      <div className="stampline">
        <time data-testid="replay-time">{clip ? stamp(playing ?? clip.from) : "—"}</time>
        {clip && (
          <span>
            {t("replay.length", { length: length(clip.to - clip.from) })} ·{" "}
            {t("replay.covered", { percent: share.toFixed(share < 100 ? 1 : 0) })}
          </span>
        )}
      </div>
      <ThumbStrip camera={camera.id} footage={data ?? nothing} window={window} onJump={jump} />
      <CoverageBar
        footage={data ?? nothing}
        window={window}
        selected={clip}
        playing={playing}
        onJump={jump}
        onSelect={(r) => {
          setChoice("custom");
          open(r);
        }}
      />
      <div className="under">
        <div className="choices small" role="group" aria-label={t("replay.window")}>
          {windows.map((n) => (
            <button
              key={n}
              type="button"
              aria-pressed={span === n}
              onClick={() => setSpan(n)}
              data-testid={`window-${n}`}
            >
              {n < 60 ? `${n} min` : `${n / 60} h`}
            </button>
          ))}
        </div>
        <span className={failed ? "warn" : ""}>
          {failed ? t("replay.unread") : end ? t("replay.recordedTo", { time: clock(end) }) : ""}
        </span>
      </div>
      <div className="deeds">
        <div className="choices small" role="toolbar" aria-label="MP4 / HLS">
          {(["mp4", "hls"] as const).map((kind) => (
            <button
              key={kind}
              type="button"
              aria-pressed={clip?.kind === kind}
              disabled={!clip}
              onClick={() => clip && open(clip, kind)}
              data-testid={`replay-${kind}`}
            >
              {kind.toUpperCase()}
            </button>
          ))}
        </div>
        <button
          type="button"
          className="deed"
          disabled={!clip}
          onClick={() => void snapshot()}
          data-testid="replay-snapshot"
        >
          <Icon name="shot" /> {t("replay.snapshot")}
        </button>
        {clip && <Download camera={camera} clip={clip} me={me} />}
        {clip && <LockButton camera={camera} range={clip} now={window.to} />}
      </div>
      {ask && (
        <Suspense>
          <RetrievalDialog
            camera={camera}
            range={ask}
            onDone={(id) => {
              setAsk(undefined);
              setClip({ ...ask, retrieval: id });
            }}
            onCancel={() => {
              setAsk(undefined);
              setClip(undefined);
            }}
          />
        </Suspense>
      )}
    </section>
  );
}

/** Keeps the clip's range from deletion, where this gateway has locks and this user may set them. */
function LockButton({ camera, range, now }: { camera: Camera; range: Range; now: number }) {
  const { t } = useTexts();
  const [there, setThere] = useState(false);
  const [open, setOpen] = useState(false);
  useEffect(() => {
    let stopped = false;
    void locks.there().then((yes) => !stopped && setThere(yes));
    return () => {
      stopped = true;
    };
  }, []);
  const close = () => setOpen(false);
  const gone = () => {
    close();
    setThere(false);
  };
  if (!there) return null;
  return (
    <>
      <button type="button" className="deed" onClick={() => setOpen(true)} title={t("lock.title")} data-testid="lock">
        <Icon name="lock" /> {t("lock.button")}
      </button>
      {open && (
        <Suspense>
          <LockDialog camera={camera} range={range} now={now} onClose={close} onAbsent={gone} />
        </Suspense>
      )}
    </>
  );
}

function Custom({ range, onOpen }: { range: Range; onOpen(r: Range): void }) {
  const { t } = useTexts();
  const [from, setFrom] = useState(() => toInput(range.from));
  const [to, setTo] = useState(() => toInput(range.to));
  const zone = useZone();
  // biome-ignore lint/correctness/useExhaustiveDependencies: the fields show times in the chosen zone
  useEffect(() => {
    setFrom(toInput(range.from));
    setTo(toInput(range.to));
  }, [range.from, range.to, zone]);
  const submit = (e: React.FormEvent) => {
    e.preventDefault();
    const r = { from: fromInput(from), to: fromInput(to) };
    if (r.to > r.from && r.to - r.from <= mostHours * 3_600_000) onOpen(r);
    else toast("error", t("replay.badRange", { hours: mostHours }));
  };
  return (
    <form className="custom" onSubmit={submit}>
      <label>
        {t("replay.from")}
        <input type="datetime-local" step={1} value={from} onChange={(e) => setFrom(e.target.value)} />
      </label>
      <label>
        {t("replay.to")}
        <input type="datetime-local" step={1} value={to} onChange={(e) => setTo(e.target.value)} />
      </label>
      <button type="submit" className="primary" data-testid="replay-show">
        {t("replay.show")}
      </button>
    </form>
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
