import { useSyncExternalStore } from "react";

/** One timer for everything that shows passing time. Stands still while nobody listens. */
function ticker(everyMs: number) {
  const listeners = new Set<() => void>();
  let timer: ReturnType<typeof setInterval> | undefined;
  let now = Date.now();
  const subscribe = (listener: () => void) => {
    listeners.add(listener);
    timer ??= setInterval(() => {
      now = Date.now();
      for (const l of listeners) l();
    }, everyMs);
    return () => {
      listeners.delete(listener);
      if (listeners.size > 0) return;
      clearInterval(timer);
      timer = undefined;
    };
  };
  return { subscribe, get: () => now };
}

const half = ticker(500);
const whole = ticker(1000);

/** Browser time, twice a second. */
export const useHalfSecond = () => useSyncExternalStore(half.subscribe, half.get);
/** Browser time, once a second. */
export const useSecond = () => useSyncExternalStore(whole.subscribe, whole.get);
