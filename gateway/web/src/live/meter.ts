import { type RefObject, useEffect, useLayoutEffect, useRef, useState } from "react";
import { FrameMeter, watchFrames } from "./frames";
import type { LiveTransport, SlotStats } from "./transport";

/** Plays the stream in the video and meters what is presented; the meter starts again at every epoch. */
export function useMeter(
  video: RefObject<HTMLVideoElement | null>,
  stream: MediaStream | null,
  epoch: number,
): FrameMeter {
  const [meter] = useState(() => new FrameMeter());
  const seen = useRef(epoch);
  if (seen.current !== epoch) {
    seen.current = epoch;
    meter.reset(); // during the render, so that no frame of the former picture is counted for the new one
  }
  useLayoutEffect(() => {
    const v = video.current;
    if (!v) return;
    v.srcObject = stream;
    if (!stream) return;
    v.play().catch(() => undefined); // an interrupted play() is followed by the next one
    const unwatch = watchFrames(v, meter);
    return () => {
      unwatch();
      // A <video> with a live track is never collected, nor is the tile around it.
      v.srcObject = null;
    };
  }, [video, stream, meter]);
  return meter;
}

/**
 * Keeps the last picture of a video that went stale: once its connection closes, a <video> turns black. The canvas is
 * emptied as soon as the picture is not stale any more.
 */
export function useStill(
  video: RefObject<HTMLVideoElement | null>,
  canvas: RefObject<HTMLCanvasElement | null>,
  stale: boolean,
): void {
  useLayoutEffect(() => {
    const v = video.current;
    const c = canvas.current;
    if (!v || !c || !stale || v.videoWidth === 0) return;
    c.width = v.videoWidth;
    c.height = v.videoHeight;
    c.getContext("2d")?.drawImage(v, 0, 0);
    return () => {
      c.width = 0;
      c.height = 0;
    };
  }, [video, canvas, stale]);
}

/** Connection figures once a second, while asked for. */
export function useStats(transport: LiveTransport | undefined, slot: number, wanted: boolean): SlotStats | undefined {
  const [stats, setStats] = useState<SlotStats>();
  useEffect(() => {
    if (!wanted || !transport) return;
    let stopped = false;
    const read = async () => {
      const s = await transport.stats(slot);
      if (!stopped) setStats(s);
    };
    void read();
    const timer = setInterval(() => void read(), 1000);
    return () => {
      stopped = true;
      clearInterval(timer);
      setStats(undefined);
    };
  }, [transport, slot, wanted]);
  return stats;
}
