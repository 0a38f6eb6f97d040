import { onVisibility, visibleSince } from "./visible";

/**
 * Does `work` again and again, `everyMs` after it ended, never twice at once and not while the page is hidden: at once
 * when it is shown again. The function returned stops it and aborts work under way. `work` must not throw.
 */
export function poll(work: (signal: AbortSignal) => Promise<void>, everyMs: number): () => void {
  const over = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let busy = false;
  const go = async () => {
    clearTimeout(timer);
    if (busy || over.signal.aborted || visibleSince() === 0) return;
    busy = true;
    await work(over.signal);
    busy = false;
    if (!over.signal.aborted) timer = setTimeout(go, everyMs);
  };
  const off = onVisibility(() => void go());
  void go();
  return () => {
    off();
    clearTimeout(timer);
    over.abort();
  };
}
