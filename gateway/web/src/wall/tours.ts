import { passBy, shows, Tours } from "../live/tour";
import type { SlotRequest, SlotTable } from "../live/transport";
import { type Command, encode, longest, reasonKey, type SlotState, type Tour } from "./protocol";

/** A gateway that runs tours says where they are within this. */
const answerMs = 2500;
/** The gateway takes no longer tour. */
const mostStops = 128;

interface Wall {
  table: SlotTable;
  wanted: ReadonlyMap<number, SlotRequest>;
  send(c: Command): void;
  /** Asks the gateway for one camera. */
  show(slot: number, r: SlotRequest): void;
  /** The slot waits for the pictures of another camera from now on. */
  change(slot: number, camera: string): void;
}

/** The tours of a wall: run by the gateway, or by the page where the gateway does not know how. */
export class WallTours {
  private cannot = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly own: Tours;
  /** The camera each tour run here has come to. */
  private readonly stops = new Map<number, SlotRequest>();

  constructor(private readonly wall: Wall) {
    this.own = new Tours(wall.table, (slot, r) => {
      this.stops.set(slot, r);
      if (wall.table.get(slot).camera !== r.camera) wall.change(slot, r.camera);
      wall.show(slot, r);
    });
  }

  /** Starts the slot's tour, or says it anew. */
  tell(slot: number, r: SlotRequest): void {
    const message = this.message(slot, r);
    if (this.cannot || encode(message).length > longest) {
      this.own.show(slot, r);
      return;
    }
    this.wall.send(message);
    if (this.wall.table.get(slot).tour?.paused) this.wall.send({ type: "tour_pause", slot, paused: true });
    this.timer ??= setTimeout(() => this.runAll(), answerMs);
  }

  /** More is known of the tour's cameras; the gateway knows by itself. */
  refresh(slot: number, r: SlotRequest): void {
    if (this.own.has(slot)) this.own.show(slot, r);
  }

  /** From the camera the tour has come to, so that asking again (for another size) does not begin anew. */
  private message(slot: number, r: SlotRequest): Tour {
    const { width, height, profile } = r;
    const all = r.tour?.stops.map((s) => s.camera) ?? [];
    const cameras = all.slice(0, mostStops);
    const camera = this.wall.table.get(slot).camera ?? r.camera;
    return { type: "tour", slot, cameras, camera, dwell_s: r.tour?.dwellS ?? 0, profile, width, height };
  }

  /** The gateway runs no tours: the page does, for as long as this connection lasts. */
  private runAll(): void {
    this.answered();
    this.cannot = true;
    for (const [slot, r] of this.wall.wanted) if (r.tour && !this.own.has(slot)) this.own.show(slot, r);
  }

  private answered(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  /** An error of the gateway, while it was not known whether it runs tours. */
  refused(): void {
    if (this.timer !== undefined) this.runAll();
  }

  /** Takes in a state of a slot with a tour. True if it is about the camera that is, or is now, in the slot. */
  state(m: SlotState, r: SlotRequest): boolean {
    if (this.own.has(m.slot)) return m.camera === this.stops.get(m.slot)?.camera;
    const { table } = this.wall;
    const index = r.tour?.stops.findIndex((s) => s.camera === m.camera) ?? -1;
    const { tour, camera, phase } = table.get(m.slot);
    if (index < 0 || !tour) return false;
    this.answered();
    // A state from before our newest word about pausing comes late at most once; the next one corrects it.
    const paused = m.paused ?? tour.paused;
    const moving = m.state === "live" || m.state === "delayed";
    if (m.skipped) {
      const { camera: passed, state, reason } = m;
      const now = passBy(tour, { camera: passed, state, reason: reasonKey(reason), at: Date.now() });
      table.patch(m.slot, { tour: { ...now, paused } });
      return false;
    }
    if (m.camera === camera) {
      const back = moving && tour.passed?.some((p) => p.camera === camera);
      if (back || paused !== tour.paused) {
        table.patch(m.slot, { tour: { ...(back ? shows(tour, m.camera) : tour), paused } });
      }
      return true;
    }
    if (!moving && phase === "playing") return false; // the next camera is being fetched: this one is still on
    this.wall.change(m.slot, m.camera);
    const now = moving ? shows(tour, m.camera) : tour;
    table.patch(m.slot, { tour: { ...now, paused, index, since: Date.now() } });
    return true;
  }

  pause(slot: number, paused: boolean): void {
    this.own.pause(slot, paused);
    const { tour } = this.wall.table.get(slot);
    if (!tour || this.own.has(slot)) return;
    this.wall.table.patch(slot, { tour: { ...tour, paused, since: Date.now() } });
    this.wall.send({ type: "tour_pause", slot, paused });
  }

  next(slot: number): void {
    if (this.own.has(slot)) this.own.next(slot);
    else this.wall.send({ type: "tour_next", slot });
  }

  /** The slot has no tour any more. */
  end(slot: number): void {
    this.own.end(slot);
    this.stops.delete(slot);
  }

  /** The connection is gone; the next gateway may be a newer one. */
  reset(): void {
    this.answered();
    this.cannot = false;
    for (const slot of this.wall.wanted.keys()) {
      const { tour } = this.wall.table.get(slot);
      this.end(slot);
      if (tour) this.wall.table.patch(slot, { tour });
    }
  }

  close(): void {
    this.answered();
    this.own.close();
  }
}
