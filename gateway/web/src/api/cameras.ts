import { Backoff } from "../lib/backoff";
import { ApiError } from "./client";
import type { Camera, CameraList, Change, State, Unit } from "./types";

/** What a tile of this page sees of a camera, where that is worse than what the list says. */
export interface Sight {
  state: State | "unknown";
  /** A key of i18n `reason.*`. */
  reason?: string;
}

/** What the whole console knows about the district right now. Objects are replaced, never changed. */
export interface Snapshot {
  units: ReadonlyMap<string, Unit>;
  cameras: ReadonlyMap<string, Camera>;
  order: readonly string[];
  /** By camera: what the wall sees is known before the list says it, and everything else on the page must agree. */
  sights: ReadonlyMap<string, Sight>;
  loaded: boolean;
  /** The gateway can be heard. False makes every state older than it says: nothing may be shown green on its word. */
  reachable: boolean;
  /** Browser clock (ms) of the last word of the gateway, as of when anything here changed. */
  at: number;
  /** Server clock minus browser clock, ms. */
  offset: number;
}

export interface Source {
  units(): Promise<Unit[]>;
  /** All cameras, or those with the ids. */
  cameras(o: { cursor?: string; ids?: readonly string[] }): Promise<CameraList>;
  /** See api/changes. */
  listen(since: string, heard: (change?: Change) => void, signal: AbortSignal): Promise<void>;
}

const empty: Snapshot = {
  units: new Map(),
  cameras: new Map(),
  order: [],
  sights: new Map(),
  loaded: false,
  reachable: true,
  at: 0,
  offset: 0,
};

/** How long the sight of a tile that is gone still counts: until the edge has noticed by itself. */
const sightMs = 10_000;

const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);

/** Merges a fresh list into the old map, keeping the old object of every camera that did not change. */
export function merge(old: ReadonlyMap<string, Camera>, fresh: readonly Camera[]): ReadonlyMap<string, Camera> {
  const next = new Map<string, Camera>();
  let all = old.size === fresh.length;
  for (const camera of fresh) {
    const before = old.get(camera.id);
    const keep = before !== undefined && same(before, camera);
    next.set(camera.id, keep ? before : camera);
    all &&= keep;
  }
  return all ? old : next;
}

/** Puts some cameras in place of what was known of them. Those not known before are another inventory's business. */
export function amend(old: ReadonlyMap<string, Camera>, some: readonly Camera[]): ReadonlyMap<string, Camera> {
  const news = some.filter((c) => old.has(c.id) && !same(old.get(c.id), c));
  if (news.length === 0) return old;
  const next = new Map(old);
  for (const camera of news) next.set(camera.id, camera);
  return next;
}

/** The process that a version is of. */
const epoch = (version: string | undefined) => version?.split(".")[0];

/**
 * Reads units and cameras once and then listens to what changes. A gateway that cannot be heard leaves the last list,
 * marked unreachable, and is asked again about once a second. Nothing is heard while paused (a hidden tab). `start` and
 * `stop` may be called in any order, any number of times.
 */
export class CameraStore {
  private snapshot = empty;
  private readonly listeners = new Set<() => void>();
  private readonly returns = new Set<(anew: boolean) => void>();
  private readonly reports = new Map<number, { camera: string; sight: Sight; until?: number }>();
  private readonly backoff: Backoff;
  private version: string | undefined;
  private heardAt = 0;
  private lost = false;
  private running: AbortController | undefined;
  private wanted = false;
  private paused = false;

  constructor(
    private readonly source: Source,
    random: () => number = Math.random,
  ) {
    this.backoff = new Backoff(600, 1500, random);
  }

  readonly get = (): Snapshot => this.snapshot;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Tells when a gateway that could not be heard is heard again; `anew` if it is another process. */
  readonly onReturn = (listener: (anew: boolean) => void): (() => void) => {
    this.returns.add(listener);
    return () => this.returns.delete(listener);
  };

  start(): void {
    this.wanted = true;
    this.turn();
  }

  stop(): void {
    this.wanted = false;
    this.turn();
  }

  pause(paused: boolean): void {
    this.paused = paused;
    this.turn();
  }

  /** Forgets everything: another user may see other cameras. */
  clear(): void {
    this.version = undefined;
    this.lost = false;
    this.reports.clear();
    this.set(empty);
  }

