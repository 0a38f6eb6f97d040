import { expect, it } from "vitest";
import { addMoment, capturedAt } from "./moments";

it("dates a picture by the newest rule that is not after it, over the wrap of timestamps", () => {
  const live = { rtp: 4_294_967_000, at: 1_000_000 };
  const past = { rtp: (4_294_967_000 + 90_000) % 2 ** 32, at: 400_000 };
  const moments = addMoment(addMoment(undefined, live), past);
  expect(capturedAt(moments, live.rtp - 900)).toBe(999_990);
  expect(capturedAt(moments, (live.rtp + 45_000) % 2 ** 32)).toBe(1_000_500);
  expect(capturedAt(moments, past.rtp)).toBe(400_000);
  expect(capturedAt(moments, past.rtp + 180_000)).toBe(402_000);
});

it("dates nothing without a rule or a timestamp", () => {
  expect(capturedAt(undefined, 1)).toBeUndefined();
  expect(capturedAt([], 1)).toBeUndefined();
  expect(capturedAt([{ rtp: 1, at: 2 }], undefined)).toBeUndefined();
});

it("forgets old rules", () => {
  let all = addMoment(undefined, { rtp: 0, at: 0 });
  for (let i = 1; i < 20; i++) all = addMoment(all, { rtp: i, at: i });
  expect(all).toHaveLength(6);
  expect(all.at(-1)?.rtp).toBe(19);
});
