import type { SlotFigures } from "../wall/protocol";
import type { SlotStats, SoundStats } from "./transport";

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

/** Totals of each slot's video for the gateway, by the slots' tracks; slots nothing is known of are left out. */
export function slotFigures(report: RTCStatsReport, tracks: ReadonlyMap<number, string>): SlotFigures[] {
  const byTrack = new Map<string, RTCInboundRtpStreamStats>();
  for (const s of report.values())
    if (s.type === "inbound-rtp" && s.kind === "video") byTrack.set(s.trackIdentifier, s);
  const out: SlotFigures[] = [];
  for (const [slot, track] of tracks) {
    const s = byTrack.get(track);
    if (!s) continue;
    out.push({
      slot,
      decoded: s.framesDecoded ?? 0,
      dropped: s.framesDropped ?? 0,
      frozen: s.freezeCount ?? 0,
      freeze_ms: Math.round((s.totalFreezesDuration ?? 0) * 1000),
      jitter_ms: Math.round((s.jitter ?? 0) * 1000),
    });
  }
  return out.sort((a, b) => a.slot - b.slot);
}

/** The sound that arrives on a connection with one audio section. */
export function soundFigures(report: RTCStatsReport): SoundStats | undefined {
  for (const s of report.values()) {
    if (s.type === "inbound-rtp" && s.kind === "audio")
      return { packets: s.packetsReceived ?? 0, level: s.audioLevel ?? 0 };
  }
  return undefined;
}
