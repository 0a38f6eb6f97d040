import { afterEach, describe, expect, it } from "vitest";
import { clock, fromInput, length, parse, signed, since, sinceShort, stamp, toInput } from "./time";
import { setZone, zoneLabel } from "./zone";

const noon = Date.UTC(2026, 10, 23, 4, 0, 0); // 12:00 in Shanghai

describe("showing times", () => {
  it("uses Beijing time unless told otherwise", () => {
    expect(clock(noon)).toBe("12:00:00");
    expect(stamp(noon)).toBe("2026-11-23 12:00:00");
    expect(clock(noon, "UTC")).toBe("04:00:00");
  });
  it("writes midnight as 00, not 24", () => {
    expect(clock(Date.UTC(2026, 10, 22, 16, 0, 1))).toBe("00:00:01");
  });
  it("adds the date as soon as it is not today", () => {
    expect(since(noon, noon + 3_600_000)).toBe("12:00:00");
    expect(since(noon, noon + 86_400_000)).toBe("2026-11-23 12:00:00");
    expect(sinceShort(noon, noon)).toBe("12:00:00");
    expect(sinceShort(noon, noon + 86_400_000)).toBe("11-23 12:00");
  });
});

describe("a wall-clock time in a zone", () => {
  it.each(["Asia/Shanghai", "UTC", "Europe/Berlin", "Asia/Kathmandu"])("round-trips in %s", (zone) => {
    for (let h = 0; h < 48; h += 1.25) {
      const ms = noon + h * 3_600_000;
      expect(fromInput(toInput(ms, zone), zone)).toBe(ms);
    }
  });
  it("takes the first of a repeated hour", () => {
    // Berlin, 25 October 2026: 02:30 happens at 00:30 and at 01:30 UTC.
    expect(fromInput("2026-10-25T02:30:00", "Europe/Berlin")).toBe(Date.UTC(2026, 9, 25, 0, 30));
  });
  it("moves on a skipped hour", () => {
    // Berlin, 29 March 2026: 02:30 does not exist.
    expect(fromInput("2026-03-29T02:30:00", "Europe/Berlin")).toBe(Date.UTC(2026, 2, 29, 1, 30));
  });
  it("refuses what is no time", () => {
    expect(fromInput("yesterday")).toBeNaN();
    expect(fromInput("")).toBeNaN();
  });
});

describe("lengths", () => {
  it.each([
    [0, "0.0 s"],
    [-5, "0.0 s"],
    [1240, "1.2 s"],
    [59_900, "59 s"],
    [185_000, "3 min 05 s"],
    [7_800_000, "2 h 10 min"],
    [273_600_000, "3 d 4 h"],
  ])("%d ms is %s", (ms, text) => expect(length(ms)).toBe(text));
  it("keeps the sign of an offset", () => {
    expect(signed(-3400)).toBe("−3.4 s");
    expect(signed(120)).toBe("+120 ms");
  });
});

it("takes absent and zero times as unknown", () => {
  expect(parse(undefined)).toBeUndefined();
  expect(parse("0001-01-01T00:00:00Z")).toBeUndefined();
  expect(parse("2026-11-23T04:00:00.5Z")).toBe(noon + 500);
});

describe("the zone", () => {
  afterEach(() => setZone("Asia/Shanghai"));
  it("is Beijing's until somebody chooses", () => {
    expect(clock(noon)).toBe("12:00:00");
    setZone("UTC");
    expect(clock(noon)).toBe("04:00:00");
    expect(fromInput(toInput(noon))).toBe(noon);
    setZone("local");
    expect(fromInput(toInput(noon))).toBe(noon);
  });
  it("has a short name", () => {
    expect(zoneLabel(noon)).toBe("UTC+8");
    expect(zoneLabel(noon, "UTC")).toBe("UTC");
    expect(zoneLabel(noon, "America/St_Johns")).toBe("UTC−3:30");
  });
});
