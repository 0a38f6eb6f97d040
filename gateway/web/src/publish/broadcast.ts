import { Backoff } from "../lib/backoff";
import { Connection, type ConnectionEvents, type ConnectionOptions, type Down } from "../live/connection";

type Link = Pick<Connection, "open" | "close" | "stats" | "replace">;

export interface BroadcastView {
  /** waiting: the path broke, or somebody else has the camera; tried again at retryAt. refused: not tried again. */
  phase: "off" | "connecting" | "live" | "waiting" | "refused";
  /** A key of i18n `reason.*`, and the gateway's own words. */
  reason?: string;
  detail?: string;
  retryAt?: number;
  /** Epoch ms at which the first connection of this broadcast stood. */
  since?: number;
}

export interface BroadcastOptions {
  connect?: (o: ConnectionOptions, on: ConnectionEvents) => Link;
  random?: () => number;
}

const off: BroadcastView = { phase: "off" };
/** A connection that held so long makes the next failure a new one. */
const steadyMs = 30_000;
/** A former session of ours that the gateway has not given up yet is gone after so long. */
const busyMs = 8000;

/** Publishes this device's tracks as one camera, and again when the path breaks, until told to stop. */
export class Broadcast {
  private view: BroadcastView = off;
  private link: Link | undefined;
  private camera: string | undefined;
  private tracks: readonly MediaStreamTrack[] = [];
  private retry: ReturnType<typeof setTimeout> | undefined;
  private steady: ReturnType<typeof setTimeout> | undefined;
  private readonly listeners = new Set<() => void>();
  private readonly backoff: Backoff;
  private readonly connect: (o: ConnectionOptions, on: ConnectionEvents) => Link;

  constructor(o: BroadcastOptions = {}) {
    this.connect = o.connect ?? ((options, on) => new Connection(options, on));
    this.backoff = new Backoff(1000, 15_000, o.random);
  }

  readonly get = (): BroadcastView => this.view;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  start(camera: string, tracks: readonly MediaStreamTrack[]): void {
    this.stop();
    this.camera = camera;
    this.tracks = tracks;
    this.backoff.reset();
    this.dial();
  }

  /** Ends the broadcast; the tracks stay the caller's. Safe to call twice. */
  stop(): void {
    this.drop();
    this.camera = undefined;
    this.tracks = [];
    this.set(off);
  }

  /** Goes on with another track of its kind. */
  async replace(track: MediaStreamTrack): Promise<void> {
    this.tracks = this.tracks.map((old) => (old.kind === track.kind ? track : old));
    await this.link?.replace(track);
  }

  async stats(): Promise<RTCStatsReport | undefined> {
    return this.link?.stats();
  }

  private drop(): void {
    clearTimeout(this.retry);
    clearTimeout(this.steady);
    this.link?.close();
    this.link = undefined;
  }

  private dial(): void {
    const { camera, tracks } = this;
    if (camera === undefined) return;
    this.set({ phase: "connecting", since: this.view.since });
    const link = this.connect(
      { url: `/v1/whip/${encodeURIComponent(camera)}`, slots: 0, give: tracks },
      {
        track: () => undefined,
        up: () => link === this.link && this.up(),
        down: (why) => link === this.link && this.down(why),
      },
    );
    this.link = link;
    void link.open();
  }

  private up(): void {
    this.set({ phase: "live", since: this.view.since ?? Date.now() });
    clearTimeout(this.steady);
    this.steady = setTimeout(() => this.backoff.reset(), steadyMs);
  }

  private down(why: Down): void {
    this.drop();
    const { reason, detail } = why;
    if (why.refused && reason !== "busy") {
      this.set({ phase: "refused", reason, detail });
      return;
    }
    const wait = reason === "busy" ? busyMs : this.backoff.next();
    this.retry = setTimeout(() => this.dial(), wait);
    this.set({ phase: "waiting", reason, detail, retryAt: Date.now() + wait, since: this.view.since });
  }

  private set(next: BroadcastView): void {
    this.view = next;
    for (const listener of this.listeners) listener();
  }
}
