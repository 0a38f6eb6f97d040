import { Backoff } from "../lib/backoff";
import { canH265, choose, receivable } from "../live/codecs";
import { Connection, type ConnectionEvents, type ConnectionOptions, type Down } from "../live/connection";
import { addMoment } from "../live/moments";
import { soundNote } from "../live/sound";
import { StatsReader, slotFigures, soundFigures } from "../live/stats";
import { sameStops } from "../live/tour";
import {
  type LiveTransport,
  type SlotRequest,
  type SlotStats,
  SlotTable,
  SoundBox,
  type SoundStats,
} from "../live/transport";
import {
  type Command,
  channelLabel,
  decode,
  encode,
  reasonKey,
  refusal,
  type Show,
  type SlotState,
  statsMessages,
  wallPath,
} from "./protocol";
import { Replays } from "./replays";
import { WallTours } from "./tours";

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
const statsMs = 5000;
/** The gateway says "alive" every second. */
const heartbeatMs = 2000;

/**
 * A wall: one PeerConnection with a fixed pool of receive-only slots and one for sound. What a slot shows is a message,
 * without renegotiation. The wanted slots are kept here, so a broken connection is made again (with back-off) and
 * restored; a replay is not, the slot is live again then.
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
  private refused: Down | undefined;
  private closed = false;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private steady: ReturnType<typeof setTimeout> | undefined;
  private posting: ReturnType<typeof setInterval> | undefined;
  private readonly sounds = new SoundBox();
  private soundStream: MediaStream | null = null;
  private readonly replays = new Replays(this.table, (c) => this.send(c));
  private readonly tours = new WallTours({
    table: this.table,
    wanted: this.wanted,
    send: (c) => this.send(c),
    show: (slot, r) => this.put(slot, r),
    change: (slot, camera) => this.change(slot, camera),
  });

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
    if (this.refused) {
      this.table.patch(slot, { camera: r.camera });
      this.barred(this.refused);
      return;
    }
    const other = old?.camera !== r.camera || !sameStops(old.tour, r.tour);
    if (other) {
      this.leave(slot);
      const { dwellS = 0, stops = [] } = r.tour ?? {};
      const tour = r.tour && { index: 0, total: stops.length, dwellS, paused: false, since: Date.now() };
      this.change(slot, r.camera);
      this.table.patch(slot, { tour });
    }
    if (other || old === undefined || key(old) !== key(r)) this.tell(slot, r);
    else if (r.tour) this.tours.refresh(slot, r);
  }

  /** The slot waits for the pictures of another camera. */
  private change(slot: number, camera: string): void {
    this.silence(slot);
    const phase = this.table.get(slot).phase === "waiting" ? "waiting" : "connecting";
    const change = { camera, phase, report: undefined, reason: undefined, profile: undefined } as const;
    this.table.patch(slot, { ...change, stream: this.streams.get(slot) ?? null }, true);
  }

  /** Ends what belonged to the slot's former camera. */
  private leave(slot: number): void {
    this.replays.drop(slot);
    this.silence(slot);
    this.tours.end(slot);
    this.table.patch(slot, { tour: undefined, replay: undefined });
  }

  hide(slot: number): void {
    if (!this.wanted.has(slot)) return;
    this.leave(slot);
    this.wanted.delete(slot);
    this.send({ type: "hide", slot });
    this.table.clear(slot);
  }

  nudge(slot: number): void {
    const r = this.wanted.get(slot);
    if (r && !this.table.get(slot).replay) this.tell(slot, r);
  }

  wake(anew: boolean): void {
    if (this.closed) return;
    if (anew && this.link) {
      // The gateway that had this wall is no more: its connection would only be found dead after a while.
      this.link.close();
      this.down({ reason: "connection_lost", refused: false });
    }
    if (this.retry === undefined && !this.refused) return;
    clearTimeout(this.retry);
    this.refused = undefined;
    this.backoff.reset();
    this.open();
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

  listen(slot: number | undefined): void {
    if (slot === this.sounds.get().slot || (slot !== undefined && !this.wanted.has(slot))) return;
    this.sounds.set({ slot, stream: slot === undefined ? null : this.soundStream });
    this.send({ type: "listen", slot: slot ?? -1 });
  }

  private silence(slot: number): void {
    if (this.sounds.get().slot === slot) this.listen(undefined);
  }

  readonly sound = this.sounds.get;

  readonly subscribeSound = this.sounds.subscribe;

  async soundStats(): Promise<SoundStats | undefined> {
    const report = await this.link?.stats();
    return report && soundFigures(report);
  }

  async replay(slot: number, backS: number): Promise<boolean> {
    if (!this.isOpen || !this.wanted.has(slot)) return false;
    return this.replays.ask(slot, backS);
  }

  live(slot: number): void {
    this.replays.live(slot);
  }

  tourPause(slot: number, paused: boolean): void {
    this.tours.pause(slot, paused);
  }

  tourNext(slot: number): void {
    this.tours.next(slot);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const timer of [this.retry, this.steady]) clearTimeout(timer);
    clearInterval(this.posting);
    for (const slot of [...this.wanted.keys()]) this.leave(slot);
    this.tours.close();
    this.link?.close();
    this.link = undefined;
    for (const slot of this.wanted.keys()) this.table.clear(slot);
    this.wanted.clear();
  }

  private open(): void {
    this.retry = undefined;
    this.isOpen = false;
    this.link = this.o.connect(
      { url: wallPath, slots: this.o.slots, channel: channelLabel, audio: true, heartbeatMs },
      {
        sound: (track) => this.soundCame(track),
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
    if (this.wanted.has(slot)) this.table.patch(slot, { stream, moments: undefined }, true);
  }

  private soundCame(track: MediaStreamTrack): void {
    this.soundStream = new MediaStream([track]);
    const { slot } = this.sounds.get();
    if (slot !== undefined) this.sounds.set({ slot, stream: this.soundStream });
  }

  /** The channel is open: say everything that is wanted, also after a reconnection. */
  private ready(): void {
    this.isOpen = true;
    for (const [slot, r] of this.wanted) {
      this.table.patch(slot, { phase: "connecting", reason: undefined, detail: undefined, retryAt: undefined });
      this.tell(slot, r);
    }
    const { slot } = this.sounds.get();
    if (slot !== undefined) this.send({ type: "listen", slot });
    clearInterval(this.posting);
    this.posting = setInterval(() => void this.post(), statsMs);
  }

  /** Tells the gateway how its pictures fare here. */
  private async post(): Promise<void> {
    const { link } = this;
    const tracks = new Map<number, string>();
    for (const slot of this.wanted.keys()) {
      const id = this.streams.get(slot)?.getVideoTracks()[0]?.id;
      if (id) tracks.set(slot, id);
    }
    const report = tracks.size > 0 ? await link?.stats() : undefined;
    if (!report || link !== this.link) return;
    for (const m of statsMessages(slotFigures(report, tracks))) this.send(m);
  }

  private send(c: Command): void {
    if (this.isOpen) this.link?.tell(encode(c));
  }

  private tell(slot: number, r: SlotRequest): void {
    if (!this.isOpen) return;
    if (r.tour) this.tours.tell(slot, r);
    else this.put(slot, r);
  }

  private put(slot: number, r: SlotRequest): void {
    const { camera, width, height } = r;
    const { profile, fallback } = this.profile(r);
    this.send({ type: "show", slot, camera, profile, width, height });
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
    if (m && r) {
      // A state of the camera the slot showed before the newest command is old news.
      if (r.tour ? this.tours.state(m, r) : m.camera === r.camera) this.state(m);
      return;
    }
    const no = m ? undefined : refusal(data);
    if (no && !this.replays.refused(no)) this.tours.refused(); // done by a clip, or by the page
  }

  private state(m: SlotState): void {
    this.replays.state(m);
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
        sound: soundNote(m.sound),
        moments: m.moment ? addMoment(old.moments, m.moment) : old.moments,
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
    clearInterval(this.posting);
    if (this.closed) return;
    if (!this.everUp && why.reason !== "not_permitted" && this.hopeless(why)) {
      this.close();
      this.o.unsupported();
      return;
    }
    this.streams.clear();
    this.soundStream = null;
    this.sounds.set({ slot: this.sounds.get().slot, stream: null });
    this.replays.reset();
    this.tours.reset();
    if (why.reason === "not_permitted") {
      this.refused = why;
      this.barred(why);
      return;
    }
    const wait = why.refused ? refusedMs : this.backoff.next();
    this.retry = setTimeout(() => this.open(), wait);
    for (const slot of this.wanted.keys()) {
      const { reason, detail } = why;
      // The stream stays in the view: its last picture is shown dimmed and stamped, not as a black hole.
      const none = { report: undefined, replay: undefined };
      this.table.patch(slot, { phase: "waiting", reason, detail, retryAt: Date.now() + wait, ...none });
    }
  }

  /** The role may not watch: that is so for all tiles, and will be so the next time. */
  private barred({ reason, detail }: Down): void {
    const none = { report: undefined, replay: undefined, stream: null, retryAt: undefined };
    for (const slot of this.wanted.keys()) this.table.patch(slot, { phase: "refused", reason, detail, ...none }, true);
  }
}

const key = (r: SlotRequest) =>
  `${r.profile} ${r.width}x${r.height} ${r.codecs?.main ?? ""} ${r.codecs?.sub ?? ""} ${r.tour?.dwellS ?? ""}`;
