import type { ProfileName } from "../api/types";
import { Backoff } from "../lib/backoff";
import { canH265, choose, receivable } from "./codecs";
import { Connection, type ConnectionEvents, type ConnectionOptions, type Down } from "./connection";
import { soundNote } from "./sound";
import { StatsReader, slotFigures, soundFigures, undecodable } from "./stats";
import { Tours } from "./tour";
import {
  type LiveTransport,
  type SlotRequest,
  type SlotStats,
  SlotTable,
  SoundBox,
  type SoundStats,
} from "./transport";

export interface WhepOptions {
  /** Makes a connection; tests give a fake. */
  connect?: (o: ConnectionOptions, on: ConnectionEvents) => Link;
  h265?: boolean;
  random?: () => number;
  /** A connection that brings no picture for so long is asked why, ms. */
  firstFrameMs?: number;
}

type Link = Pick<Connection, "open" | "close" | "stats" | "report">;

interface Attempt {
  link: Link;
  profile: ProfileName;
  fallback?: string;
  track?: MediaStreamTrack;
  sound?: MediaStreamTrack;
  note?: string;
}

const refusedMs = 20_000;
const steadyMs = 10_000;
const statsMs = 5000;

/**
 * One tile: keeps one WHEP session to the wanted camera, makes a new one when it breaks, and changes profile by making
 * the new session before the old one ends, so the picture never goes black for it.
 */
class Player {
  private wanted: SlotRequest | undefined;
  private current: Attempt | undefined;
  private next: Attempt | undefined;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private steady: ReturnType<typeof setTimeout> | undefined;
  private watch: ReturnType<typeof setTimeout> | undefined;
  private posting: ReturnType<typeof setInterval> | undefined;
  private readonly backoff: Backoff;
  private reader = new StatsReader();
  /** The main profile proved undecodable or refused here: stay on sub, and say why. */
  private mainFails: string | undefined;
  private hearing = false;

  constructor(
    private readonly slot: number,
    private readonly table: SlotTable,
    private readonly o: Required<WhepOptions>,
    /** The sound of the connection in use, or that there is none. */
    private readonly heard: (track: MediaStreamTrack | undefined) => void,
  ) {
    this.backoff = new Backoff(500, 15_000, o.random);
  }

  show(r: SlotRequest): void {
    const old = this.wanted;
    this.wanted = r;
    if (old?.camera !== r.camera) {
      this.drop();
      this.mainFails = undefined;
      this.backoff.reset();
      this.table.patch(this.slot, { camera: r.camera, stream: null, report: undefined }, true);
      this.start();
      return;
    }
    const target = this.target(r);
    const going = this.next ?? this.current;
    if (going?.profile === target.profile) return;
    if (this.next && this.current?.profile === target.profile) {
      this.next.link.close(); // changed back before the other profile had come
      this.next = undefined;
      return;
    }
    if (going) this.start();
  }

  hide(): void {
    this.wanted = undefined;
    this.drop();
    this.table.clear(this.slot);
  }

  nudge(): void {
    if (!this.wanted) return;
    this.drop();
    this.table.patch(this.slot, { stream: null }, true);
    this.start();
  }

  /** Tries again what waits to be tried again. A session of a gateway that is no more has ended without a word. */
  wake(anew: boolean): void {
    if (this.retry === undefined && !anew) return;
    this.backoff.reset();
    if (anew) this.nudge();
    else this.start();
  }

  /** With or without sound: a new session takes over once it has its picture. */
  hear(on: boolean): void {
    if (this.hearing === on) return;
    this.hearing = on;
    if (this.wanted) this.start();
  }

  async stats(): Promise<SlotStats | undefined> {
    const report = await this.current?.link.stats();
    return report && this.reader.read(report);
  }

  async soundStats(): Promise<SoundStats | undefined> {
    const report = await this.current?.link.stats();
    return report && soundFigures(report);
  }

