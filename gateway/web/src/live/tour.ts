import type { Passed, SlotRequest, SlotTable, TourRequest, TourStop, TourView } from "./transport";

/** How long a camera that was passed by is named across its tile: long enough to be read between other tiles. */
export const namedMs = 6000;
/** Where all cameras are dead, one is tried after so long. */
const deadMs = 2500;

const others = (tour: TourView, camera: string) => tour.passed?.filter((p) => p.camera !== camera) ?? [];

/** The tour passed a camera by. */
export const passBy = (tour: TourView, p: Passed): TourView => ({ ...tour, passed: [...others(tour, p.camera), p] });

/** The tour shows the camera: it is passed by no more. */
export const shows = (tour: TourView, camera: string): TourView => ({ ...tour, passed: others(tour, camera) });
/** A camera of a tour gets so long to bring a picture. */
const patienceMs = 5000;

/**
 * Runs the tour of one slot in the page, where the gateway does not: shows one camera after the other, passes by those
 * without a picture and says so, and goes on after the dwell time, counted from when the camera was asked for.
 */
export class TourRunner {
  private at = 0;
  private paused = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private passed = 0;
  private shown: TourStop | undefined;

  constructor(
    private readonly slot: number,
    private tour: TourRequest,
    private readonly table: SlotTable,
    /** Puts a camera into the slot. */
    private readonly put: (stop: TourStop) => void,
  ) {
    // Where the slot is at one of them already, it goes on from there.
    this.at = Math.max(
      0,
      tour.stops.findIndex((s) => s.camera === table.get(slot).camera),
    );
    this.enter();
  }

  /** What is known of the cameras, or the dwell time, changed; the cameras did not. */
  update(tour: TourRequest): void {
    this.tour = tour;
    this.patch({ dwellS: tour.dwellS });
  }

  pause(paused: boolean): void {
    this.paused = paused;
    this.patch({ paused });
    if (paused) clearTimeout(this.timer);
    else this.wait(this.tour.dwellS * 1000);
  }

  next(): void {
    this.passed = 0;
    this.step();
  }

  /** Asks for the camera shown once more: the slot's size may have changed. */
  again(): void {
    if (this.shown) this.put(this.shown);
  }

  stop(): void {
    clearTimeout(this.timer);
  }

  private view(): TourView {
    const { stops, dwellS } = this.tour;
    const begun = { index: this.at, total: stops.length, dwellS, paused: this.paused, since: Date.now() };
    return this.table.get(this.slot).tour ?? begun;
  }

  private patch(change: Partial<TourView>): void {
    this.table.patch(this.slot, { tour: { ...this.view(), ...change } });
  }

  private step(): void {
    this.at = (this.at + 1) % this.tour.stops.length;
    this.enter();
  }

  private enter(): void {
    clearTimeout(this.timer);
    const stop = this.tour.stops[this.at];
    if (!stop) return;
    // Where all of them are dead the tour goes on slowly: each is named, and one may come back.
    if (stop.dead) {
      this.skip(stop);
      this.timer = setTimeout(() => this.step(), this.passed >= this.tour.stops.length ? deadMs : 0);
      return;
    }
    this.patch({ index: this.at, since: Date.now() });
    this.shown = stop;
    this.put(stop);
    if (!this.paused) this.wait(this.tour.dwellS * 1000);
  }

  private skip(stop: TourStop): void {
    this.passed++;
    this.patch(passBy(this.view(), { camera: stop.camera, at: Date.now() }));
  }

  private wait(ms: number): void {
    clearTimeout(this.timer);
    const check = Math.min(patienceMs, ms);
    this.timer = setTimeout(() => {
      const stop = this.tour.stops[this.at];
      const came = this.table.get(this.slot).phase === "playing";
      if (came) this.passed = 0;
      if (came && stop) this.patch(shows(this.view(), stop.camera));
      if (!came && stop && this.tour.stops.length > 1) {
        this.skip(stop);
        this.step();
      } else if (ms > check) this.timer = setTimeout(() => this.step(), ms - check);
      else this.step();
    }, check);
  }
}

/** Same cameras in the same order. */
export const sameStops = (a: TourRequest | undefined, b: TourRequest | undefined) =>
  a === b ||
  (a !== undefined &&
    b !== undefined &&
    a.stops.length === b.stops.length &&
    a.stops.every((s, i) => s.camera === b.stops[i]?.camera));

/** The tours of a transport's slots that the page runs. */
export class Tours {
  private readonly running = new Map<number, { runner: TourRunner; request: SlotRequest }>();

  constructor(
    private readonly table: SlotTable,
    private readonly put: (slot: number, r: SlotRequest) => void,
  ) {}

  /** Runs the request's tour, or goes on with it. False if it has none: a tour the slot ran is over then. */
  show(slot: number, request: SlotRequest): boolean {
    const { tour } = request;
    const old = this.running.get(slot);
    if (old && tour && sameStops(old.request.tour, tour)) {
      const sized = old.request.width !== request.width || old.request.profile !== request.profile;
      old.request = request;
      old.runner.update(tour);
      if (sized) old.runner.again();
      return true;
    }
    this.end(slot);
    if (!tour) return false;
    const entry = { request, runner: undefined as unknown as TourRunner };
    this.running.set(slot, entry);
    entry.runner = new TourRunner(slot, tour, this.table, (stop) => {
      const { camera, codecs } = stop;
      this.put(slot, { ...entry.request, tour: undefined, camera, codecs });
    });
    return true;
  }

  end(slot: number): void {
    const old = this.running.get(slot);
    if (!old) return;
    old.runner.stop();
    this.running.delete(slot);
    this.table.patch(slot, { tour: undefined });
  }

  pause(slot: number, paused: boolean): void {
    this.running.get(slot)?.runner.pause(paused);
  }

  next(slot: number): void {
    this.running.get(slot)?.runner.next();
  }

  has(slot: number): boolean {
    return this.running.has(slot);
  }

  close(): void {
    for (const slot of [...this.running.keys()]) this.end(slot);
  }
}
