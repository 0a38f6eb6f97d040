/** This device's camera and microphone, and why they cannot be had. */
import { publishable, sendable } from "../live/codecs";

export type Facing = "environment" | "user";

/** Why there is no picture to publish: keys of i18n `publish.no.*`. */
export type Lack = "secure" | "webrtc" | "h264" | "denied" | "missing" | "taken" | "failed";

export class CaptureError extends Error {
  constructor(
    readonly lack: Lack,
    detail = "",
  ) {
    super(detail);
    this.name = "CaptureError";
  }
}

/** What of this browser cannot do it at all; undefined if it can. */
export function lacking(): Lack | undefined {
  if (!globalThis.isSecureContext) return "secure";
  if (typeof RTCPeerConnection === "undefined" || !navigator.mediaDevices?.getUserMedia) return "webrtc";
  return publishable(sendable()).length > 0 ? undefined : "h264";
}

/** Names the reason of a getUserMedia failure. */
export function whyNoCapture(e: unknown): CaptureError {
  const name = e instanceof Error ? e.name : "";
  const text = e instanceof Error ? e.message : String(e);
  if (name === "NotAllowedError" || name === "SecurityError") return new CaptureError("denied", text);
  if (name === "NotFoundError" || name === "OverconstrainedError") return new CaptureError("missing", text);
  if (name === "NotReadableError" || name === "AbortError") return new CaptureError("taken", text);
  return new CaptureError("failed", text);
}

const picture = (facing: Facing): MediaTrackConstraints => ({
  facingMode: { ideal: facing },
  width: { ideal: 1280 },
  height: { ideal: 720 },
  frameRate: { ideal: 25, max: 30 },
});

/**
 * Opens camera and microphone. A device without a usable microphone gives a picture alone; without a picture it is a
 * CaptureError.
 */
export async function capture(facing: Facing, sound = true): Promise<MediaStream> {
  const devices = navigator.mediaDevices;
  const video = picture(facing);
  try {
    return await devices.getUserMedia({ video, audio: sound });
  } catch (first) {
    if (!sound) throw whyNoCapture(first);
    try {
      return await devices.getUserMedia({ video, audio: false });
    } catch (e) {
      throw whyNoCapture(e);
    }
  }
}

/** How many cameras this device has; known only after it was allowed to use one. */
export async function cameraCount(): Promise<number> {
  const all = await navigator.mediaDevices.enumerateDevices();
  return all.filter((d) => d.kind === "videoinput").length;
}