  private turn(): void {
    const on = this.wanted && !this.paused;
    if (on === (this.running !== undefined)) return;
    this.running?.abort();
    this.running = on ? new AbortController() : undefined;
    if (this.running) void this.run(this.running.signal);
  }

  private set(next: Snapshot): void {
    this.snapshot = next;
    for (const listener of this.listeners) listener();
  }

  private async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      let waitMs = 0;
      try {
        if (this.version === undefined) await this.load(signal);
        await this.source.listen(this.version ?? "", (change) => !signal.aborted && this.heard(change), signal);
        waitMs = 100; // so that a feed that ends at once is no storm
      } catch (e) {
        if (signal.aborted) return;
        this.miss();
        const full = e instanceof ApiError && e.retryAfter ? e.retryAfter * 1000 : 0;
        waitMs = Math.max(full, this.backoff.next());
      }
      if (waitMs > 0) await new Promise((done) => setTimeout(done, waitMs));
    }
  }

  /** Reads everything. */
  private async load(signal: AbortSignal): Promise<void> {
    const units = new Map((await this.source.units()).map((u) => [u.id, u]));
    const first = await this.source.cameras({});
    const list = [...(first.cameras ?? [])];
    for (let next = first.next; next; ) {
      const page = await this.source.cameras({ cursor: next });
      list.push(...(page.cameras ?? []));
      next = page.next;
    }
    if (signal.aborted) return;
    const cameras = merge(this.snapshot.cameras, list);
    const order = cameras === this.snapshot.cameras ? this.snapshot.order : [...cameras.keys()];
    const kept = same([...units], [...this.snapshot.units]) ? this.snapshot.units : units;
    this.reached(first.version);
    this.set({ ...this.snapshot, units: kept, cameras, order, loaded: true, ...this.clocks(first.now) });
  }

  /** A word of the gateway: a change, or just that it is there. */
  private heard(change: Change | undefined): void {
    this.reached(change?.version);
    if (change?.reload) this.version = undefined;
    const cameras = amend(this.snapshot.cameras, change?.cameras ?? []);
    const back = !this.snapshot.reachable && !change?.reload; // what is about to be read again is not yet true
    if (back || cameras !== this.snapshot.cameras)
      this.set({ ...this.snapshot, cameras, ...(change?.reload ? {} : this.clocks(change?.now)) });
  }

  private clocks(now: string | undefined) {
    const at = Date.now();
    return { reachable: true, at, offset: now ? Date.parse(now) - at : this.snapshot.offset };
  }

  private reached(version: string | undefined): void {
    this.heardAt = Date.now();
    this.backoff.reset();
    const anew = version !== undefined && this.version !== undefined && epoch(version) !== epoch(this.version);
    if (version !== undefined) this.version = version;
    if (!this.lost && !anew) return;
    this.lost = false;
    for (const listener of [...this.returns]) listener(anew);
  }

  private miss(): void {
    this.lost = true;
    if (this.snapshot.reachable) this.set({ ...this.snapshot, reachable: false, at: this.heardAt });
  }

  /** Brings the figures of some cameras up to date: they are no changes, so nobody tells of them. */
  async figures(ids: readonly string[]): Promise<void> {
    if (ids.length === 0 || !this.running || !this.snapshot.reachable) return;
    const { signal } = this.running;
    const list = await this.source.cameras({ ids });
    if (signal.aborted) return;
    this.set({ ...this.snapshot, cameras: amend(this.snapshot.cameras, list.cameras), ...this.clocks(list.now) });
  }

  /** What the tile of a slot sees of a camera; undefined: nothing that the list does not say. */
  see(slot: number, camera: string | undefined, sight: Sight | undefined): void {
    if (camera !== undefined && sight) this.reports.set(slot, { camera, sight });
    else this.reports.delete(slot);
    this.look();
  }

  /** The tile is gone. What it saw counts a little longer: who clicks on it wants to find it. */
  unsee(slot: number): void {
    const report = this.reports.get(slot);
    if (!report) return;
    this.reports.set(slot, { ...report, until: Date.now() + sightMs });
    setTimeout(() => this.look(), sightMs + 10);
  }

  private look(): void {
    const sights = new Map<string, Sight>();
    for (const [slot, { camera, sight, until }] of this.reports) {
      if (until !== undefined && until <= Date.now()) this.reports.delete(slot);
      else sights.set(camera, sight);
    }
    if (!same([...sights], [...this.snapshot.sights])) this.set({ ...this.snapshot, sights });
  }
}
