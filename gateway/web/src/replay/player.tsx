import { type RefObject, useCallback, useEffect, useRef, useState } from "react";
import { useTexts } from "../i18n";
import { isH265 } from "../live/codecs";
import type { Range } from "./bar";
import { type Clip, type Film, play } from "./film";
import { GapNote, type Missing, sameMissing } from "./gapnote";
import { type Shown, watchMedia } from "./shown";
import { after, before, between, gapAt, nextFootage, pictureAt, positionOf } from "./timeline";

interface Props {
  clip: Clip;
  /** Codec of what is recorded, where known: the likely cause if the browser cannot decode it. */
  codec?: string;
  video: RefObject<HTMLVideoElement | null>;
  /** Told of every picture. */
  shown: Shown;
  onFilm(f: Film | undefined): void;
  /** The gateway wants a registered reason first. */
  onRetrieval(): void;
  /** Footage beyond the clip is asked for. */
  onBeyond(r: Range): void;
}

type State = { phase: "loading" | "playing" | "none" } | { phase: "failed"; detail: string };

/** How long a gap that was passed over, or that lies before the first picture, is named; seconds of the film. */
const namedS = 5;

/** What is missing where the film is. */
function missingAt(film: Film, v: HTMLVideoElement, cut: Missing | undefined): Missing | undefined {
  const { timeline } = film;
  if (v.ended) {
    const gaps = after(timeline);
    return gaps.length > 0 ? { kind: "end", gaps } : undefined;
  }
  const here = film.kind === "mp4" ? gapAt(timeline, v.currentTime) : undefined;
  if (here) return { kind: "still", gaps: [here] };
  if (cut) return cut;
  const first = positionOf(film.spans(), timeline.spans[0]?.from ?? timeline.from);
  const gaps = v.currentTime < first + namedS ? before(timeline) : [];
  return gaps.length > 0 ? { kind: "before", gaps } : undefined;
}

/** Gaps that a playlist leaves out: found where one picture follows another that is not next to it in time. */
function cutWatch() {
  let former: { media: number; wall: number } | undefined;
  let found: { missing: Missing; until: number } | undefined;
  return {
    picture(film: Film, media: number, wall: number | undefined) {
      const step = former && media - former.media;
      if (wall !== undefined && former && step !== undefined && step > 0 && step < 1) {
        const gaps = wall - former.wall - step * 1000 > 100 ? between(film.timeline, former.wall, wall) : [];
        if (gaps.length > 0) found = { missing: { kind: "cut", gaps }, until: media + namedS };
      }
      if (found && (media > found.until || media < found.until - namedS)) found = undefined;
      former = wall === undefined ? undefined : { media, wall };
    },
    found: () => found?.missing,
  };
}

/** The clip, its state, and what is missing where it is. */
export function Player({ clip, codec, video, shown, onFilm, onRetrieval, onBeyond }: Props) {
  const { t } = useTexts();
  const [state, setState] = useState<State>({ phase: "loading" });
  const [missing, setMissing] = useState<Missing>();
  const film = useRef<Film>(undefined);
  useEffect(() => {
    const v = video.current;
    if (!v) return;
    setState({ phase: "loading" });
    const tell = (m: Missing | undefined) => setMissing((old) => (sameMissing(old, m) ? old : m));
    tell(undefined);
    shown.set(undefined);
    const cuts = cutWatch();
    const look = () => film.current && v.readyState > 0 && tell(missingAt(film.current, v, cuts.found()));
    const stopFrames = watchMedia(v, (media) => {
      if (!film.current) return;
      const wall = pictureAt(film.current.spans(), media);
      shown.set(wall);
      if (film.current.kind !== "hls") return;
      const found = cuts.found();
      cuts.picture(film.current, media, wall);
      if (cuts.found() !== found) look();
    });
    const stop = play(clip, v, {
      film(f) {
        film.current = f;
        onFilm(f);
        if (f.timeline.spans.length > 0) return;
        setState({ phase: "none" });
        tell({ kind: "none", gaps: f.timeline.gaps });
      },
      failed: (detail) => setState({ phase: "failed", detail }),
      retrieval: onRetrieval,
    });
    const playing = () => setState({ phase: "playing" });
    const failed = () =>
      v.src && v.error && setState({ phase: "failed", detail: v.error.message || `MEDIA ${v.error.code}` });
    const looks = ["timeupdate", "seeked", "ended", "playing"] as const;
    for (const e of looks) v.addEventListener(e, look);
    v.addEventListener("playing", playing);
    v.addEventListener("error", failed);
    return () => {
      for (const e of looks) v.removeEventListener(e, look);
      v.removeEventListener("playing", playing);
      v.removeEventListener("error", failed);
      stopFrames();
      stop();
      film.current = undefined;
      onFilm(undefined);
    };
  }, [clip, video, shown, onFilm, onRetrieval]);
  const next = useNext(clip, missing);
  const go = useCallback(() => {
    const v = video.current;
    const end = missing?.gaps.at(-1)?.to;
    if (missing?.kind === "still" && v && film.current && end !== undefined)
      v.currentTime = positionOf(film.current.spans(), end);
    else if (next) onBeyond({ from: next.from, to: next.from + clip.to - clip.from });
  }, [missing, next, video, clip, onBeyond]);
  const alien = codec !== undefined && isH265(codec) && !canPlayH265(video.current);
  return (
    <div className="player">
      <video ref={video} data-testid="replay-video" controls muted playsInline data-phase={state.phase} />
      {state.phase !== "playing" && state.phase !== "none" && (
        <div className={`player-note ${state.phase}`} role="status">
          {state.phase === "loading" && t("replay.loading")}
          {state.phase === "failed" &&
            (alien ? t("replay.codec", { codec }) : t("replay.failed", { detail: state.detail }))}
        </div>
      )}
      {missing && state.phase !== "failed" && (
        <GapNote missing={missing} onNext={missing.kind === "still" || next ? go : undefined} />
      )}
    </div>
  );
}

/** The footage that follows the clip, looked for once the clip has no more to show. */
function useNext(clip: Clip, missing: Missing | undefined): Range | undefined {
  const [next, setNext] = useState<Range>();
  const wanted = missing?.kind === "end" || missing?.kind === "none";
  useEffect(() => {
    setNext(undefined);
    if (!wanted) return;
    const abort = new AbortController();
    nextFootage(clip.camera, clip.to, abort.signal).then(
      (r) => !abort.signal.aborted && setNext(r),
      () => undefined, // without an answer no way on is offered
    );
    return () => abort.abort();
  }, [clip, wanted]);
  return next;
}

const canPlayH265 = (v: HTMLVideoElement | null) => v?.canPlayType('video/mp4; codecs="hvc1.1.6.L120.90"') !== "";
