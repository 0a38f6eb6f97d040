import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { CameraStore, type Source } from "./cameras";
import { ApiError } from "./client";
import type { Camera, Change, State } from "./types";

const camera = (id: string, state: State = "live"): Camera => ({ id, name: id, unit: "u", state });

/** A gateway in a few lines. */
function gateway() {
  const g = {
    epoch: "a",
    up: true,
    list: [camera("a"), camera("b"), camera("c")],
    lists: 0,
    feeds: 0,
    say(_: Change | undefined): void {},
    /** Ends the feed: well, or by a failure. */
    end(_?: Error): void {},
  };
  const away = () => new ApiError("network", 0, {});
  const source: Source = {
    units: async () => {
      if (!g.up) throw away();
      return [{ id: "u", name: "u", tier: "district" }];
    },
    cameras: async ({ ids }) => {
      if (!g.up) throw away();
      g.lists++;
      const cameras = ids ? g.list.filter((c) => ids.includes(c.id)) : g.list;
      return { now: new Date().toISOString(), version: `${g.epoch}.1`, cameras };
    },
    listen: (since, heard, signal) =>
      new Promise((resolve, reject) => {
        if (!g.up) return reject(away());
        g.feeds++;
        signal.addEventListener("abort", () => reject(new DOMException("", "AbortError")));
        g.say = (c) => {
          heard(c);
          if (c?.reload) resolve();
        };
        g.end = (e) => (e ? reject(e) : resolve());
        if (!since.startsWith(g.epoch)) g.say({ version: `${g.epoch}.1`, reload: true });
        else heard({ version: since });
      }),
  };
  const store = new CameraStore(source, () => 1);
  const returns: boolean[] = [];
  store.onReturn((anew) => returns.push(anew));
  const states = () => [...store.get().cameras.values()].map((c) => c.state).join(" ");
  /** The process is killed and another one comes up after some time. */
  const restart = async (afterMs: number) => {
    g.up = false;
    g.end(away());
    await vi.advanceTimersByTimeAsync(afterMs);
    g.epoch += "x";
    g.up = true;
  };
  return { g, store, returns, states, restart };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("the cameras that a page knows", () => {
  it("are read once and then only told of, with every other object left as it was", async () => {
    const { g, store, states } = gateway();
    store.start();
    await vi.advanceTimersByTimeAsync(10);
    const before = store.get();
    await vi.advanceTimersByTimeAsync(600_000);
    expect([g.lists, g.feeds]).toEqual([1, 1]);
    expect(store.get()).toBe(before);
    g.say({ version: "a.2", cameras: [camera("b", "offline"), camera("unheard-of")] });
    expect(states()).toBe("live offline live");
    expect(store.get().cameras.get("a")).toBe(before.cameras.get("a"));
    expect(store.get().order).toBe(before.order);
    store.stop();
  });
  it("are marked as old while the gateway is away, and asked for again about once a second", async () => {
    const { store, returns, restart } = gateway();
    store.start();
    await vi.advanceTimersByTimeAsync(10);
    await restart(30_000);
    expect(store.get().reachable).toBe(false);
    expect(returns).toEqual([]);
    await vi.advanceTimersByTimeAsync(1500);
    expect(returns).toEqual([true]); // heard again after an outage of half a minute, and it is another process
    await vi.advanceTimersByTimeAsync(200);
    expect(store.get().reachable).toBe(true);
    store.stop();
  });
  it("are believed again as soon as the same gateway is heard again", async () => {
    const { g, store, returns } = gateway();
    store.start();
    await vi.advanceTimersByTimeAsync(10);
    g.end(new ApiError("network", 0, {})); // the way to it, not the gateway
    await vi.advanceTimersByTimeAsync(0);
    expect(store.get().reachable).toBe(false);
    await vi.advanceTimersByTimeAsync(1500);
    expect([store.get().reachable, returns, g.lists]).toEqual([true, [false], 1]);
    store.stop();
  });
  it("are read anew when the inventory changed", async () => {
    const { g, store, states } = gateway();
    store.start();
    await vi.advanceTimersByTimeAsync(10);
    g.list = [camera("c"), camera("d", "frozen")];
    g.say({ version: "a.9", reload: true });
    await vi.advanceTimersByTimeAsync(200);
    expect(states()).toBe("live frozen");
    expect(store.get().order).toEqual(["c", "d"]);
    store.stop();
  });
  it("are not listened for in a hidden tab, and go on from where they were", async () => {
    const { g, store } = gateway();
    store.start();
    await vi.advanceTimersByTimeAsync(10);
    store.pause(true);
    await vi.advanceTimersByTimeAsync(60_000);
    expect([g.lists, g.feeds, store.get().reachable]).toEqual([1, 1, true]);
    store.pause(false);
    await vi.advanceTimersByTimeAsync(10);
    expect([g.lists, g.feeds]).toEqual([1, 2]);
    store.stop();
  });
  it("count as the wall sees them, until the tile sees them well or is gone for a while", async () => {
    const { store } = gateway();
    store.start();
    await vi.advanceTimersByTimeAsync(10);
    store.see(3, "a", { state: "frozen", reason: "no_frames" });
    expect(store.get().sights.get("a")).toEqual({ state: "frozen", reason: "no_frames" });
    const before = store.get();
    store.see(3, "a", { state: "frozen", reason: "no_frames" });
    expect(store.get()).toBe(before);
    store.unsee(3);
    expect(store.get().sights.size).toBe(1);
    await vi.advanceTimersByTimeAsync(10_100);
    expect(store.get().sights.size).toBe(0);
    store.see(3, "a", { state: "frozen" });
    store.see(3, "b", undefined);
    expect(store.get().sights.size).toBe(0);
    store.stop();
  });
  it("have fresh figures where those are looked at", async () => {
    const { g, store } = gateway();
    store.start();
    await vi.advanceTimersByTimeAsync(10);
    g.list = [camera("a"), { ...camera("b"), profiles: { main: { state: "live", kbps: 900 } } }];
    await store.figures(["b"]);
    expect(store.get().cameras.get("b")?.profiles?.main?.kbps).toBe(900);
    expect(store.get().cameras.size).toBe(3);
    store.stop();
  });
});
