import { expect, it } from "vitest";
import { bytesText, daysText, standing } from "./storagesums";

const t = (key: string, values?: Record<string, unknown>) => `${values?.n} ${key}`;

it.each([
  [0, "0 B"],
  [999, "999 B"],
  [1_500_000, "1.5 MB"],
  [3_750_000_000, "3.8 GB"],
  [81_156_123_586, "81 GB"],
  [4_000_000_000_000, "4.0 TB"],
])("writes %d bytes as %s", (n, want) => expect(bytesText(n)).toBe(want));

it.each([
  [0.047, "68 storage.minutes"],
  [0.5, "12 storage.hours"],
  [9.9, "9.9 storage.days"],
  [90, "90 storage.days"],
])("writes %d days as %s", (days, want) => expect(daysText(t as never, days)).toBe(want));

it("takes the bound for the room there is, unless the disk has less", () => {
  const s = { bytes: 50, bytes_per_day: 10, measured: true };
  expect(standing({ ...s, max_bytes: 100, free: 1000 })).toEqual({ capacity: 100, share: 0.5, kept: true, fits: true });
  expect(standing({ ...s, max_bytes: 100, free: 10 }).capacity).toBe(60);
  expect(standing({ ...s, free: 150 }).share).toBe(0.25);
  expect(standing(s).share).toBeUndefined();
});

it("says when retention is not kept, or will not fit", () => {
  const s = { bytes: 50, bytes_per_day: 10, measured: true };
  const retention = { kept: false, early_segments: 3, needed_bytes: 900, short_bytes: 800 };
  expect(standing({ ...s, retention })).toMatchObject({ kept: false, fits: false });
  expect(standing({ ...s, retention: { ...retention, kept: true } })).toMatchObject({ kept: true, fits: false });
});
