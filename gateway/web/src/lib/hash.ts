import { useSyncExternalStore } from "react";

function subscribe(listener: () => void): () => void {
  addEventListener("hashchange", listener);
  return () => removeEventListener("hashchange", listener);
}

/** The part of the address from # on. */
export const useHash = (): string => useSyncExternalStore(subscribe, () => location.hash);
