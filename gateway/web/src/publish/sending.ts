/** What leaves this device by its connection's own account. */
export interface Sending {
  width?: number;
  height?: number;
  fps?: number;
  kbps?: number;
  /** Why the encoder holds back: "cpu" or "bandwidth". */
  limited?: string;
}

/** Turns successive getStats reports into the figures of the video that is sent. */
export class SendingReader {
  private bytes = 0;
  private at = 0;

  read(report: RTCStatsReport): Sending | undefined {
    for (const s of report.values()) {
      if (s.type !== "outbound-rtp" || s.kind !== "video") continue;
      const bytes = s.bytesSent ?? 0;
      const seconds = (s.timestamp - this.at) / 1000;
      const measured = this.at > 0 && seconds > 0 && bytes >= this.bytes;
      const kbps = measured ? Math.round(((bytes - this.bytes) * 8) / 1000 / seconds) : undefined;
      this.bytes = bytes;
      this.at = s.timestamp;
      const limited = s.qualityLimitationReason === "none" ? undefined : s.qualityLimitationReason;
      return { width: s.frameWidth, height: s.frameHeight, fps: s.framesPerSecond, kbps, limited };
    }
    return undefined;
  }
}
