/** Test helpers: a connection whose events the test fires, and the DOM classes node lacks. */
import { vi } from "vitest";
import type { SlotFigures } from "../wall/protocol";
import type { ConnectionEvents, ConnectionOptions } from "./connection";

export class FakeTrack extends EventTarget {
  muted = true;
  constructor(readonly id: string) {
    super();
  }
  unmute(): void {
    this.muted = false;
    this.dispatchEvent(new Event("unmute"));
  }
}

export class FakeStream {
  constructor(readonly tracks: FakeTrack[]) {}
  getVideoTracks(): FakeTrack[] {
    return this.tracks;
  }
}

export class FakeLink {
  closed = false;
  readonly told: Record<string, unknown>[] = [];
  readonly reported: SlotFigures[] = [];
  readonly tracks: FakeTrack[] = [];
  readonly replaced: unknown[] = [];
  figures: RTCStatsReport = new Map() as unknown as RTCStatsReport;

  constructor(
    readonly o: ConnectionOptions,
    readonly on: ConnectionEvents,
  ) {}

  async open(): Promise<void> {}

  close(): void {
    this.closed = true;
  }

  async replace(track: unknown): Promise<void> {
    this.replaced.push(track);
  }

  async stats(): Promise<RTCStatsReport> {
    return this.figures;
  }

  async report(slots: readonly SlotFigures[]): Promise<void> {
    this.reported.push(...slots);
  }

  tell(message: string): boolean {
    this.told.push(JSON.parse(message));
    return true;
  }

  /** Brings the connection up: tracks, then ICE, then the channel if there is one. */
  up(): void {
    for (let i = 0; i < this.o.slots; i++) {
      const track = new FakeTrack(`${this.o.url}#${i}`);
      this.tracks.push(track);
      this.on.track(i, track as unknown as MediaStreamTrack);
    }
    if (this.o.audio) this.on.sound?.(new FakeTrack(`${this.o.url}#sound`) as unknown as MediaStreamTrack);
    this.on.up();
    this.on.ready?.();
  }

  say(message: unknown): void {
    this.on.message?.(typeof message === "string" ? message : JSON.stringify(message));
  }
}

/** All links made so far, newest last. */
export function fakeLinks() {
  vi.stubGlobal("MediaStream", FakeStream);
  const links: FakeLink[] = [];
  const connect = (o: ConnectionOptions, on: ConnectionEvents): FakeLink => {
    const link = new FakeLink(o, on);
    links.push(link);
    return link;
  };
  const last = () => links.at(-1) as FakeLink;
  return { links, connect, last };
}
