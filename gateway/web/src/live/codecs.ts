import type { ProfileName } from "../api/types";
import type { SlotRequest } from "./transport";

export interface Codec {
  mimeType: string;
  clockRate?: number;
  channels?: number;
  sdpFmtpLine?: string;
}

export const isH265 = (name: string) => /h\.?265|hevc|hvc1|hev1/i.test(name);

/** The video codecs this browser can receive; empty where WebRTC is missing. */
export function receivable(): Codec[] {
  if (typeof RTCRtpReceiver === "undefined") return [];
  return RTCRtpReceiver.getCapabilities?.("video")?.codecs ?? [];
}

export function canH265(codecs: readonly Codec[]): boolean {
  return codecs.some((c) => isH265(c.mimeType));
}

/**
 * The codecs worth offering: constrained-baseline H.264 in packetization mode 1 first (a slot so negotiated plays any
 * profile Chromium decodes), H.265 if there, and retransmission. A short list keeps a 16-slot offer at 22 kB instead
 * of 80. Empty means "offer everything": this browser has no H.264 to prefer.
 */
export function preferred(codecs: readonly Codec[]): Codec[] {
  const h264 = codecs.filter((c) => /\/h264$/i.test(c.mimeType) && /packetization-mode=1/.test(c.sdpFmtpLine ?? ""));
  const base = h264.find((c) => /profile-level-id=42e0/i.test(c.sdpFmtpLine ?? "")) ?? h264[0];
  if (!base) return [];
  return [base, ...codecs.filter((c) => isH265(c.mimeType)), ...codecs.filter((c) => /\/rtx$/i.test(c.mimeType))];
}

/** The video codecs this browser can send; empty where WebRTC is missing. */
export function sendable(): Codec[] {
  if (typeof RTCRtpSender === "undefined") return [];
  return RTCRtpSender.getCapabilities?.("video")?.codecs ?? [];
}

/** The codecs to publish in: what the gateway records without touching it is H.264. Empty: this browser cannot. */
export function publishable(codecs: readonly Codec[]): Codec[] {
  const [base] = preferred(codecs);
  return base ? [base, ...codecs.filter((c) => /\/rtx$/i.test(c.mimeType))] : [];
}

/** Above this height in device pixels a sub-stream looks poor, so `auto` asks for main. */
const mainFrom = 620;

/** Which profile to ask for, and why it is not the one wanted. */
export function choose(r: SlotRequest, h265: boolean): { profile: ProfileName; fallback?: string } {
  const wanted: ProfileName = r.profile === "auto" ? (r.height >= mainFrom ? "main" : "sub") : r.profile;
  const other: ProfileName = wanted === "main" ? "sub" : "main";
  const has = (p: ProfileName) => r.codecs?.[p] !== undefined;
  if (!has(wanted) && has(other)) return { profile: other }; // many terminals have one profile only
  if (h265 || !isH265(r.codecs?.[wanted] ?? "")) return { profile: wanted };
  const usable = has(other) && !isH265(r.codecs?.[other] ?? "");
  return usable ? { profile: other, fallback: "h265" } : { profile: wanted };
}
