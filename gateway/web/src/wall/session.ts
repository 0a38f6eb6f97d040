import { Backoff } from "../lib/backoff";
import { canH265, choose, receivable } from "../live/codecs";
import { Connection, type ConnectionEvents, type ConnectionOptions, type Down } from "../live/connection";
import { StatsReader } from "../live/stats";
import { type LiveTransport, type SlotRequest, type SlotStats, SlotTable } from "../live/transport";
import { channelLabel, decode, encode, type Show, type SlotState, wallPath } from "./protocol";

type Link = Pick<Connection, "open" | "close" | "stats" | "tell">;

export interface WallOptions {
  /** Size of the pool, negotiated once, at most 64. */
  slots: number;
  connect?: (o: ConnectionOptions, on: ConnectionEvents) => Link;
  h265?: boolean;
  random?: () => number;
  /** Called once if this gateway serves no walls; the session is closed then. */
  unsupported?: () => void;
}

const steadyMs = 10_000;
const refusedMs = 10_000;

/**
 * A wall: one PeerConnection with a fixed pool of receive-only slots. What a slot shows is a message, without
 * renegotiation. The wanted slots are kept here, so a broken connection is made again (with back-off) and restored.
 */
export class WallSession implements LiveTransport {
  readonly kind = "wall";
  private readonly table = new SlotTable();
  private readonly wanted = new Map<number, SlotRequest>();
  private readonly streams = new Map<number, MediaStream>();
  private readonly readers = new Map<number, StatsReader>();
  private readonly backoff: Backoff;
  private readonly o: Required<WallOptions>;
  private link: Link | undefined;
  private isOpen = false;
  private everUp = false;
  private failures = 0;
  private closed = false;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private steady: ReturnType<typeof setTimeout> | undefined;

  constructor(o: WallOptions) {
    this.o = {
      connect: (options, on) => new Connection(options, on),
      h265: canH265(receivable()),
      random: Math.random,
      unsupported: () => undefined,
      ...o,
    };
    this.backoff = new Backoff(300, 10_000, this.o.random);
    this.open();
  }

  show(slot: number, r: SlotRequest): void {
    if (this.closed || slot < 0 || slot >= this.o.slots) return;
    const old = this.wanted.get(slot);
    this.wanted.set(slot, r);
    const other = old?.camera !== r.camera;
    if (other) {
      const phase = this.table.get(slot).phase === "waiting" ? "waiting" : "connecting";
      const change = { camera: r.camera, phase, report: undefined, reason: undefined, profile: undefined } as const;
      this.table.patch(slot, { ...change, stream: this.streams.get(slot) ?? null }, true);
    }
    if (other || old === undefined || key(old) !== key(r)) this.tell(slot, r);
  }

  hide(slot: number): void {
    if (!this.wanted.delete(slot)) return;
    if (this.isOpen) this.link?.tell(encode({ type: "hide", slot }));
    this.table.clear(slot);
  }

  nudge(slot: number): void {
    const r = this.wanted.get(slot);
    if (r) this.tell(slot, r);
  }

  readonly view = (slot: number) => this.table.get(slot);

  readonly subscribe = (slot: number, listener: () => void) => this.table.subscribe(slot, listener);

  async stats(slot: number): Promise<SlotStats | undefined> {
    const report = await this.link?.stats();
    const track = this.streams.get(slot)?.getVideoTracks()[0]?.id;
    let reader = this.readers.get(slot);
    if (!reader) {
      reader = new StatsReader();
      this.readers.set(slot, reader);
    }
    return report && track ? reader.read(report, track) : undefined;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    clearTimeout(this.retry);
    clearTimeout(this.steady);
    this.link?.close();
    this.link = undefined;
    for (const slot of this.wanted.keys()) this.table.clear(slot);
    this.wanted.clear();
  }

