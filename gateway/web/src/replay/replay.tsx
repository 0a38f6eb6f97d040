import { lazy, Suspense, useCallback, useEffect, useMemo, useRef, useState } from "react";
import type { Camera, Me } from "../api/types";
import { useTexts } from "../i18n";
import { fileName, saveSnapshot, takePicture } from "../lib/snapshot";
import { clock, length, rfc3339, stampMs } from "../lib/time";
import { useZone } from "../lib/zone";
import { may } from "../pages/may";
import { Icon } from "../ui/icons";
import { toast } from "../ui/toast";
import { type Footage, newest, type Range } from "./bar";
import { CoverageBar } from "./coveragebar";
import { Custom, mostHours } from "./custom";
import { Download } from "./download";
import type { Clip, Film, Kind } from "./film";
import { useFootage } from "./footage";
import { LockButton } from "./lockbutton";
import { Player } from "./player";
import { register } from "./retrieval";
import { Shown, useShown } from "./shown";
import { ThumbStrip } from "./thumbstrip";
import { pictureAt, positionOf, share } from "./timeline";

const RetrievalDialog = lazy(() => import("./dialog"));

const minutes = [1, 5, 15] as const;
/** Minutes of the coverage bar. */
const windows = [10, 60, 360, 1440] as const;
const nothing: Footage = { spans: [], gaps: [] };
/** Short clips come as one MP4; long ones as HLS, which can be sought without loading all of it. */
const kindFor = (r: Range): Kind => (r.to - r.from <= 5 * 60_000 ? "mp4" : "hls");

/** Looks at what was recorded of one camera. */
export function Replay({ camera, me, offset }: { camera: Camera; me: Me; offset: number }) {
  const { t } = useTexts();
  const [span, setSpan] = useState<number>(60);
  const { window, data, failed, barred } = useFootage(camera.id, span, offset);
  const [clip, setClip] = useState<Clip>();
  const [choice, setChoice] = useState<number | "custom">(1);
  const [form, setForm] = useState(false);
  const [ask, setAsk] = useState<Clip>();
  const [film, setFilm] = useState<Film>();
  const video = useRef<HTMLVideoElement>(null);
  const shown = useMemo(() => new Shown(), []);

  const open = useCallback(
    (r: Range, kind?: Kind) => {
      const to = Math.min(r.to, r.from + mostHours * 3_600_000);
      const range = { from: Math.round(r.from), to: Math.round(to) };
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
    setForm(false);
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

  // Only the button opens the form of times: it lies above the bar, which must not move while one points at it.
  const choose = useCallback(
    (r: Range) => {
      setChoice("custom");
      open(r);
    },
    [open],
  );
  const jump = (at: number) => {
    const v = video.current;
    const spans = film?.spans() ?? [];
    if (clip && v && v.readyState > 0 && spans.length > 0 && at >= clip.from && at < clip.to)
      v.currentTime = positionOf(spans, at);
    else choose({ from: at, to: Math.min(at + 60_000, window.to) });
  };
  const onRetrieval = useCallback(() => setAsk(clip), [clip]);
  if (barred) {
    return (
      <p className="refused" role="alert" data-testid="replay-refused">
        {t("error.forbidden")}
      </p>
    );
  }
  const end = data && newest(data, 0)?.to;
  const covered = film ? share(film.timeline) : undefined;
  const empty = covered === undefined || covered === 0;
  const snapshot = async () => {
    const picture = video.current ? takePicture(video.current) : undefined;
    // The picture's own time: the video may have gone on since the last one was told of.
    const own = picture?.mediaTime === undefined ? undefined : pictureAt(film?.spans() ?? [], picture.mediaTime);
    const at = own ?? shown.get();
    const time = at === undefined ? "" : stampMs(at);
    const caption = { title: camera.name, time, note: me.name };
    if (at === undefined || !(await saveSnapshot(picture, caption, fileName(camera.id, time, "png"))))
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
          aria-expanded={form}
          onClick={() => setForm(!form)}
          data-testid="replay-custom"
        >
          {t("replay.custom")}
        </button>
      </div>
      {form && <Custom range={clip ?? { from: window.to - 300_000, to: window.to }} onOpen={choose} />}
      {clip ? (
        <Player
          clip={clip}
          codec={(camera.profiles?.main ?? camera.profiles?.sub)?.codec}
          video={video}
          shown={shown}
          onFilm={setFilm}
          onRetrieval={onRetrieval}
          onBeyond={choose}
        />
      ) : (
        <div className="player">
          <div className={`player-note ${failed ? "failed" : "none"}`} role="status">
            {data ? t("replay.nothing") : failed ? t("replay.unread") : t("replay.loading")}
          </div>
        </div>
      )}
      <div className="stampline">
        <PictureTime shown={shown} />
        {clip && (
          <span>
            {t("replay.length", { length: length(clip.to - clip.from) })}
            {covered !== undefined && ` · ${t("replay.covered", { percent: covered.toFixed(covered < 100 ? 1 : 0) })}`}
          </span>
        )}
      </div>
      <CoverageBar
        footage={data ?? nothing}
        window={window}
        selected={clip}
        shown={shown}
        onJump={jump}
        onSelect={choose}
      />
      <ThumbStrip camera={camera.id} footage={data ?? nothing} window={window} onJump={jump} />
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
          disabled={empty}
          onClick={() => void snapshot()}
          data-testid="replay-snapshot"
        >
          <Icon name="shot" /> {t("replay.snapshot")}
        </button>
        {clip && <Download camera={camera} clip={clip} me={me} disabled={empty} />}
        {clip && may(me, "retrieve") && <LockButton camera={camera} range={clip} now={window.to} disabled={empty} />}
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

/** When the picture above was captured, to the millisecond: seconds do not tell one picture from the next. */
function PictureTime({ shown }: { shown: Shown }) {
  useZone();
  const at = useShown(shown);
  return (
    <time data-testid="replay-time" dateTime={at === undefined ? undefined : rfc3339(at)}>
      {at === undefined ? "—" : stampMs(at)}
    </time>
  );
}
