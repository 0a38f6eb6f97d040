import type { ProfileName, State } from "../api/types";
import type { Moment } from "./moments";

/** What a tile asks for. `auto` leaves main or sub to the gateway where it can choose, else to the tile's size. */
export interface SlotRequest {
  camera: string;
  profile: ProfileName | "auto";
  /** Device pixels of the tile. */
  width: number;
  height: number;
  /** Codec names of the camera's profiles, as the camera list has them, to avoid asking for the undecodable. */
  codecs?: Partial<Record<ProfileName, string>>;
  /** The slot runs these cameras in turn; `camera` is then the first of them. */
  tour?: TourRequest;
}

/** One camera of a tour, with what the list knows of it. */
export interface TourStop {
  camera: string;
  codecs?: Partial<Record<ProfileName, string>>;
  /** The list says there is nothing to see: a tour run by the page passes it by. */
  dead?: boolean;
}

export interface TourRequest {
  stops: readonly TourStop[];
  dwellS: number;
}

/** Where a tour is. */
export interface TourView {
  /** Place of the camera shown, from 0. */
  index: number;
  total: number;
  dwellS: number;
  paused: boolean;
  /** When the present camera came, epoch ms. */
  since: number;
  /** Who was passed by for want of a picture, until it is shown again. */
  passed?: readonly Passed[];
}

/** A camera that a tour passed by. */
export interface Passed {
  camera: string;
  /** The gateway's word, where it has one. */
  state?: State;
  reason?: string;
  /** When last, epoch ms. */
  at: number;
}

/** A slot that shows the past. As long as this is there, no picture of the slot may be called live. */
export interface ReplayView {
  backS: number;
  /** Epoch ms at which the gateway began to send it; absent while asked for (the picture is still the live one). */
  since?: number;
  /** How far behind now the pictures are by the gateway's word, ms. */
  behindMs?: number;
}

/**
 * idle: nothing shown · connecting: first attempt · playing: the connection stands (pictures are judged by the frames
 * presented, not by this) · waiting: failed, trying again at `retryAt` · refused: the server said no.
 */
export type Phase = "idle" | "connecting" | "playing" | "waiting" | "refused";

/** What the gateway says about a slot of a wall session. */
export interface ServerReport {
  state: State;
  reason?: string;
  ageMs?: number;
  fps?: number;
  kbps?: number;
}

export interface SlotView {
  phase: Phase;
  camera?: string;
  profile?: ProfileName;
  /** A key of i18n `reason.*`. */
  reason?: string;
  detail?: string;
  /** Why the profile is not the one asked for: a key of i18n `reason.*`. */
  fallback?: string;
  retryAt?: number;
  stream: MediaStream | null;
  /** Grows whenever the picture that follows belongs to another camera or connection: older frames no longer count. */
  epoch: number;
  report?: ServerReport;
  /** What the gateway says of the sound somebody listens to here: a key of i18n `reason.*`. */
  sound?: string;
  tour?: TourView;
  replay?: ReplayView;
  /** When its pictures were captured, where the gateway says so. */
  moments?: readonly Moment[];
}

/** The one slot whose sound is heard, if any, and the sound once it is there. */
export interface SoundView {
  slot?: number;
  stream: MediaStream | null;
}

/** Figures of the sound that arrives. */
export interface SoundStats {
  packets: number;
  /** Loudness of the newest sound, 0 to 1. */
  level: number;
}

export interface SlotStats {
  codec?: string;
  width?: number;
  height?: number;
  fps?: number;
  kbps?: number;
  dropped?: number;
  lost?: number;
  roundTripMs?: number;
}

/**
 * Live pictures for numbered slots. Calls never throw and never wait; outcomes arrive through `subscribe`. A view
 * object is replaced on change and never altered, so it may serve as a React snapshot.
 */
export interface LiveTransport {
  readonly kind: "whep" | "wall" | "fake";
  show(slot: number, request: SlotRequest): void;
  hide(slot: number): void;
  /** The camera seems fine but the tile is not: try again now. */
  nudge(slot: number): void;
  /** The gateway was away and is heard again: what waits to try again does so now. `anew`: it is another process. */
  wake(anew: boolean): void;
  view(slot: number): SlotView;
  subscribe(slot: number, listener: () => void): () => void;
  stats(slot: number): Promise<SlotStats | undefined>;
  /** Makes the sound of one slot heard, and of no other; undefined for silence. A slot that changes camera falls silent. */
  listen(slot: number | undefined): void;
  sound(): SoundView;
  subscribeSound(listener: () => void): () => void;
  soundStats(): Promise<SoundStats | undefined>;
  /** Shows the last `backS` seconds in the slot. False: this transport cannot, play a clip instead. */
  replay(slot: number, backS: number): Promise<boolean>;
  live(slot: number): void;
  tourPause(slot: number, paused: boolean): void;
  tourNext(slot: number): void;
  close(): void;
}

export const idleView: SlotView = { phase: "idle", stream: null, epoch: 0 };

/** The views of all slots and who listens to them: the half of a transport that all transports share. */
export class SlotTable {
  private readonly views = new Map<number, SlotView>();
  private readonly listeners = new Map<number, Set<() => void>>();

  get(slot: number): SlotView {
    return this.views.get(slot) ?? idleView;
  }

  /** Applies a change; an epoch bump is asked for with `fresh`. */
  patch(slot: number, change: Partial<SlotView>, fresh = false): void {
    const old = this.get(slot);
    this.views.set(slot, { ...old, ...change, epoch: fresh ? old.epoch + 1 : old.epoch });
    for (const listener of this.listeners.get(slot) ?? []) listener();
  }

  /** Back to idle; the epoch goes on growing. */
  clear(slot: number): void {
    const { epoch } = this.get(slot);
    this.views.set(slot, { ...idleView, epoch: epoch + 1 });
    for (const listener of this.listeners.get(slot) ?? []) listener();
  }

  subscribe(slot: number, listener: () => void): () => void {
    const set = this.listeners.get(slot) ?? new Set();
    this.listeners.set(slot, set.add(listener));
    return () => set.delete(listener);
  }
}

/** What is heard and who listens for changes of it. */
export class SoundBox {
  private view: SoundView = { stream: null };
  private readonly listeners = new Set<() => void>();

  readonly get = (): SoundView => this.view;

  set(next: SoundView): void {
    if (next.slot === this.view.slot && next.stream === this.view.stream) return;
    this.view = next;
    for (const listener of this.listeners) listener();
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };
}
