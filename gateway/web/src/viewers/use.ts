import { useEffect, useState } from "react";
import { ApiError, getJSON } from "../api/client";
import { poll } from "../lib/poll";
import { advance, noTracks, type Tracks } from "./track";
import type { LiveList } from "./types";

const everyMs = 2000;

export interface Live {
  tracks: Tracks;
  /** The last poll worked. If not, the tracks are what was known before. */
  reachable: boolean;
  loaded: boolean;
  /** The gateway's refusal, in its words. */
  refused?: string;
}

/** Who sees what, asked every two seconds while the page is visible. */
export function useLive(): Live {
  const [live, setLive] = useState<Live>({ tracks: noTracks, reachable: true, loaded: false });
  useEffect(
    () =>
      poll(async (signal) => {
        try {
          const list = await getJSON<LiveList>("/v1/live/sessions", { signal, timeoutMs: 5000 });
          setLive((old) => ({ tracks: advance(old.tracks, list), reachable: true, loaded: true }));
        } catch (e) {
          if (signal.aborted) return;
          const refused = e instanceof ApiError && e.kind !== "network" ? e.message : undefined;
          setLive((old) => ({ ...old, reachable: false, refused }));
        }
      }, everyMs),
    [],
  );
  return live;
}
