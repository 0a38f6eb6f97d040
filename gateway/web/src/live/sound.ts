import type { Codec } from "./codecs";

/** Why a camera cannot be heard here: keys of i18n `sound.*`. */
export type Deaf = "none" | "codec" | "browser";

/** What a codec arrives as: the gateway makes Opus of AAC, or says why not once somebody listens. */
const mime: Record<string, RegExp> = {
  PCMA: /\/pcma$/i,
  PCMU: /\/pcmu$/i,
  OPUS: /\/opus$/i,
  AAC: /\/opus$/i,
};

/** The first of the gateway's codes that is about sound, as a key of i18n `reason.*`. */
export function soundNote(codes: string | null | undefined): string | undefined {
  return codes
    ?.split(",")
    .map((c) => c.trim().replaceAll("-", "_"))
    .find((c) => c.startsWith("sound_"));
}

/** The audio codecs this browser can receive; empty where WebRTC is missing. */
export function hearable(): Codec[] {
  if (typeof RTCRtpReceiver === "undefined") return [];
  return RTCRtpReceiver.getCapabilities?.("audio")?.codecs ?? [];
}

/** Why the camera's sound cannot be heard, undefined if it can: no microphone, a codec WebRTC lacks, or this browser. */
export function deaf(codec: string | undefined, codecs: readonly Codec[]): Deaf | undefined {
  if (!codec) return "none";
  const wanted = mime[codec.toUpperCase()];
  if (!wanted) return "codec";
  return codecs.some((c) => wanted.test(c.mimeType)) ? undefined : "browser";
}

export type Hearing = "off" | "starting" | "on" | "silent" | "blocked";

/** Without a packet for so long, somebody who listens is told that nothing comes. */
export const silentMs = 3000;

/** Judges what arrives while one listens. `packets` are totals, read about twice a second. */
export class Ear {
  private packets = -1;
  private at = 0;
  private began = 0;

  begin(now: number): void {
    this.packets = -1;
    this.began = now;
    this.at = 0;
  }

  hear(now: number, packets: number): Hearing {
    if (this.packets >= 0 && packets > this.packets) this.at = now;
    this.packets = packets;
    if (this.at > 0) return now - this.at < silentMs ? "on" : "silent";
    return now - this.began < silentMs ? "starting" : "silent";
  }
}
