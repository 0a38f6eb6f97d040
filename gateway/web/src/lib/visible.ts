import { useSyncExternalStore } from "react";

/** When the page was last shown again (epoch ms); 0 while hidden. Frames are not presented to a hidden page. */
let since = typeof document !== "undefined" && document.hidden ? 0 : 1;

const listeners = new Set<() => void>();

if (typeof document !== "undefined") {
  document.addEventListener("visibilitychange", () => {
    since = document.hidden ? 0 : Date.now();
    for (const l of listeners) l();
  });
}

export const visibleSince = () => since;

export function onVisibility(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export const useVisibleSince = () => useSyncExternalStore(onVisibility, visibleSince);