  private unretry(): void {
    clearTimeout(this.retry);
    this.retry = undefined;
  }

  private drop(): void {
    this.unretry();
    for (const timer of [this.steady, this.watch]) clearTimeout(timer);
    clearInterval(this.posting);
    this.current?.link.close();
    this.next?.link.close();
    this.current = undefined;
    this.next = undefined;
  }

  private target(r: SlotRequest): { profile: ProfileName; fallback?: string } {
    const chosen = choose(r, this.o.h265);
    return chosen.profile === "main" && this.mainFails ? { profile: "sub", fallback: this.mainFails } : chosen;
  }

  private start(): void {
    const r = this.wanted;
    if (!r) return;
    this.unretry();
    const attempt: Attempt = { ...this.target(r), link: undefined as unknown as Link };
    attempt.link = this.o.connect(
      { url: `/v1/whep/${encodeURIComponent(r.camera)}?profile=${attempt.profile}`, slots: 1, audio: this.hearing },
      {
        sound: (track) => {
          attempt.sound = track;
        },
        warned: (codes) => {
          attempt.note = soundNote(codes);
        },
        track: (_, track) => {
          attempt.track = track;
        },
        up: () => this.up(attempt),
        down: (why) => this.down(attempt, why),
      },
    );
    this.next?.link.close();
    this.next = attempt;
    if (!this.current) this.table.patch(this.slot, { phase: "connecting" });
    void attempt.link.open();
  }

  private up(attempt: Attempt): void {
    if (attempt === this.current) return; // an ICE restart that worked
    const track = attempt.track;
    if (attempt !== this.next || !track) return;
    const take = () => {
      if (attempt === this.next) this.take(attempt, track);
    };
    // Where a picture stands already, wait for the new one's first packet before swapping.
    if (this.current && track.muted) track.addEventListener("unmute", take, { once: true });
    else take();
    clearTimeout(this.watch);
    this.watch = setTimeout(() => void this.check(attempt), this.o.firstFrameMs);
  }

  private take(attempt: Attempt, track: MediaStreamTrack): void {
    this.current?.link.close();
    this.current = attempt;
    this.next = undefined;
    this.reader = new StatsReader();
    clearTimeout(this.steady);
    this.steady = setTimeout(() => this.backoff.reset(), steadyMs);
    clearInterval(this.posting);
    this.posting = setInterval(() => void this.post(attempt, track), statsMs);
    const { profile, fallback } = attempt;
    this.table.patch(this.slot, {
      phase: "playing",
      profile,
      fallback,
      sound: attempt.note,
      reason: undefined,
      detail: undefined,
      retryAt: undefined,
      stream: new MediaStream([track]),
    });
    if (this.hearing) this.heard(attempt.sound);
  }

  /** Tells the gateway how the picture fares here. */
  private async post({ link }: Attempt, track: MediaStreamTrack): Promise<void> {
    const report = await link.stats();
    if (report) await link.report(slotFigures(report, new Map([[0, track.id]])));
  }

  /** Some time after the connection: packets without a decoded frame mean a codec this browser cannot show. */
  private async check(attempt: Attempt): Promise<void> {
    const report = await attempt.link.stats();
    if (attempt !== this.current && attempt !== this.next) return;
    if (report && undecodable(report)) {
      attempt.link.close();
      this.down(attempt, { reason: "undecodable", refused: true });
    } else if (attempt === this.next) {
      attempt.link.close();
      this.next = undefined; // the other profile brings nothing: keep what we have
      this.table.patch(this.slot, { fallback: "no_media" });
    }
  }

