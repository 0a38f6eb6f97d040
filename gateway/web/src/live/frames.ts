/** What is known about the pictures a person has really been shown, from requestVideoFrameCallback alone. */
export interface FrameReading {
  /** Epoch ms at which the newest frame was presented; undefined if none of the present epoch was. */
  lastAt?: number;
  /** How old that frame was when shown, ms: from capture to presentation where the sender's clock tells it. */
  ageMs?: number;
  /** False if ageMs is only a lower bound (time since the frame's packets arrived). */
  measured: boolean;
  /** Frames presented a second, over the last two seconds. */
  fps: number;
  /** RTP timestamp of the newest frame, where it has one. */
  rtp?: number;
}

/** The fields of VideoFrameCallbackMetadata that count here; times are DOMHighResTimeStamp. */
export interface FrameMeta {
  expectedDisplayTime: number;
  captureTime?: number;
  receiveTime?: number;
  rtpTimestamp?: number;
  mediaTime?: number;
}

/** Capture times further off than this are a sender's nonsense, not an age. */
const absurdMs = 3_600_000;

/**
 * A browser presents the last frame once more when its connection is closed or its element moves. That is no new
 * picture: it has the RTP timestamp of the one before, or none where that one had one, or the same media time.
 */
function repeated(a: FrameMeta, b: FrameMeta): boolean {
  if (a.rtpTimestamp !== undefined) return b.rtpTimestamp === undefined || b.rtpTimestamp === a.rtpTimestamp;
  return a.mediaTime !== undefined && b.mediaTime === a.mediaTime;
}

/** Collects presented frames. `reset` when the picture becomes another camera's. Not tied to the DOM. */
export class FrameMeter {
  private times: number[] = [];
  private last: { at: number; ageMs?: number; measured: boolean } | undefined;
  private former: FrameMeta | undefined;

  reset(): void {
    this.times = [];
    this.former = undefined;
    this.last = undefined;
  }

  /** A frame was presented at `now` (epoch ms). */
  frame(now: number, meta: FrameMeta): void {
    if (this.former && repeated(this.former, meta)) return;
    this.former = meta;
    this.times.push(now);
    if (this.times.length > 150) this.times.splice(0, 60);
    const shown = meta.expectedDisplayTime;
    const capture = meta.captureTime === undefined ? undefined : shown - meta.captureTime;
    const receive = meta.receiveTime === undefined ? undefined : shown - meta.receiveTime;
    const sane = (v: number | undefined) => v !== undefined && Number.isFinite(v) && Math.abs(v) < absurdMs;
    if (sane(capture) && (capture as number) > -500) {
      this.last = { at: now, ageMs: Math.max(0, capture as number), measured: true };
    } else {
      this.last = { at: now, ageMs: sane(receive) ? Math.max(0, receive as number) : undefined, measured: false };
    }
  }

  read(now: number): FrameReading {
    const from = now - 2000;
    const recent = this.times.filter((t) => t > from).length;
    const { at, ageMs, measured = false } = this.last ?? {};
    return { lastAt: at, ageMs, measured, fps: recent / 2, rtp: this.former?.rtpTimestamp };
  }
}

/** Feeds a meter from a <video>; returns how to stop. */
export function watchFrames(video: HTMLVideoElement, meter: FrameMeter): () => void {
  let handle = 0;
  let stopped = false;
  const step = (_: number, meta: VideoFrameCallbackMetadata) => {
    if (stopped) return;
    meter.frame(Date.now(), meta);
    handle = video.requestVideoFrameCallback(step);
  };
  handle = video.requestVideoFrameCallback(step);
  return () => {
    stopped = true;
    video.cancelVideoFrameCallback(handle);
  };
}
