import { ApiError, request } from "./client";
import type { Change } from "./types";

/** The gateway says something every two seconds; so long a silence means that it cannot be heard any more. */
const silenceMs = 6000;

/** Splits server-sent events into the texts of their data, whatever pieces they come in. Comments are left out. */
export class Events {
  private rest = "";

  push(piece: string): string[] {
    const lines = (this.rest + piece).split("\n");
    this.rest = lines.pop() ?? "";
    return lines.filter((line) => line.startsWith("data: ")).map((line) => line.slice(6));
  }
}

/**
 * Listens to GET /v1/changes from a version on. Resolves when the gateway ends the feed, for another one to begin;
 * rejects with ApiError if it cannot be heard, or with AbortError if `signal` fired. `heard` is called for every sign
 * of life, with a change if it is one.
 */
export async function listen(since: string, heard: (change?: Change) => void, signal: AbortSignal): Promise<void> {
  const over = new AbortController();
  let timer = setTimeout(() => over.abort(), silenceMs);
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => over.abort(), silenceMs);
  };
  try {
    const response = await request(`/v1/changes?since=${encodeURIComponent(since)}`, {
      signal: AbortSignal.any([signal, over.signal]),
      headers: { Accept: "text/event-stream, application/problem+json" },
      timeoutMs: 0,
    });
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    const events = new Events();
    for (;;) {
      const piece = await reader?.read();
      if (!piece || piece.done) return;
      alive();
      const changes = events.push(piece.value).map((data) => JSON.parse(data) as Change);
      if (changes.length === 0) heard();
      for (const change of changes) {
        heard(change);
        if (change.reload) return;
      }
    }
  } catch (e) {
    if (signal.aborted || e instanceof ApiError) throw e;
    throw new ApiError("network", 0, { title: String(e) });
  } finally {
    clearTimeout(timer);
    over.abort(); // lets the connection go
  }
}
