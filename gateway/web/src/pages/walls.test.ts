import { describe, expect, it } from "vitest";
import { assign, clear, initial, type Layout, page, pages, swap, type Tour, tourOn, valid } from "./layout";
import { drop, fromFile, keep, mostWalls, type SavedWall, toFile } from "./walls";

const tour = (...cameras: string[]): Tour => ({ name: "round", cameras, dwell: 10 });
const base: Layout = { ...initial, size: 4, auto: false };

describe("tours in a layout", () => {
  it("stand on a tile until a camera takes it", () => {
    let l = tourOn(base, 1, tour("a", "b"));
    expect(l.tiles[1]).toBe("a");
    expect(l.tours).toEqual({ 1: tour("a", "b") });
    l = assign(l, 1, "z");
    expect(l.tiles[1]).toBe("z");
    expect(l.tours).toBeUndefined();
  });
  it("move with their tile and go with it", () => {
    let l = swap(tourOn(assign(base, 0, "z"), 1, tour("a", "b")), 0, 1);
    expect(l.tiles.slice(0, 2)).toEqual(["a", "z"]);
    expect(Object.keys(l.tours ?? {})).toEqual(["0"]);
    l = clear(l, 0);
    expect(l.tiles[0]).toBeNull();
    expect(l.tours).toBeUndefined();
  });
  it("do not count as the place of their first camera", () => {
    const l = assign(tourOn(base, 1, tour("a", "b")), 0, "a");
    expect(l.tiles.slice(0, 2)).toEqual(["a", "a"]);
    expect(l.tours?.[1]).toBeDefined();
  });
  it("change places with a camera that takes their tile", () => {
    const l = assign(tourOn(assign(base, 0, "z"), 1, tour("a", "b")), 1, "z");
    expect(l.tiles.slice(0, 2)).toEqual(["a", "z"]);
    expect(Object.keys(l.tours ?? {})).toEqual(["0"]);
  });
  it("turn the whole wall's pages and leave the dead out", () => {
    const t = tour("a", "b", "c", "d", "e", "f");
    expect(pages(t, 4, (c) => c === "b")).toEqual({ pages: [["a", "c", "d", "e"], ["f"]], skipped: ["b"] });
    expect(pages(t, 4, () => true)).toEqual({ pages: [], skipped: [...t.cameras] });
    const l = page(base, t);
    expect(valid(l)).toBe(true);
    expect(page(l, undefined).paging).toBeUndefined();
  });
  it.each([
    ["no cameras", { ...tour(), name: "x" }],
    ["a hasty dwell", { ...tour("a"), dwell: 0.1 }],
    ["a camera that is no text", { name: "", cameras: [7], dwell: 9 }],
    ["nothing", null],
  ])("with %s are not read back", (_, t) => {
    expect(valid({ ...base, tours: { 0: t } })).toBe(false);
    expect(valid({ ...base, paging: t })).toBe(false);
  });
  it("must be on a tile that is", () => expect(valid({ ...base, tours: { 64: tour("a") } })).toBe(false));
});

describe("saved walls", () => {
  const wall = (name: string): SavedWall => ({ name, layout: base, saved: "2026-11-23T04:00:00Z" });
  it("replace their namesake and are in order", () => {
    const walls = keep(keep(keep([], wall("夜班")), wall("2")), wall("10"));
    expect(walls.map((w) => w.name)).toEqual(["2", "10", "夜班"]);
    const again = keep(walls, { ...wall("2"), layout: page(base, tour("a")) });
    expect(again).toHaveLength(3);
    expect(again[0]?.layout.paging).toBeDefined();
    expect(drop(again, "10")).toHaveLength(2);
  });
  it("have an end", () => {
    let walls: readonly SavedWall[] = [];
    for (let i = 0; i < mostWalls + 9; i++) walls = keep(walls, wall(`w${i}`));
    expect(walls).toHaveLength(mostWalls);
  });
  it("survive a file", () => {
    const walls = [wall("a"), { ...wall("b"), layout: tourOn(base, 2, tour("x", "y")) }];
    expect(fromFile(toFile(walls))).toEqual({ walls, refused: 0 });
  });
  it("come from a file without its bad entries and unknown fields", () => {
    const text = JSON.stringify({
      kind: "skein-walls",
      version: 1,
      walls: [{ ...wall("a"), extra: 1 }, { name: "b" }],
    });
    expect(fromFile(text)).toEqual({ walls: [wall("a")], refused: 1 });
  });
  it.each(["", "[]", "null", "{}", '{"kind":"skein-walls","version":2,"walls":[]}'])("are not in %j", (text) =>
    expect(fromFile(text)).toBeUndefined(),
  );
});
