import { describe, expect, it } from "vitest";
import type { Camera, State } from "../api/types";
import { camerasOf, filterOf, passes } from "../pages/filter";
import { FrameMeter } from "./frames";
import { badges, deriveTile, faulty, freezeAfter, listed, sight, type TileInput, type TileState } from "./tile";
import { idleView } from "./transport";

const now = Date.UTC(2026, 10, 23, 4);
const camera: Camera = {
  id: "cam0",
  name: "路口 0",
  unit: "baishazhou",
  state: "live",
  profiles: { sub: { state: "live", fps: 15 } },
};
const noFrames = { measured: false, fps: 0 };

function tile(change: Partial<TileInput>) {
  return deriveTile({
    camera,
    assigned: true,
    loaded: true,
    view: { ...idleView, phase: "playing", profile: "sub" },
    frames: { lastAt: now - 40, ageMs: 120, measured: true, fps: 15 },
    now,
    reachable: true,
    ...change,
  });
}

describe("a tile with frames", () => {
  it("is live with its age", () =>
    expect(tile({})).toMatchObject({ badge: "live", ageMs: 120, measured: true, stale: false }));
  it("is delayed from 2 s on", () => {
    expect(tile({ frames: { lastAt: now, ageMs: 2400, measured: true, fps: 15 } }).badge).toBe("delayed");
  });
  it("counts the edge's delay the frames cannot know", () => {
    const view = { ...idleView, phase: "playing" as const, profile: "sub" as const };
    const slow = { ...camera, profiles: { sub: { state: "delayed" as const, delay_ms: 3000, fps: 15 } } };
    const frames = { lastAt: now, ageMs: 30, measured: false, fps: 15 };
    expect(tile({ camera: slow, view, frames })).toMatchObject({ badge: "delayed", ageMs: 3030, measured: false });
  });
  it("believes the frames more than a list that lags", () => {
    expect(tile({ camera: { ...camera, state: "offline" } }).badge).toBe("live");
    expect(tile({ reachable: false }).badge).toBe("live");
  });
  it("never shows what is paused for privacy or not permitted, frames or not", () => {
    expect(tile({ camera: { ...camera, state: "paused" } })).toMatchObject({ badge: "paused", veil: true });
    expect(tile({ view: { ...idleView, phase: "refused", reason: "not_permitted" } })).toMatchObject({
      badge: "not_permitted",
      veil: true,
    });
  });
});

describe("a tile whose frames stopped", () => {
  const old = { lastAt: now - 2600, ageMs: 100, measured: true, fps: 0 };
  it("is frozen since the last frame, though the connection stands", () => {
    expect(tile({ frames: old })).toMatchObject({
      badge: "frozen",
      since: now - 2600,
      stale: true,
      reason: "no_frames",
    });
  });
  it("takes the list's worse word for why", () => {
    const off = { ...camera, state: "offline" as const, reason: "refused" };
    expect(tile({ frames: old, camera: off })).toMatchObject({
      badge: "offline",
      reason: "refused",
      since: now - 2600,
      stale: true,
    });
  });
  it("says that there is only sound, and nothing where the gateway is away", () => {
    const speaker = { ...camera, state: "sound_only" as const };
    const none = { measured: false, fps: 0 };
    expect(tile({ camera: speaker, frames: none })).toMatchObject({ badge: "sound_only", reason: "sound_only" });
    expect(tile({ camera: speaker, frames: none, reachable: false }).badge).toBe("unknown");
  });
  it("says that the gateway is away", () => {
    expect(tile({ frames: old, reachable: false })).toMatchObject({ badge: "frozen", reason: "gateway_away" });
  });
  it("is not moving without a connection, however fresh its last frame", () => {
    const view = { ...idleView, phase: "waiting" as const, reason: "connection_lost" };
    expect(tile({ view })).toMatchObject({ badge: "frozen", reason: "connection_lost", since: now - 40, stale: true });
  });
  it("waits longer for slow sources only", () => {
    expect(freezeAfter(25)).toBe(2500);
    expect(freezeAfter(undefined)).toBe(2500);
    expect(freezeAfter(1)).toBe(3000);
    expect(freezeAfter(0.1)).toBe(10_000);
  });
});

