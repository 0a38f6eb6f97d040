import { describe, expect, it } from "vitest";
import { after, before, gapAt, pictureAt, positionOf, readTimeline, share, stretchesOf } from "./timeline";

const t0 = Date.UTC(2026, 10, 23, 4);
const s = (n: number) => t0 + n * 1000;
const iso = (n: number) => new Date(s(n)).toISOString();
const stretch = (from: number, to: number) => ({ from: iso(from), to: iso(to) });

/** Asked for 0 to 70 s: recorded 10 to 29.96 and 42 to 44.04; the MP4 begins with second 10. */
const film = readTimeline({
  ...stretch(0, 70),
  spans: [
    { ...stretch(10, 29.96), at_s: 0 },
    { ...stretch(42, 44.04), at_s: 32 },
  ],
  gaps: [
    { ...stretch(0, 10), cause: "camera_off" },
    { ...stretch(29.96, 36), cause: "network" },
    { ...stretch(36, 42), cause: "edge_down" },
    { ...stretch(44.04, 70), cause: "" },
  ],
});

describe("an MP4", () => {
  it.each([
    [0, 10],
    [19.92, 29.92],
    [24, 29.96], // stands still in the gap
    [31.99, 29.96],
    [31.999, 42], // a demuxer's rounding
    [34, 44],
    [99, 44.04],
  ])("shows at %d s the picture of second %d", (at, second) => {
    expect(Math.abs((pictureAt(film.spans, at) ?? 0) - s(second))).toBeLessThan(2);
  });
  it("is sought to a moment, or to what comes next after it", () => {
    expect([5, 20, 35, 43, 60].map((n) => positionOf(film.spans, s(n)))).toEqual([0, 10, 32, 33, 34.04]);
  });
  it("tells the cause where it stands still", () => {
    expect([0, 19.9, 20, 30, 32].map((at) => gapAt(film, at)?.cause)).toEqual([
      undefined,
      undefined,
      "network",
      "edge_down",
      undefined,
    ]);
  });
  it("tells what is missing at its ends", () => {
    expect(before(film).map((g) => g.cause)).toEqual(["camera_off"]);
    expect(after(film).map((g) => g.cause)).toEqual(["unknown"]);
    expect(share(film)).toBeCloseTo((100 * 22) / 70);
  });
});

describe("a playlist", () => {
  const spans = stretchesOf([
    { start: 0, duration: 5, programDateTime: s(10) },
    { start: 5, duration: 4.96, programDateTime: s(15) },
    { start: 9.96, duration: 2, programDateTime: s(42) },
    { start: 11.96, duration: 1, programDateTime: null },
  ]);
  it("leaves gaps out of the film, not out of its times", () => {
    expect([0, 7, 9.95, 9.96, 11].map((at) => pictureAt(spans, at))).toEqual([10, 17, 19.95, 42, 43.04].map(s));
    expect([12, 30, 43].map((n) => positionOf(spans, s(n)))).toEqual([2, 9.96, 10.96]);
  });
});

it("knows of nothing where nothing was recorded", () => {
  const none = readTimeline({ ...stretch(0, 10), spans: [], gaps: [{ ...stretch(0, 10), cause: "clock" }] });
  expect(pictureAt(none.spans, 3)).toBeUndefined();
  expect(positionOf(none.spans, s(3))).toBe(0);
  expect(before(none)).toHaveLength(1);
  expect(after(none)).toEqual([]);
  expect(share(none)).toBe(0);
});
