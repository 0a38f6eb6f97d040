import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { poll } from "./poll";

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

it("asks again some time after an answer, never twice at once, and not after its end", async () => {
  let asked = 0;
  let answer: () => void = () => undefined;
  let signal: AbortSignal | undefined;
  const stop = poll((s) => {
    asked++;
    signal = s;
    return new Promise((resolve) => {
      answer = resolve;
    });
  }, 2000);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked).toBe(1);
  answer();
  await vi.advanceTimersByTimeAsync(1999);
  expect(asked).toBe(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(asked).toBe(2);
  stop();
  expect(signal?.aborted).toBe(true);
  answer();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(asked).toBe(2);
});
