/**
 * The messages of the data channel "wall" (ordered, one JSON object each). Page to gateway: show, hide. Gateway to
 * page: state. A slot is the index of its video section in the offer, from 0.
 */
import type { ProfileName, State } from "../api/types";

export const channelLabel = "wall";
export const wallPath = "/v1/walls";

export interface Show {
  type: "show";
  slot: number;
  camera: string;
  profile: ProfileName | "auto";
  /** Device pixels of the tile; the gateway picks main or sub by them when profile is auto. */
  width: number;
  height: number;
}

export interface Hide {
  type: "hide";
  slot: number;
}

export type Command = Show | Hide;

/**
 * How a slot is. Sent at every change and then about once a second while the slot shows something. From the first
 * message with a live or delayed state for a camera on, the frames of the slot are that camera's.
 */
export interface SlotState {
  type: "state";
  slot: number;
  camera: string;
  profile?: ProfileName;
  state: State;
  reason?: string;
  age_ms?: number;
  fps?: number;
  kbps?: number;
}

const states = new Set<string>([
  "live",
  "delayed",
  "frozen",
  "no_signal",
  "offline",
  "edge_silent",
  "not_permitted",
  "paused",
  "connecting",
]);

export function encode(c: Command): string {
  return JSON.stringify(c);
}

const figure = (v: unknown) => (typeof v === "number" && Number.isFinite(v) ? v : undefined);
const text = (v: unknown) => (typeof v === "string" && v !== "" ? v : undefined);

/** Reads a message of the gateway; undefined for anything that is no state of a slot below `slots`. */
export function decode(data: string, slots: number): SlotState | undefined {
  let m: Record<string, unknown>;
  try {
    m = JSON.parse(data) as Record<string, unknown>;
  } catch {
    return undefined;
  }
  if (typeof m !== "object" || m === null || m.type !== "state") return undefined;
  const { slot, camera, state } = m;
  if (typeof slot !== "number" || !Number.isInteger(slot) || slot < 0 || slot >= slots) return undefined;
  if (typeof state !== "string" || !states.has(state)) return undefined;
  return {
    type: "state",
    slot,
    camera: text(camera) ?? "",
    profile: m.profile === "main" || m.profile === "sub" ? m.profile : undefined,
    state: state as State,
    reason: text(m.reason),
    age_ms: figure(m.age_ms),
    fps: figure(m.fps),
    kbps: figure(m.kbps),
  };
}