  private down(attempt: Attempt, why: Down): void {
    const r = this.wanted;
    if (!r || (attempt !== this.current && attempt !== this.next)) return;
    const wasNext = attempt === this.next;
    if (wasNext) this.next = undefined;
    else {
      clearInterval(this.posting);
      this.current = undefined;
    }
    if (attempt.profile === "main" && why.refused && why.reason !== "not_permitted") {
      this.mainFails = why.reason;
      if (this.current?.profile === "sub") this.table.patch(this.slot, { fallback: why.reason });
      else this.start();
      return;
    }
    if (wasNext && this.current) {
      this.table.patch(this.slot, { fallback: why.reason });
      return;
    }
    this.unretry();
    // Who may not see it may not see it in ten seconds either.
    const wait = why.reason === "not_permitted" ? undefined : why.refused ? refusedMs : this.backoff.next();
    if (wait !== undefined) this.retry = setTimeout(() => this.start(), wait);
    this.table.patch(this.slot, {
      phase: why.refused ? "refused" : "waiting",
      reason: why.reason,
      detail: why.detail,
      retryAt: wait && Date.now() + wait,
    });
  }
}

/** Live pictures by one WHEP session per tile: works against any WHEP server, costs one connection each. */
export class WhepTransport implements LiveTransport {
  readonly kind = "whep";
  private readonly table = new SlotTable();
  private readonly players = new Map<number, Player>();
  private readonly sounds = new SoundBox();
  private readonly tours = new Tours(this.table, (slot, r) => this.put(slot, r));
  private readonly o: Required<WhepOptions>;

  constructor(o: WhepOptions = {}) {
    this.o = {
      connect: (options, on) => new Connection(options, on),
      h265: canH265(receivable()),
      random: Math.random,
      firstFrameMs: 6000,
      ...o,
    };
  }

  show(slot: number, r: SlotRequest): void {
    if (!this.tours.show(slot, r)) this.put(slot, r);
  }

  private put(slot: number, r: SlotRequest): void {
    let player = this.players.get(slot);
    if (!player) {
      player = new Player(slot, this.table, this.o, (track) => this.heard(slot, track));
      this.players.set(slot, player);
    }
    if (this.table.get(slot).camera !== r.camera) this.silence(slot);
    player.show(r);
  }

  hide(slot: number): void {
    this.silence(slot);
    this.tours.end(slot);
    this.players.get(slot)?.hide();
    this.players.delete(slot);
  }

  nudge(slot: number): void {
    this.players.get(slot)?.nudge();
  }

  wake(anew: boolean): void {
    for (const player of this.players.values()) player.wake(anew);
  }

  readonly view = (slot: number) => this.table.get(slot);

  readonly subscribe = (slot: number, listener: () => void) => this.table.subscribe(slot, listener);

  async stats(slot: number): Promise<SlotStats | undefined> {
    return this.players.get(slot)?.stats();
  }

  listen(slot: number | undefined): void {
    const old = this.sounds.get().slot;
    if (old === slot || (slot !== undefined && !this.players.has(slot))) return;
    this.sounds.set({ slot, stream: null });
    if (old !== undefined) this.players.get(old)?.hear(false);
    if (slot !== undefined) this.players.get(slot)?.hear(true);
  }

  private heard(slot: number, track: MediaStreamTrack | undefined): void {
    if (this.sounds.get().slot === slot) this.sounds.set({ slot, stream: track ? new MediaStream([track]) : null });
  }

  private silence(slot: number): void {
    if (this.sounds.get().slot === slot) this.listen(undefined);
  }

  readonly sound = this.sounds.get;
  readonly subscribeSound = this.sounds.subscribe;

  async soundStats(): Promise<SoundStats | undefined> {
    const { slot } = this.sounds.get();
    return slot === undefined ? undefined : this.players.get(slot)?.soundStats();
  }

  /** A single session has no way back in time: the archive's clip has to do. */
  async replay(): Promise<boolean> {
    return false;
  }

  live(): void {}

  tourPause(slot: number, paused: boolean): void {
    this.tours.pause(slot, paused);
  }

  tourNext(slot: number): void {
    this.tours.next(slot);
  }

  close(): void {
    this.tours.close();
    for (const slot of [...this.players.keys()]) this.hide(slot);
  }
}
