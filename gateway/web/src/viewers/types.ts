import type { ProfileName } from "../api/types";

/** The shapes of GET /v1/live/sessions. A 0 of rtt_ms, estimated_kbps or kbps means that nothing was measured. */
export interface LiveList {
  now: string;
  sessions: LiveSession[];
  streams: LiveStream[];
}

export interface LiveSession {
  id: string;
  viewer: string;
  wall: boolean;
  since: string;
  connected: boolean;
  remote?: string;
  path: { kbps: number; estimated_kbps?: number; loss_percent: number; queue_ms: number };
  /** The camera as which the session sends pictures; it watches nothing. */
  publishes?: string;
  slots: LiveSlot[] | null;
}

export interface LiveSlot {
  slot: number;
  audio?: boolean;
  camera?: string;
  profile?: ProfileName;
  packets: number;
  bytes: number;
  first_frame_ms: number;
  nacked: number;
  resent: number;
  loss_percent: number;
  rtt_ms: number;
  drops?: Record<string, number>;
  reason?: string;
  /** What the viewer says itself, at most every few seconds; totals since its connection began. */
  viewer?: {
    at: string;
    fps: number;
    decoded: number;
    dropped: number;
    freezes: number;
    frozen_ms: number;
    jitter_ms: number;
    width?: number;
    height?: number;
  };
}

export interface LiveStream {
  camera: string;
  profile: ProfileName;
  /** "h264" if transcoded, "opus" for the sound alone, transcoded. */
  variant?: string;
  viewers: number;
  packets: number;
  bytes: number;
  nacked: number;
  resent: number;
  first_frame_ms: number;
  drops?: Record<string, number>;
}
