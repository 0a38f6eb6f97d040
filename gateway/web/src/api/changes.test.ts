import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Events, listen } from "./changes";
import type { Change } from "./types";

describe("server-sent events", () => {
  it("are put together from whatever pieces come, without comments", () => {
    const e = new Events();
    expect(e.push("id: a.1\ndata: {")).toEqual([]);
    expect(e.push('"x":1}\n\n:\n\nid: a')).toEqual(['{"x":1}']);
    expect(e.push(".2\ndata: {}\n")).toEqual(["{}"]);
  });
});

/** A feed that says what it is told to. */
function feed() {
  let control: ReadableStreamDefaultController<Uint8Array>;
  let ended = false;
  const body = new ReadableStream<Uint8Array>({
    start(c) {
      control = c;
    },
    cancel() {
      ended = true;
    },
  });
  vi.stubGlobal("fetch", (_: string, o: RequestInit) => {
    o.signal?.addEventListener("abort", () => !ended && control.error(new DOMException("", "AbortError")));
    return Promise.resolve(new Response(body));
  });
  return {
    say: (text: string) => control.enqueue(new TextEncoder().encode(text)),
    close: () => control.close(),
  };
}

describe("listening for changes", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });
  it("hands over changes and signs of life until it is to begin anew", async () => {
    const gateway = feed();
    const heard: (Change | undefined)[] = [];
    const done = listen("a.1", (c) => heard.push(c), new AbortController().signal);
    gateway.say('data: {"version":"a.2","cameras":[]}\n\n');
    await vi.advanceTimersByTimeAsync(10);
    gateway.say(":\n\n");
    await vi.advanceTimersByTimeAsync(10);
    gateway.say('data: {"version":"a.3","reload":true}\n\n');
    await done;
    expect(heard).toEqual([{ version: "a.2", cameras: [] }, undefined, { version: "a.3", reload: true }]);
  });
  it("takes a silence for what it is", async () => {
    feed();
    const failed = expect(listen("a.1", () => undefined, new AbortController().signal)).rejects.toMatchObject({
      kind: "network",
    });
    await vi.advanceTimersByTimeAsync(6001);
    await failed;
  });
});
