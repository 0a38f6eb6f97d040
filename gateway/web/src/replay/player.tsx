import { type RefObject, useEffect, useRef, useState } from "react";
import { ApiError, request } from "../api/client";
import { useTexts } from "../i18n";
import { isH265 } from "../live/codecs";
import { type Footage, type Range, wallTime } from "./bar";
import { clipURL } from "./retrieval";

export type Kind = "mp4" | "hls";

/** What to play. A new object starts anew, also for the same range. */
export interface Clip extends Range {
  camera: string;
  kind: Kind;
  retrieval?: string;
}

interface Props {
  clip: Clip;
  /** Codec of what is recorded, where known: the likely cause if the browser cannot decode it. */
  codec?: string;
  footage: Footage;
  video: RefObject<HTMLVideoElement | null>;
  onTime(wall: number): void;
  /** The gateway wants a registered reason first. */
  onRetrieval(): void;
}

type State = { phase: "loading" | "playing" | "none" } | { phase: "failed"; detail: string };

/**
 * Starts a clip in a video: asks for the playlist first, since a <video> hides why it was refused, then plays the MP4
 * or the HLS. Returns how to stop.
 */
function play(
  clip: Clip,
  video: HTMLVideoElement,
  on: { state(s: State): void; date(d: () => number | undefined): void; retrieval(): void },
) {
  const abort = new AbortController();
  let destroy: (() => void) | undefined;
  const list = clipURL(clip.camera, clip, "m3u8", clip.retrieval);
  const run = async () => {
    await request(list, { signal: abort.signal, timeoutMs: 20_000, headers: { Accept: "*/*" } });
    if (clip.kind === "mp4") {
      video.src = clipURL(clip.camera, clip, "mp4", clip.retrieval);
    } else {
      const { default: Hls } = await import("hls.js/light");
      if (abort.signal.aborted) return;
      if (Hls.isSupported()) {
        const hls = new Hls({ startPosition: 0, maxBufferLength: 30 });
        destroy = () => hls.destroy();
        hls.on(Hls.Events.ERROR, (_, data) => {
          if (data.fatal) on.state({ phase: "failed", detail: data.details });
        });
        on.date(() => hls.playingDate?.getTime());
        hls.loadSource(list);
        hls.attachMedia(video);
      } else {
        video.src = list; // Safari plays it by itself
      }
    }
    video.play().catch(() => undefined);
  };
  run().catch((e) => {
    if (abort.signal.aborted) return;
    if (e instanceof ApiError && e.kind === "retrieval") on.retrieval();
    else if (e instanceof ApiError && e.kind === "missing") on.state({ phase: "none" });
    else on.state({ phase: "failed", detail: e instanceof Error ? e.message : String(e) });
  });
  return () => {
    abort.abort();
    destroy?.();
    video.removeAttribute("src");
    video.load();
  };
}

/** The clip, its state, and the wall-clock time of its picture to whoever asked. */
export function Player({ clip, codec, footage, video, onTime, onRetrieval }: Props) {
  const { t } = useTexts();
  const [state, setState] = useState<State>({ phase: "loading" });
  // Footage only refines the time shown: a refresh of it must not start the clip anew.
  const known = useRef(footage);
  known.current = footage;
  useEffect(() => {
    const v = video.current;
    if (!v) return;
    setState({ phase: "loading" });
    let date: (() => number | undefined) | undefined;
    const stop = play(clip, v, { state: setState, date: (d) => (date = d), retrieval: onRetrieval });
    const playing = () => setState({ phase: "playing" });
    const failed = () =>
      v.src && v.error && setState({ phase: "failed", detail: v.error.message || `MEDIA ${v.error.code}` });
    const time = () => {
      if (v.readyState > 0) onTime(date?.() ?? wallTime(known.current, clip, v.currentTime, v.duration));
    };
    v.addEventListener("playing", playing);
    v.addEventListener("error", failed);
    v.addEventListener("timeupdate", time);
    return () => {
      v.removeEventListener("playing", playing);
      v.removeEventListener("error", failed);
      v.removeEventListener("timeupdate", time);
      stop();
    };
  }, [clip, video, onTime, onRetrieval]);
  const alien = codec !== undefined && isH265(codec) && !canPlayH265(video.current);
  return (
    <div className="player">
      <video ref={video} data-testid="replay-video" controls muted playsInline data-phase={state.phase} />
      {state.phase !== "playing" && (
        <div className={`player-note ${state.phase}`} role="status">
          {state.phase === "loading" && t("replay.loading")}
          {state.phase === "none" && t("replay.none")}
          {state.phase === "failed" &&
            (alien ? t("replay.codec", { codec }) : t("replay.failed", { detail: state.detail }))}
        </div>
      )}
    </div>
  );
}

const canPlayH265 = (v: HTMLVideoElement | null) => v?.canPlayType('video/mp4; codecs="hvc1.1.6.L120.90"') !== "";
