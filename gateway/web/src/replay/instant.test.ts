import { describe, expect, it } from "vitest";
import { instantRange } from "./instant";

const now = Date.UTC(2026, 10, 23, 4);
const spans = (...pairs: [number, number][]) => ({
  spans: pairs.map(([a, b]) => ({ from: now - a * 1000, to: now - b * 1000 })),
  gaps: [],
});
const ago = (r: ReturnType<typeof instantRange>) => r && [(now - r.from) / 1000, (now - r.to) / 1000];

describe("the last seconds", () => {
  it("end where recording ends", () => {
    expect(ago(instantRange(spans([600, 4]), now, 30))).toEqual([34, 4]);
    expect(ago(instantRange(spans([600, 0]), now, 10))).toEqual([10, 0]);
  });
  it("begin where recording began", () => {
    expect(ago(instantRange(spans([20, 2]), now, 60))).toEqual([20, 2]);
    expect(ago(instantRange(spans([600, 25], [20, 2]), now, 60))).toEqual([62, 2]);
  });
  it("are not taken from long ago", () => {
    expect(instantRange(spans([600, 181]), now, 30)).toBeUndefined();
    expect(instantRange(spans(), now, 30)).toBeUndefined();
  });
  it("never lie in the future", () => expect(ago(instantRange(spans([60, -3]), now, 10))?.[1]).toBe(0));
});
