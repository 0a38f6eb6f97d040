import type { Camera, CameraList, Unit } from "./types";

/** What the whole console knows about the district right now. Objects are replaced, never changed. */
export interface Snapshot {
  units: ReadonlyMap<string, Unit>;
  cameras: ReadonlyMap<string, Camera>;
  order: readonly string[];
  loaded: boolean;
  /** The last poll worked. False makes every state older than it says: nothing may be shown green on its word. */
  reachable: boolean;
  /** Browser clock (ms) of the last good answer. */
  at: number;
  /** Server clock minus browser clock, ms. */
  offset: number;
}

export interface Source {
  units(): Promise<Unit[]>;
  cameras(cursor?: string): Promise<CameraList>;
}

const empty: Snapshot = {
  units: new Map(),
  cameras: new Map(),
  order: [],
  loaded: false,
  reachable: true,
  at: 0,
  offset: 0,
};

/** Merges a fresh list into the old map, keeping the old object of every camera that did not change. */
export function merge(old: ReadonlyMap<string, Camera>, fresh: readonly Camera[]): ReadonlyMap<string, Camera> {
  const next = new Map<string, Camera>();
  let same = old.size === fresh.length;
  for (const camera of fresh) {
    const before = old.get(camera.id);
    const keep = before !== undefined && JSON.stringify(before) === JSON.stringify(camera);
    next.set(camera.id, keep ? before : camera);
    same &&= keep;
  }
  return same ? old : next;
}

/**
 * Polls units and cameras and tells subscribers. One poll at a time; none while paused (a hidden tab). A failed poll
 * keeps the last list, marked unreachable. `start` and `stop` may be called in any order, any number of times.
 */
export class CameraStore {
  private snapshot = empty;
  private readonly listeners = new Set<() => void>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private running = false;
  private paused = false;
  private polling = false;
  private unitsAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly source: Source,
    private readonly everyMs = 2000,
    private readonly unitsEveryMs = 60_000,
  ) {}

  readonly get = (): Snapshot => this.snapshot;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  start(): void {
    if (this.running) return;
    this.running = true;
    void this.poll();
  }

  stop(): void {
    this.running = false;
    clearTimeout(this.timer);
  }

  /** Forgets everything: another user may see other cameras. */
  clear(): void {
    this.unitsAt = Number.NEGATIVE_INFINITY;
    this.set(empty);
  }

  pause(paused: boolean): void {
    this.paused = paused;
    if (paused) clearTimeout(this.timer);
    else if (this.running) void this.poll();
  }

  private set(next: Snapshot): void {
    this.snapshot = next;
    for (const listener of this.listeners) listener();
  }

  private async all(): Promise<CameraList> {
    const first = await this.source.cameras();
    const cameras = [...(first.cameras ?? [])];
    let next = first.next;
    while (next) {
      const page = await this.source.cameras(next);
      cameras.push(...(page.cameras ?? []));
      next = page.next;
    }
    return { now: first.now, cameras };
  }

  async poll(): Promise<void> {
    if (this.polling || this.paused || !this.running) return;
    this.polling = true;
    clearTimeout(this.timer);
    try {
      let units = this.snapshot.units;
      if (performance.now() - this.unitsAt > this.unitsEveryMs) {
        units = new Map((await this.source.units()).map((u) => [u.id, u]));
        this.unitsAt = performance.now();
      }
      const list = await this.all();
      const cameras = merge(this.snapshot.cameras, list.cameras);
      const at = Date.now();
      const offset = list.now ? Date.parse(list.now) - at : this.snapshot.offset;
      const order = cameras === this.snapshot.cameras ? this.snapshot.order : [...cameras.keys()];
      if (this.running) this.set({ units, cameras, order, loaded: true, reachable: true, at, offset });
    } catch {
      if (this.running) this.set({ ...this.snapshot, reachable: false });
    } finally {
      this.polling = false;
      if (this.running && !this.paused) this.timer = setTimeout(() => void this.poll(), this.everyMs);
    }
  }
}
