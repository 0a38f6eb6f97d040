import { describe, expect, it } from "vitest";
import { footage, newest, pieces, ticks } from "./bar";

const t0 = Date.UTC(2026, 10, 23, 4);
const s = (n: number) => t0 + n * 1000;
const iso = (n: number) => new Date(s(n)).toISOString();
const f = footage(
  {
    from: iso(0),
    to: iso(100),
    cameras: [
      {
        camera: "a",
        spans: [
          { from: iso(50), to: iso(90) },
          { from: iso(0), to: iso(40) },
          { from: "rubbish", to: iso(3) },
        ],
        gaps: [
          { from: iso(40), to: iso(50), cause: "network" },
          { from: iso(90), to: iso(100), cause: "" },
        ],
      },
      { camera: "b", spans: null, gaps: null },
    ],
  },
  "a",
);

describe("coverage", () => {
  it("is read in order, malformed entries dropped, causeless gaps named unknown", () => {
    expect(f.spans.map((x) => x.from)).toEqual([s(0), s(50)]);
    expect(f.gaps.map((x) => x.cause)).toEqual(["network", "unknown"]);
  });
  it("is empty for a camera without any", () => {
    const c = { from: "", to: "", cameras: [{ camera: "b", spans: null, gaps: null }] };
    expect(footage(c, "b")).toEqual({ spans: [], gaps: [] });
    expect(footage(c, "c")).toEqual({ spans: [], gaps: [] });
  });
  it("is drawn clipped to the window", () => {
    const drawn = pieces(f, { from: s(20), to: s(60) }).map(({ left, width, cause }) => ({ left, width, cause }));
    expect(drawn).toEqual([
      { left: 0, width: 0.5, cause: undefined },
      { left: 0.75, width: 0.25, cause: undefined },
      { left: 0.5, width: 0.25, cause: "network" },
    ]);
    expect(pieces(f, { from: s(5), to: s(5) })).toEqual([]);
  });
  it("ends the newest minute where recording ends", () => {
    expect(newest(f, 60_000)).toEqual({ from: s(30), to: s(90) });
    expect(newest({ spans: [], gaps: [] }, 60_000)).toBeUndefined();
  });
});

it("scales a window with round times", () => {
  expect(ticks({ from: s(1), to: s(3600) })).toEqual([600, 1200, 1800, 2400, 3000].map(s));
  expect(ticks({ from: s(0), to: s(60) })).toHaveLength(6);
});
