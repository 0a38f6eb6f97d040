import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { TourRunner } from "./tour";
import { SlotTable, type TourStop } from "./transport";

const stops = (...ids: string[]): TourStop[] =>
  ids.map((id) => ({ camera: id.replace("!", ""), dead: id.endsWith("!") }));

/** A runner whose cameras play at once, except those named in `mute`. */
function run(list: TourStop[], dwellS = 10, mute: string[] = []) {
  const table = new SlotTable();
  const shown: string[] = [];
  const runner = new TourRunner(3, { stops: list, dwellS }, table, (s) => {
    shown.push(s.camera);
    table.patch(3, { camera: s.camera, phase: mute.includes(s.camera) ? "connecting" : "playing" });
  });
  return { runner, shown, tour: () => table.get(3).tour };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a tour run by the page", () => {
  it("shows every camera for its time, round and round", () => {
    const { shown, tour } = run(stops("a", "b", "c"));
    expect(tour()).toMatchObject({ index: 0, total: 3, dwellS: 10, paused: false });
    vi.advanceTimersByTime(9999);
    expect(shown).toEqual(["a"]);
    vi.advanceTimersByTime(30_000);
    expect(shown).toEqual(["a", "b", "c", "a"]);
  });

  it("passes a dead camera by and remembers it until it is shown", () => {
    const { runner, shown, tour } = run(stops("a", "b!", "c"));
    vi.advanceTimersByTime(10_000);
    expect(tour()).toMatchObject({ passed: [{ camera: "b" }] });
    vi.advanceTimersByTime(1);
    expect(shown).toEqual(["a", "c"]);
    expect(tour()).toMatchObject({ index: 2, passed: [{ camera: "b" }] });
    runner.update({ stops: stops("a", "b", "c"), dwellS: 10 });
    vi.advanceTimersByTime(28_000);
    expect(shown).toEqual(["a", "c", "a", "b"]);
    expect(tour()?.passed).toEqual([]);
  });

  it("gives a silent camera five seconds", () => {
    const { shown, tour } = run(stops("a", "b"), 20, ["a"]);
    vi.advanceTimersByTime(5000);
    expect(shown).toEqual(["a", "b"]);
    expect(tour()).toMatchObject({ passed: [{ camera: "a" }] });
    vi.advanceTimersByTime(20_000);
    expect(shown).toEqual(["a", "b", "a"]);
  });

  it("waits while paused, goes on when told, and can be told to go on at once", () => {
    const { runner, shown, tour } = run(stops("a", "b", "c"));
    runner.pause(true);
    vi.advanceTimersByTime(60_000);
    expect(shown).toEqual(["a"]);
    runner.next();
    expect(shown).toEqual(["a", "b"]);
    vi.advanceTimersByTime(60_000);
    expect(shown).toEqual(["a", "b"]); // still paused
    expect(tour()?.paused).toBe(true);
    runner.pause(false);
    vi.advanceTimersByTime(10_000);
    expect(shown).toEqual(["a", "b", "c"]);
  });

  it("does not spin where all are dead, and finds one that comes back", () => {
    const { runner, shown, tour } = run(stops("a!", "b!"));
    vi.advanceTimersByTime(30_000);
    expect(shown).toEqual([]);
    expect(tour()?.passed?.map((p) => p.camera).sort()).toEqual(["a", "b"]);
    runner.update({ stops: stops("a!", "b"), dwellS: 10 });
    vi.advanceTimersByTime(6000);
    expect(shown).toEqual(["b"]);
  });

  it("ends when stopped", () => {
    const { runner, shown } = run(stops("a", "b"));
    runner.stop();
    vi.advanceTimersByTime(60_000);
    expect(shown).toEqual(["a"]);
  });
});
