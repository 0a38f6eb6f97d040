import { useEffect, useRef, useState } from "react";
import { ApiError, getJSON } from "../api/client";
import type { Coverage } from "../api/types";
import { rfc3339 } from "../lib/time";
import { visibleSince } from "../lib/visible";
import { type Footage, footage, type Range } from "./bar";

const refreshMs = 10_000;

/** Coverage of the last hours, kept fresh while the page is seen. */
export function useFootage(camera: string, length: number, offset: number) {
  const [window, setWindow] = useState<Range>(() => ({
    from: Date.now() + offset - length * 60_000,
    to: Date.now() + offset,
  }));
  const [data, setData] = useState<Footage>();
  const [failed, setFailed] = useState(false);
  const [barred, setBarred] = useState(false);
  const clockOffset = useRef(offset);
  clockOffset.current = offset;
  useEffect(() => {
    const abort = new AbortController();
    const read = async () => {
      if (visibleSince() === 0) return;
      const to = Date.now() + clockOffset.current;
      const w = { from: to - length * 60_000, to };
      const query = new URLSearchParams({ from: rfc3339(w.from), to: rfc3339(w.to), camera });
      try {
        const c = await getJSON<Coverage>(`/v1/coverage?${query}`, { signal: abort.signal });
        if (abort.signal.aborted) return;
        setWindow(w);
        setData(footage(c, camera));
        setFailed(false);
      } catch (e) {
        if (e instanceof ApiError && e.kind === "forbidden") {
          clearInterval(timer); // it will not be allowed in ten seconds either
          if (!abort.signal.aborted) setBarred(true);
          return;
        }
        // What could not be read is not the same as nothing recorded.
        if (e instanceof ApiError && !abort.signal.aborted) setFailed(true);
      }
    };
    setBarred(false);
    const timer = setInterval(() => void read(), refreshMs);
    void read();
    return () => {
      abort.abort();
      clearInterval(timer);
    };
  }, [camera, length]);
  return { window, data, failed, barred };
}