describe("a tile without frames", () => {
  it("connects", () =>
    expect(tile({ frames: noFrames, view: { ...idleView, phase: "connecting" } }).badge).toBe("connecting"));
  it("is unknown, never live, if its connection fails though the list says live", () => {
    const view = { ...idleView, phase: "waiting" as const, reason: "server" };
    expect(tile({ frames: noFrames, view })).toMatchObject({ badge: "unknown", reason: "server" });
  });
  it("is unknown while the gateway is away", () => {
    expect(tile({ frames: noFrames, reachable: false })).toMatchObject({ badge: "unknown", reason: "gateway_away" });
  });
  it("shows the list's state and reason", () => {
    const off = { ...camera, state: "edge_silent" as const, reason: "link" };
    expect(tile({ frames: noFrames, camera: off })).toMatchObject({ badge: "edge_silent", reason: "link" });
  });
  it("is unknown for a camera that left the list, empty without one", () => {
    expect(tile({ camera: undefined })).toMatchObject({ badge: "unknown", reason: "not_in_list", veil: true });
    expect(tile({ camera: undefined, assigned: false }).badge).toBe("empty");
  });
});

it("lists nothing as live once the list is stale", () => {
  expect(listed(camera, true)).toBe("live");
  expect(listed(camera, false)).toBe("unknown");
});

describe("the frame meter", () => {
  it("measures from capture to display", () => {
    const m = new FrameMeter();
    m.frame(now, { expectedDisplayTime: 5000, captureTime: 4850, receiveTime: 4990 });
    expect(m.read(now)).toMatchObject({ lastAt: now, ageMs: 150, measured: true });
  });
  it.each([undefined, Number.NaN, -9e12, 9000])("falls back to arrival for capture time %s", (captureTime) => {
    const m = new FrameMeter();
    m.frame(now, { expectedDisplayTime: 5000, captureTime, receiveTime: 4990 });
    expect(m.read(now)).toMatchObject({ ageMs: 10, measured: false });
  });
  it("takes a frame shown again for no new one", () => {
    const m = new FrameMeter();
    m.frame(now, { expectedDisplayTime: 0, rtpTimestamp: 90, mediaTime: 1 });
    m.frame(now + 9000, { expectedDisplayTime: 9000, rtpTimestamp: 90, mediaTime: 10 });
    m.frame(now + 9100, { expectedDisplayTime: 9100, mediaTime: 11 });
    expect(m.read(now).lastAt).toBe(now);
    m.frame(now + 9200, { expectedDisplayTime: 9200, rtpTimestamp: 3090 });
    expect(m.read(now).lastAt).toBe(now + 9200);
    m.reset();
    m.frame(now, { expectedDisplayTime: 0, mediaTime: 1 });
    m.frame(now + 50, { expectedDisplayTime: 50, mediaTime: 1 });
    expect(m.read(now).lastAt).toBe(now);
  });
  it("counts frames a second and forgets at reset", () => {
    const m = new FrameMeter();
    for (let t = 0; t < 4000; t += 40) m.frame(now + t, { expectedDisplayTime: t });
    expect(m.read(now + 3980).fps).toBe(25);
    m.reset();
    expect(m.read(now)).toEqual({ lastAt: undefined, ageMs: undefined, measured: false, fps: 0 });
  });
});

describe("a camera in lists and sums", () => {
  const camera = (state: State): Camera => ({ id: "a", name: "A", unit: "u", state });
  const sights = new Map([["a", { state: "frozen" as const, reason: "no_frames" }]]);
  it("is as its tile sees it, where that is worse than what the list says", () => {
    expect(listed(camera("live"), true, sights)).toBe("frozen");
    expect(listed(camera("offline"), true, sights)).toBe("offline");
    expect(listed(camera("live"), true)).toBe("live");
    expect(listed(camera("live"), false, sights)).toBe("unknown");
  });
  it("is a fault unless it is well, hidden on purpose or not measured", () => {
    const faults = badges.filter(faulty);
    for (const state of ["delayed", "frozen", "no_signal", "offline", "edge_silent"]) expect(faults).toContain(state);
    for (const state of ["live", "paused", "not_permitted", "connecting", "unknown"]) expect(faults).not.toContain(state);
    expect(badges.filter((b) => passes("faulty", b))).toEqual(faults);
    expect(badges.filter((b) => passes("unmeasured", b))).toEqual(["connecting", "unknown"]);
    expect(filterOf(camerasOf("faulty"))).toBe("faulty");
    expect([filterOf("#/cameras"), filterOf("#/cameras/nonsense")]).toEqual([undefined, undefined]);
  });
  it("is told of by its tile unless it is well there or still coming", () => {
    const told = (badge: TileState["badge"]) => sight({ badge, measured: true, stale: false, veil: false });
    expect([told("live"), told("connecting"), told("empty")]).toEqual([undefined, undefined, undefined]);
    expect(told("frozen")).toEqual({ state: "frozen", reason: undefined });
  });
});