  private open(): void {
    this.isOpen = false;
    this.link = this.o.connect(
      { url: wallPath, slots: this.o.slots, channel: channelLabel },
      {
        track: (slot, track) => this.track(slot, track),
        up: () => {
          this.everUp = true;
          clearTimeout(this.steady);
          this.steady = setTimeout(() => this.backoff.reset(), steadyMs);
        },
        ready: () => this.ready(),
        message: (data) => this.message(data),
        down: (why) => this.down(why),
      },
    );
    void this.link.open();
  }

  private track(slot: number, track: MediaStreamTrack): void {
    const stream = new MediaStream([track]);
    this.streams.set(slot, stream);
    this.readers.delete(slot);
    if (this.wanted.has(slot)) this.table.patch(slot, { stream }, true);
  }

  /** The channel is open: say everything that is wanted, also after a reconnection. */
  private ready(): void {
    this.isOpen = true;
    for (const [slot, r] of this.wanted) {
      this.table.patch(slot, { phase: "connecting", reason: undefined, detail: undefined, retryAt: undefined });
      this.tell(slot, r);
    }
  }

  private tell(slot: number, r: SlotRequest): void {
    if (!this.isOpen) return;
    const { camera, width, height } = r;
    const { profile, fallback } = this.profile(r);
    this.link?.tell(encode({ type: "show", slot, camera, profile, width, height }));
    this.table.patch(slot, { fallback });
  }

  /** `auto` is left to the gateway unless this browser could not decode what it may choose. */
  private profile(r: SlotRequest): Pick<Show, "profile"> & { fallback?: string } {
    const chosen = choose(r, this.o.h265);
    return chosen.fallback || r.profile !== "auto" ? chosen : { profile: "auto" };
  }

  private message(data: string): void {
    const m = decode(data, this.o.slots);
    const r = m && this.wanted.get(m.slot);
    // A state of the camera the slot showed before the newest command is old news.
    if (!m || !r || m.camera !== r.camera) return;
    this.state(m);
  }

  private state(m: SlotState): void {
    const moving = m.state === "live" || m.state === "delayed";
    const old = this.table.get(m.slot);
    this.table.patch(
      m.slot,
      {
        phase: m.state === "not_permitted" ? "refused" : moving || old.phase === "playing" ? "playing" : "connecting",
        profile: m.profile ?? old.profile,
        reason: moving
          ? undefined
          : (reasonKey(m.reason) ?? (m.state === "not_permitted" ? "not_permitted" : undefined)),
        report: { state: m.state, reason: reasonKey(m.reason), ageMs: m.age_ms, fps: m.fps, kbps: m.kbps },
      },
      moving && old.phase !== "playing", // only from now on are the frames this camera's
    );
  }

  /** A gateway that knows no walls, or cannot start one three times running though it answers. */
  private hopeless(why: Down): boolean {
    if (why.reason === "not_found") return true;
    this.failures += why.status !== undefined ? 1 : 0;
    return this.failures >= 3;
  }

  private down(why: Down): void {
    this.link = undefined;
    this.isOpen = false;
    clearTimeout(this.steady);
    if (this.closed) return;
    if (!this.everUp && this.hopeless(why)) {
      this.close();
      this.o.unsupported();
      return;
    }
    this.streams.clear();
    const wait = why.refused ? refusedMs : this.backoff.next();
    this.retry = setTimeout(() => this.open(), wait);
    for (const slot of this.wanted.keys()) {
      const { reason, detail } = why;
      // The stream stays in the view: its last picture is shown dimmed and stamped, not as a black hole.
      this.table.patch(slot, { phase: "waiting", reason, detail, retryAt: Date.now() + wait, report: undefined });
    }
  }
}

/** The gateway writes codes with dashes; texts are looked up with underscores. */
const reasonKey = (code: string | undefined) => code?.replaceAll("-", "_");

const key = (r: SlotRequest) => `${r.profile} ${r.width}x${r.height} ${r.codecs?.main ?? ""} ${r.codecs?.sub ?? ""}`;
