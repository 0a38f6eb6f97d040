import type { SlotStats } from "./transport";

/** Turns successive getStats reports into the figures of one video, by its track or, if alone, any inbound video. */
export class StatsReader {
  private bytes = 0;
  private at = 0;

  read(report: RTCStatsReport, track?: string): SlotStats | undefined {
    let inbound: RTCInboundRtpStreamStats | undefined;
    let pair: RTCIceCandidatePairStats | undefined;
    for (const s of report.values()) {
      if (s.type === "inbound-rtp" && s.kind === "video" && (!track || s.trackIdentifier === track)) inbound = s;
      if (s.type === "candidate-pair" && s.nominated && s.state === "succeeded") pair = s;
    }
    if (!inbound) return undefined;
    const codec = inbound.codecId ? report.get(inbound.codecId)?.mimeType : undefined;
    const bytes = inbound.bytesReceived ?? 0;
    const seconds = (inbound.timestamp - this.at) / 1000;
    const kbps =
      this.at > 0 && seconds > 0 && bytes >= this.bytes ? ((bytes - this.bytes) * 8) / 1000 / seconds : undefined;
    this.bytes = bytes;
    this.at = inbound.timestamp;
    return {
      codec: typeof codec === "string" ? codec.replace("video/", "") : undefined,
      width: inbound.frameWidth,
      height: inbound.frameHeight,
      fps: inbound.framesPerSecond,
      kbps: kbps === undefined ? undefined : Math.round(kbps),
      dropped: inbound.framesDropped,
      lost: inbound.packetsLost,
      roundTripMs: pair?.currentRoundTripTime === undefined ? undefined : Math.round(pair.currentRoundTripTime * 1000),
    };
  }
}

/** True if packets keep coming but none becomes a picture: the codec is not the negotiated one. */
export function undecodable(report: RTCStatsReport): boolean {
  for (const s of report.values()) {
    if (s.type !== "inbound-rtp" || s.kind !== "video") continue;
    if ((s.packetsReceived ?? 0) > 50 && (s.framesDecoded ?? 0) === 0) return true;
  }
  return false;
}
