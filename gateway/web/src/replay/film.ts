/** Gets a clip into a <video> and knows of each of its pictures when it was captured. */
import { ApiError } from "../api/client";
import type { Range } from "./bar";
import { clipURL } from "./retrieval";
import { askTimeline, recordedIn, type Stretch, stretchesOf, type Timeline } from "./timeline";

export type Kind = "mp4" | "hls";

/** What to play. A new object starts anew, also for the same range. */
export interface Clip extends Range {
  camera: string;
  kind: Kind;
  retrieval?: string;
}

/** What is being played. */
export interface Film {
  /** MP4 where the browser cannot play HLS by our player. */
  kind: Kind;
  timeline: Timeline;
  /** Where the film shows which moments: of HLS only what is known so far. */
  spans(): readonly Stretch[];
}

export interface FilmEvents {
  film(f: Film): void;
  failed(detail: string): void;
  /** The gateway wants a registered reason first. */
  retrieval(): void;
}

/**
 * Starts a clip in a video. The timeline comes first: a <video> hides why it was refused, and where nothing was recorded
 * nobody is asked for a reason to see it. Returns how to stop.
 */
export function play(clip: Clip, video: HTMLVideoElement, on: FilmEvents): () => void {
  const abort = new AbortController();
  let destroy: (() => void) | undefined;
  const run = async () => {
    const timeline = await timelineOf(clip, abort.signal);
    if (abort.signal.aborted) return;
    if (!timeline) return on.retrieval();
    const Hls = clip.kind === "hls" && timeline.spans.length > 0 ? (await import("hls.js/light")).default : undefined;
    if (abort.signal.aborted) return;
    if (!Hls?.isSupported()) {
      on.film({ kind: "mp4", timeline, spans: () => timeline.spans });
      if (timeline.spans.length === 0) return;
      video.src = clipURL(clip.camera, clip, "mp4", clip.retrieval);
    } else {
      let spans: readonly Stretch[] = [];
      on.film({ kind: "hls", timeline, spans: () => spans });
      const hls = new Hls({ maxBufferLength: 30 });
      destroy = () => hls.destroy();
      const learn = () => {
        spans = stretchesOf(hls.latestLevelDetails?.fragments ?? []);
      };
      for (const e of [Hls.Events.LEVEL_LOADED, Hls.Events.LEVEL_PTS_UPDATED, Hls.Events.FRAG_CHANGED] as const)
        hls.on(e, learn);
      hls.on(Hls.Events.ERROR, (_, data) => {
        if (data.fatal) on.failed(data.details);
      });
      hls.loadSource(clipURL(clip.camera, clip, "m3u8", clip.retrieval));
      hls.attachMedia(video);
    }
    video.play().catch(() => undefined);
  };
  run().catch((e) => {
    if (!abort.signal.aborted) on.failed(e instanceof Error ? e.message : String(e));
  });
  return () => {
    abort.abort();
    destroy?.();
    video.removeAttribute("src");
    video.load();
  };
}

/** The timeline; undefined if a reason has to be registered before. That is not asked for where nothing was recorded. */
async function timelineOf(clip: Clip, signal: AbortSignal): Promise<Timeline | undefined> {
  try {
    return await askTimeline(clip.camera, clip, clip.retrieval, { signal, timeoutMs: 20_000 });
  } catch (e) {
    if (!(e instanceof ApiError && e.kind === "retrieval")) throw e;
    const { spans, gaps } = await recordedIn(clip.camera, clip, signal);
    return spans.length > 0 ? undefined : { from: clip.from, to: clip.to, spans: [], gaps };
  }
}
