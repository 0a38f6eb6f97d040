import { describe, expect, it } from "vitest";
import type { Camera, Unit } from "../api/types";
import { assign, clear, fill, initial, nextTile, resize, swap, valid } from "./layout";
import { lead, perUnit, recordingBad, recordingOf, sum } from "./sums";
import { path, rows, subtree } from "./tree";

const unit = (id: string, tier: Unit["tier"], parent?: string): Unit => ({ id, name: id.toUpperCase(), tier, parent });
const units = new Map(
  [unit("d", "district"), unit("t1", "town", "d"), unit("t2", "town", "d"), unit("c1", "community", "t1")].map((u) => [
    u.id,
    u,
  ]),
);
const cam = (id: string, u: string, state: Camera["state"] = "live"): Camera => ({
  id,
  name: `路口 ${id}`,
  unit: u,
  state,
});
const cameras = [cam("a", "c1"), cam("b", "c1", "offline"), cam("c", "t1", "connecting"), cam("x", "nowhere")];
const tree = (search = "", closed: string[] = []) =>
  rows({ units, cameras, closed: new Set(closed), search, stateOf: (c) => c.state });

describe("the camera tree", () => {
  it("goes from district to community, empty units left out, strays at the end", () => {
    expect(tree().map((r) => `${r.depth}${r.id}`)).toEqual(["0d", "1t1", "2c", "2c1", "3a", "3b", "0x"]);
  });
  it("counts live and not measured per unit", () => {
    const top = tree()[0];
    expect(top?.kind === "unit" && top.counts).toEqual({ total: 3, live: 1, unmeasured: 1 });
  });
  it("folds, except while searching", () => {
    expect(tree("", ["t1"]).map((r) => r.id)).toEqual(["d", "t1", "x"]);
    expect(tree("路口 b", ["t1"]).map((r) => r.id)).toEqual(["d", "t1", "c1", "b"]);
  });
  it("finds by the names of units too", () => expect(tree("c1").map((r) => r.id)).toEqual(["d", "t1", "c1", "a", "b"]));
  it("survives a loop of parents", () => {
    const loop = new Map([unit("p", "town", "q"), unit("q", "town", "p")].map((u) => [u.id, u]));
    expect(path(loop, "p")).toHaveLength(2);
  });
  it("knows what lies below", () => expect([...subtree(units, "t1")].sort()).toEqual(["c1", "t1"]));
});

describe("the layout", () => {
  it("fills empty tiles in order and leaves chosen ones", () => {
    const l = fill(assign(resize(initial, 4), 1, "b"), ["a", "b", "c", "d", "e"]);
    expect(l.tiles.slice(0, 5)).toEqual(["a", "b", "c", "d", null]);
    expect(fill(l, ["z"])).toBe(l);
  });
  it("moves a camera that is shown already instead of showing it twice", () => {
    let l = assign(assign(initial, 0, "a"), 1, "b");
    l = assign(l, 1, "a");
    expect(l.tiles.slice(0, 2)).toEqual(["b", "a"]);
    expect(l.auto).toBe(false);
  });
  it("swaps, clears and keeps tiles out of sight", () => {
    const l = clear(swap(assign(assign(initial, 0, "a"), 8, "b"), 0, 8), 8);
    expect([l.tiles[0], l.tiles[8]]).toEqual(["b", null]);
    expect(resize(resize(assign(initial, 8, "q"), 4), 9).tiles[8]).toBe("q");
  });
  it("chooses the target, else the first empty tile, else goes round and round", () => {
    const four = resize(initial, 4);
    expect(nextTile(four, 2)).toBe(2);
    expect(nextTile(assign(four, 0, "a"), 9)).toBe(1);
    const full = fill(four, ["a", "b", "c", "d"]);
    expect(nextTile(full, undefined)).toBe(0);
    expect(nextTile(full, 2, 0)).toBe(2);
    expect([0, 1, 2, 3].map((last) => nextTile(full, undefined, last))).toEqual([1, 2, 3, 0]);
    expect(nextTile(clear(full, 3), undefined, 0)).toBe(3);
  });
  it("takes nothing odd from storage", () => {
    expect(valid(initial)).toBe(true);
    const old = { ...initial, size: 36 as const, tiles: Array<string | null>(36).fill("a") }; // kept by a former console
    expect(valid(old)).toBe(true);
    expect(resize(old, 64).tiles).toHaveLength(64);
    expect(valid({ ...old, size: 64 })).toBe(false);
    for (const bad of [
      null,
      {},
      { ...initial, size: 5 },
      { ...initial, tiles: [] },
      { ...initial, tiles: initial.tiles.map(() => 3) },
    ]) {
      expect(valid(bad)).toBe(false);
    }
  });
});

describe("the sums of the health page", () => {
  const recording = { wanted: true, active: false };
  const list = [
    {
      ...cam("a", "c1"),
      recording: { wanted: true, active: true },
      profiles: { main: { state: "live" as const, fps: 25, clock_offset_ms: -4000 } },
    },
    { ...cam("b", "c1", "offline"), recording },
    cam("c", "t1", "connecting"),
  ];
  it("keep what is not measured apart", () => {
    const s = sum(list, true);
    expect([s.total, s.measured, s.clockOff]).toEqual([3, 2, 1]);
    expect([s.states.get("live"), s.states.get("offline"), s.states.get("connecting")]).toEqual([1, 1, 1]);
    expect(Object.fromEntries(s.recording)).toEqual({ active: 1, stalled: 1, unknown: 1 });
  });
  it("count a camera that loses its oldest footage apart, and as bad", () => {
    const loss = { cause: "spool_full", since: "2026-12-01T03:00:00Z" };
    const s = sum([{ ...cam("a", "c1"), recording: { wanted: true, active: true, loss } }, ...list], true);
    expect(s.recording.get("losing")).toBe(1);
    expect(recordingBad(s)).toBe(2);
    expect(recordingOf({ ...cam("a", "c1"), recording: { wanted: true, active: false, loss } }, true)).toBe("stalled");
  });
  it("know nothing of now once the gateway is away", () => {
    const s = sum(list, false);
    expect([s.measured, s.states.get("unknown"), s.recording.get("unknown")]).toEqual([0, 3, 3]);
  });
  it("add up along the tree, in its order", () => {
    const s = perUnit(units, list, true).map((u) => `${u.depth}${u.unit.id}:${u.total}`);
    expect(s).toEqual(["0d:3", "1t1:3", "2c1:2"]);
  });
  it("take the profile that was measured", () => {
    const sub = { state: "live" as const, fps: 15 };
    expect(lead({ ...cam("q", "c1"), profiles: { main: { state: "offline" }, sub } })).toBe(sub);
    expect(lead(cam("q", "c1"))).toBeUndefined();
  });
});
