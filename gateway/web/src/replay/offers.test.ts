import { describe, expect, it, vi } from "vitest";
import { ApiError } from "../api/client";
import { endOfDay, lockBody, lockFault } from "./lock";
import { absent, Offer, thumbnailURL } from "./offers";
import { cells } from "./thumbs";

const fail = (status: number) => new ApiError(status === 0 ? "network" : "problem", status, {});
const noon = Date.UTC(2026, 10, 23, 4); // 12:00 in Beijing

describe("what a gateway offers", () => {
  it.each([
    [403, false],
    [404, false],
    [501, false],
    [405, true],
    [400, true],
    [500, true],
  ])("an answer of %d", async (status, there) => {
    const ask = vi.fn(() => Promise.reject(fail(status)));
    const offer = new Offer(ask);
    await expect(offer.there()).resolves.toBe(there);
    await offer.there();
    expect(ask).toHaveBeenCalledOnce();
  });
  it("is asked again after no answer", async () => {
    const ask = vi.fn().mockRejectedValueOnce(fail(0)).mockResolvedValue({});
    const offer = new Offer(ask);
    await expect(offer.there()).resolves.toBe(false);
    await expect(offer.there()).resolves.toBe(true);
    offer.gone();
    await expect(offer.there()).resolves.toBe(false);
  });
  it("counts a refusal of the deed as absent", () => {
    expect([400, 403, 404, 409, 501].map((s) => absent(fail(s)))).toEqual([false, true, true, false, true]);
  });
});

describe("a lock", () => {
  const form = { reason: " theft ", case: " 2026-17 ", until: "2027-05-01" };
  it("holds to the end of a day of the viewer's zone", () => {
    expect(lockBody("cam-1", { from: noon - 60_000, to: noon }, form)).toEqual({
      cameras: ["cam-1"],
      from: "2026-11-23T03:59:00.000Z",
      to: "2026-11-23T04:00:00.000Z",
      reason: "theft",
      until: "2027-05-01T15:59:59.000Z",
      case: "2026-17",
    });
  });
  it("needs a reason and an end to come", () => {
    expect(lockFault(form, noon)).toBeUndefined();
    expect(lockFault({ ...form, reason: "  " }, noon)).toBe("needReason");
    expect(lockFault({ ...form, until: "2026-11-22" }, noon)).toBe("badUntil");
    expect(lockFault({ ...form, until: "" }, noon)).toBe("badUntil");
    expect(endOfDay("2026-11-23")).toBeGreaterThan(noon); // today counts
  });
});

describe("thumbnails", () => {
  const hour = { from: noon - 3_600_000, to: noon };
  const all = { spans: [hour], gaps: [] };
  it("stand at times that do not move with the window", () => {
    const now = cells(all, hour, 6).map((c) => c.at);
    const later = { from: hour.from + 10_000, to: hour.to + 10_000 };
    expect(now.length).toBeGreaterThanOrEqual(5);
    expect(cells(all, later, 6).map((c) => c.at)).toEqual(now);
    for (const c of cells(all, hour, 6)) expect(c.share).toBeCloseTo((c.at - hour.from) / 3_600_000);
  });
  it("are only where there is footage", () => {
    const half = { spans: [{ from: hour.from, to: noon - 1_800_000 }], gaps: [] };
    const list = cells(half, hour, 6);
    expect(list.length).toBeGreaterThan(1);
    expect(list.every((c) => c.at < noon - 1_800_000)).toBe(true);
    expect(cells(all, { from: 5, to: 5 }, 6)).toEqual([]);
  });
  it("name their camera and time", () => {
    expect(thumbnailURL("a/b", "2026-11-23T04:00:00Z")).toBe("/v1/thumbnails/a%2Fb.jpg?at=2026-11-23T04%3A00%3A00Z");
    expect(thumbnailURL("a", "x", "r1")).toBe("/v1/thumbnails/a.jpg?at=x&retrieval=r1");
  });
});
