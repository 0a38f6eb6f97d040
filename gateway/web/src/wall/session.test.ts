import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { fakeLinks } from "../live/fakelink";
import { decode } from "./protocol";
import { WallSession } from "./session";

const show = (camera: string, profile: "main" | "sub" | "auto" = "auto") => ({
  camera,
  profile,
  width: 640,
  height: 360,
});
const state = (slot: number, camera: string, s = "live", more = {}) => ({
  type: "state",
  slot,
  camera,
  state: s,
  ...more,
});

function wall(slots = 4, more = {}) {
  const fake = fakeLinks();
  const session = new WallSession({ slots, connect: fake.connect, h265: false, random: () => 1, ...more });
  return { session, ...fake };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("a wall session", () => {
  it("negotiates its pool once and says what was wanted before the channel opened", () => {
    const { session, links, last } = wall(4);
    session.show(0, show("a"));
    session.show(2, show("b", "main"));
    expect(last().o).toMatchObject({ url: "/v1/walls", slots: 4, channel: "wall" });
    expect(last().told).toEqual([]);
    last().up();
    expect(last().told).toEqual([
      { type: "show", slot: 0, camera: "a", profile: "auto", width: 640, height: 360 },
      { type: "show", slot: 2, camera: "b", profile: "main", width: 640, height: 360 },
    ]);
    session.show(1, show("c"));
    expect(last().told).toHaveLength(3);
    expect(links).toHaveLength(1);
  });

  it("repeats nothing that did not change", () => {
    const { session, last } = wall();
    last().up();
    session.show(0, show("a"));
    session.show(0, show("a"));
    session.show(0, { ...show("a"), width: 1280 });
    expect(last().told).toHaveLength(2);
  });

  it("plays from the gateway's word on, with its figures", () => {
    const { session, last } = wall();
    session.show(0, show("a"));
    last().up();
    const before = session.view(0);
    expect(before.phase).toBe("connecting");
    last().say(state(0, "a", "live", { profile: "sub", age_ms: 80, fps: 15, kbps: 512 }));
    const view = session.view(0);
    expect(view).toMatchObject({ phase: "playing", profile: "sub", report: { ageMs: 80, fps: 15, kbps: 512 } });
    expect(view.epoch).toBeGreaterThan(before.epoch);
    expect(view.stream).not.toBeNull();
    last().say(state(0, "a", "live", { profile: "main" }));
    expect(session.view(0).epoch).toBe(view.epoch); // another profile, the same camera: frames go on counting
  });

  it("does not take the old camera's state for the new camera's", () => {
    const { session, last } = wall();
    session.show(0, show("a"));
    last().up();
    last().say(state(0, "a"));
    session.show(0, show("b"));
    last().say(state(0, "a"));
    expect(session.view(0)).toMatchObject({ phase: "connecting", camera: "b" });
    last().say(state(0, "b"));
    expect(session.view(0).phase).toBe("playing");
  });

  it("hides, and stays idle whatever still arrives", () => {
    const { session, last } = wall();
    session.show(0, show("a"));
    last().up();
    session.hide(0);
    expect(last().told.at(-1)).toEqual({ type: "hide", slot: 0 });
    last().say(state(0, "a"));
    expect(session.view(0)).toMatchObject({ phase: "idle", stream: null });
    session.hide(0);
    expect(last().told.filter((m) => m.type === "hide")).toHaveLength(1);
  });

  it("passes the gateway's reason on", () => {
    const { session, last } = wall();
    session.show(0, show("a"));
    last().up();
    last().say(state(0, "a", "no_signal", { reason: "camera-silent" }));
    expect(session.view(0)).toMatchObject({
      phase: "connecting",
      reason: "camera_silent",
      report: { state: "no_signal" },
    });
    last().say(state(0, "a", "not_permitted"));
    expect(session.view(0)).toMatchObject({ phase: "refused", reason: "not_permitted" });
  });

  it("asks for sub where main is H.265 this browser lacks, and says why", () => {
    const { session, last } = wall();
    last().up();
    session.show(0, { ...show("a", "main"), codecs: { main: "H265", sub: "H264" } });
    expect(last().told.at(-1)).toMatchObject({ profile: "sub" });
    expect(session.view(0).fallback).toBe("h265");
  });

  it("asks for the one profile a terminal has", () => {
    const { session, last } = wall();
    last().up();
    session.show(0, { ...show("a", "main"), codecs: { sub: "H264" } });
    expect(last().told.at(-1)).toMatchObject({ profile: "sub" });
    session.show(1, { ...show("b", "auto"), codecs: { sub: "H264" } });
    expect(last().told.at(-1)).toMatchObject({ profile: "auto" });
  });

  it("reconnects with growing waits and restores its slots", () => {
    const { session, links, last } = wall();
    session.show(0, show("a"));
    last().up();
    last().say(state(0, "a"));
    const shown = session.view(0).stream;
    for (const wait of [300, 600, 1200]) {
      const n = links.length;
      last().on.down({ reason: "gateway_away", refused: false });
      expect(session.view(0)).toMatchObject({ phase: "waiting", reason: "gateway_away", stream: shown });
      vi.advanceTimersByTime(wait - 1);
      expect(links).toHaveLength(n);
      vi.advanceTimersByTime(1);
      expect(links).toHaveLength(n + 1);
    }
    session.show(1, show("b"));
    last().up();
    expect(last().told.map((m) => m.camera)).toEqual(["a", "b"]);
    last().say(state(0, "a"));
    expect(session.view(0).phase).toBe("playing");
    expect(session.view(0).stream).not.toBe(shown);
    vi.advanceTimersByTime(10_000);
    last().on.down({ reason: "connection_lost", refused: false });
    vi.advanceTimersByTime(300); // the steady time has reset the back-off
    expect(links).toHaveLength(5);
  });

  it("gives way once to one connection per tile where the gateway has no walls", () => {
    const unsupported = vi.fn();
    const { last, links } = wall(4, { unsupported });
    last().on.down({ reason: "not_found", refused: true, status: 404 });
    vi.advanceTimersByTime(60_000);
    expect(unsupported).toHaveBeenCalledOnce();
    expect(links).toHaveLength(1);
  });

  it("gives way after three errors before ever working, but not because the gateway is away", () => {
    const unsupported = vi.fn();
    const { last } = wall(4, { unsupported });
    for (let i = 0; i < 5; i++) {
      last().on.down({ reason: "gateway_away", refused: false });
      vi.advanceTimersByTime(10_000);
    }
    expect(unsupported).not.toHaveBeenCalled();
    for (let i = 0; i < 3; i++) {
      last().on.down({ reason: "server", refused: false, status: 500 });
      vi.advanceTimersByTime(10_000);
    }
    expect(unsupported).toHaveBeenCalledOnce();
  });

  it("ends for good when closed", () => {
    const { session, last, links } = wall();
    session.show(0, show("a"));
    last().up();
    session.close();
    expect(last().closed).toBe(true);
    expect(session.view(0).phase).toBe("idle");
    session.show(0, show("b"));
    vi.advanceTimersByTime(60_000);
    expect(links).toHaveLength(1);
  });

  it("ignores slots outside its pool", () => {
    const { session, last } = wall(2);
    last().up();
    session.show(2, show("a"));
    session.show(-1, show("a"));
    expect(last().told).toEqual([]);
  });
});

describe("messages of the gateway", () => {
  it.each([
    ["no JSON", "{"],
    ["null", "null"],
    ["another type", '{"type":"hello"}'],
    ["slot outside", '{"type":"state","slot":4,"camera":"a","state":"live"}'],
    ["half a slot", '{"type":"state","slot":0.5,"camera":"a","state":"live"}'],
    ["slot as text", '{"type":"state","slot":"0","camera":"a","state":"live"}'],
    ["unknown state", '{"type":"state","slot":0,"camera":"a","state":"splendid"}'],
  ])("drops %s", (_, data) => expect(decode(data, 4)).toBeUndefined());

  it("keeps the good and drops odd figures", () => {
    const data =
      '{"type":"state","slot":3,"camera":"a","profile":"huge","state":"live","fps":"many","kbps":9,"more":1}';
    expect(decode(data, 4)).toEqual({
      type: "state",
      slot: 3,
      camera: "a",
      profile: undefined,
      state: "live",
      reason: undefined,
      age_ms: undefined,
      fps: undefined,
      kbps: 9,
    });
  });
});

describe("a wall whose gateway went away, or says no", () => {
  it("waits for no back-off once the gateway is heard again", () => {
    const { session, links, last } = wall();
    session.show(0, show("a"));
    last().up();
    for (let i = 0; i < 6; i++) {
      last().on.down({ reason: "gateway_away", refused: false });
      vi.advanceTimersByTime(10_000);
    }
    last().on.down({ reason: "gateway_away", refused: false });
    expect(session.view(0).retryAt).toBeGreaterThan(Date.now() + 4000);
    const before = links.length;
    session.wake(false);
    expect(links).toHaveLength(before + 1);
    last().up();
    expect(last().told.at(-1)).toMatchObject({ type: "show", slot: 0, camera: "a" });
    session.wake(false); // nothing waits
    vi.advanceTimersByTime(60_000);
    expect(links).toHaveLength(before + 1);
  });

  it("does not wait for the connection of a gateway that is no more to be found dead", () => {
    const { session, links, last } = wall();
    session.show(0, show("a"));
    last().up();
    last().say(state(0, "a"));
    const old = last();
    session.wake(true);
    expect(old.closed).toBe(true);
    expect(links).toHaveLength(2);
    vi.advanceTimersByTime(60_000);
    expect(links).toHaveLength(2);
  });

  it("is told once that the role may not watch, and says so on every tile without trying again", () => {
    const unsupported = vi.fn();
    const { session, links, last } = wall(4, { unsupported });
    session.show(0, show("a"));
    last().on.down({ reason: "not_permitted", refused: true, status: 403 });
    session.show(1, show("b"));
    vi.advanceTimersByTime(120_000);
    expect(links).toHaveLength(1);
    expect(unsupported).not.toHaveBeenCalled();
    for (const [slot, camera] of ["a", "b"].entries()) {
      const view = session.view(slot);
      expect(view).toMatchObject({ phase: "refused", reason: "not_permitted", camera });
      expect(view.retryAt).toBeUndefined();
    }
  });
});
