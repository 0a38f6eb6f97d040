import { useSyncExternalStore } from "react";

/** When the picture that is on the screen was captured, epoch ms; undefined while there is none. It changes with every frame. */
export class Shown {
  private at: number | undefined;
  private readonly told = new Set<() => void>();

  readonly get = () => this.at;

  set(at: number | undefined): void {
    if (at === this.at) return;
    this.at = at;
    for (const tell of this.told) tell();
  }

  readonly subscribe = (tell: () => void) => {
    this.told.add(tell);
    return () => void this.told.delete(tell);
  };
}

export const useShown = (s: Shown) => useSyncExternalStore(s.subscribe, s.get);

/** Tells the media time of every frame that a video presents; where the browser does not, of its position. Returns how to stop. */
export function watchMedia(video: HTMLVideoElement, on: (media: number) => void): () => void {
  if (!("requestVideoFrameCallback" in video)) {
    const v = video as HTMLVideoElement;
    const step = () => v.readyState > 1 && on(v.currentTime);
    v.addEventListener("timeupdate", step);
    return () => v.removeEventListener("timeupdate", step);
  }
  let handle = 0;
  let stopped = false;
  const step = (_: number, meta: VideoFrameCallbackMetadata) => {
    if (stopped) return;
    on(meta.mediaTime);
    handle = video.requestVideoFrameCallback(step);
  };
  handle = video.requestVideoFrameCallback(step);
  return () => {
    stopped = true;
    video.cancelVideoFrameCallback(handle);
  };
}
