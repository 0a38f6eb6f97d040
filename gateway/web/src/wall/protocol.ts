/**
 * The messages of the data channel "wall" (ordered, one JSON object each). A slot is the index of its video section in
 * the offer, from 0. Either side ignores messages and fields it does not know; a gateway may answer them with an error.
 */
import type { ProfileName, State } from "../api/types";
import { parse } from "../lib/time";
import type { Moment } from "../live/moments";

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

/** The sound of that slot's camera goes into the wall's one audio section; -1 for none. */
export interface Listen {
  type: "listen";
  slot: number;
}

/** The slot runs the cameras in turn until it is shown something else or hidden. */
export interface Tour {
  type: "tour";
  slot: number;
  cameras: string[];
  /** Where to begin. */
  camera: string;
  dwell_s: number;
  profile: ProfileName | "auto";
  width: number;
  height: number;
}

export interface TourPause {
  type: "tour_pause";
  slot: number;
  paused: boolean;
}

export interface TourNext {
  type: "tour_next";
  slot: number;
}

/** The slot goes back so many seconds and plays on from there. */
export interface Replay {
  type: "replay";
  slot: number;
  back_s: number;
}

export interface Live {
  type: "live";
  slot: number;
}

/** How the pictures of one slot fared in this browser. Totals since the slot's section was negotiated. */
export interface SlotFigures {
  slot: number;
  decoded: number;
  dropped: number;
  /** Freezes, and their length in all. */
  frozen: number;
  freeze_ms: number;
  jitter_ms: number;
}

export interface Stats {
  type: "stats";
  slots: SlotFigures[];
}

export type Command = Show | Hide | Listen | Tour | TourPause | TourNext | Replay | Live | Stats;

/** The gateway refuses longer messages. */
export const longest = 16_384;

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
  /** The tour passed this camera by: it has no picture. */
  skipped?: boolean;
  /** The tour stands still. */
  paused?: boolean;
  /** The pictures are of the past, by so many ms where known. */
  replay?: boolean;
  behind_ms?: number;
  /** The picture with the RTP timestamp was captured at that epoch ms. */
  moment?: Moment;
  /** The slot is listened to and its sound is not as it comes, or cannot be heard: a code that begins with sound-. */
  sound?: string;
}

/** The gateway did not understand, or could not do, what it was told. */
export interface Refusal {
  type: "error";
  slot?: number;
  reason?: string;
  detail?: string;
}

const states = new Set<string>([
  "live",
  "delayed",
  "frozen",
  "sound_only",
  "no_signal",
  "offline",
  "edge_silent",
  "not_permitted",
  "paused",
  "connecting",
]);

/** The gateway's code of a reason as the key of i18n `reason.*`. */
export const reasonKey = (code: string | undefined) => code?.replaceAll("-", "_");

export function encode(c: Command): string {
  return JSON.stringify(c);
}

const figure = (v: unknown) => (typeof v === "number" && Number.isFinite(v) ? v : undefined);
const text = (v: unknown) => (typeof v === "string" && v !== "" ? v : undefined);

const flag = (v: unknown) => (v === true ? true : undefined);

function record(data: string): Record<string, unknown> | undefined {
  try {
    const m: unknown = JSON.parse(data);
    return typeof m === "object" && m !== null ? (m as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** Reads an error of the gateway; undefined for anything else. */
export function refusal(data: string): Refusal | undefined {
  const m = record(data);
  if (m?.type !== "error") return undefined;
  const slot = typeof m.slot === "number" && Number.isInteger(m.slot) ? m.slot : undefined;
  return { type: "error", slot, reason: text(m.reason), detail: text(m.detail) };
}

/** Reads a message of the gateway; undefined for anything that is no state of a slot below `slots`. */
export function decode(data: string, slots: number): SlotState | undefined {
  const m = record(data);
  if (m?.type !== "state") return undefined;
  const { slot, camera, state } = m;
  if (typeof slot !== "number" || !Number.isInteger(slot) || slot < 0 || slot >= slots) return undefined;
  if (typeof state !== "string" || !(states.has(state) || state === "replay")) return undefined;
  const behind = figure(m.behind_ms) ?? figure(m.replay_ms);
  return {
    type: "state",
    slot,
    camera: text(camera) ?? "",
    profile: m.profile === "main" || m.profile === "sub" ? m.profile : undefined,
    state: state === "replay" ? "live" : (state as State),
    reason: text(m.reason),
    age_ms: figure(m.age_ms),
    fps: figure(m.fps),
    kbps: figure(m.kbps),
    skipped: flag(m.skipped),
    paused: typeof m.paused === "boolean" ? m.paused : undefined,
    replay: flag(m.replay === true || state === "replay" || (behind ?? 0) > 0),
    behind_ms: behind,
    moment: moment(m),
    sound: text(m.sound),
  };
}

function moment(m: Record<string, unknown>): Moment | undefined {
  const rtp = figure(m.rtp);
  const at = parse(text(m.taken));
  return rtp === undefined || at === undefined ? undefined : { rtp, at };
}

/** The figures of slots in as many messages as their length needs. */
export function statsMessages(slots: readonly SlotFigures[]): Stats[] {
  const out: Stats[] = [];
  for (let i = 0; i < slots.length; i += 24) out.push({ type: "stats", slots: slots.slice(i, i + 24) });
  return out;
}
