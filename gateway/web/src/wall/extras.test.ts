import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { fakeLinks } from "../live/fakelink";
import { decode, encode, longest, refusal, statsMessages } from "./protocol";
import { WallSession } from "./session";

const show = (camera: string) => ({ camera, profile: "auto" as const, width: 640, height: 360 });
const tour = (...ids: string[]) => ({
  ...show(ids[0] ?? ""),
  tour: { stops: ids.map((camera) => ({ camera })), dwellS: 10 },
});
const state = (slot: number, camera: string, more = {}) => ({ type: "state", slot, camera, state: "live", ...more });
const refuse = { type: "error", reason: "bad-message", detail: "message not understood: unknown type" };

function wall() {
  const fake = fakeLinks();
  const session = new WallSession({ slots: 4, connect: fake.connect, h265: false, random: () => 1 });
  const said = (type: string) => fake.last().told.filter((m) => m.type === type);
  return { session, said, ...fake };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("the sound of a wall", () => {
  it("is one slot's at a time, and nobody's at first", () => {
    const { session, last, said } = wall();
    session.show(0, show("a"));
    session.show(1, show("b"));
    expect(last().o.audio).toBe(true);
    last().up();
    expect(said("listen")).toEqual([]);
    expect(session.sound()).toEqual({ stream: null });
    session.listen(0);
    session.listen(0);
    session.listen(1);
    session.listen(undefined);
    expect(said("listen").map((m) => m.slot)).toEqual([0, 1, -1]);
  });

  it("is there after the connection came back", () => {
    const { session, last, said } = wall();
    session.show(0, show("a"));
    last().up();
    session.listen(0);
    const { stream } = session.sound();
    expect(stream).not.toBeNull();
    last().on.down({ reason: "connection_lost", refused: false });
    expect(session.sound()).toEqual({ slot: 0, stream: null });
    vi.advanceTimersByTime(1000);
    last().up();
    expect(said("listen")).toEqual([{ type: "listen", slot: 0 }]);
    expect(session.sound().stream).not.toBe(stream);
  });

  it.each([
    ["another camera", (s: WallSession) => s.show(0, show("b"))],
    ["an emptied tile", (s: WallSession) => s.hide(0)],
  ])("ends with %s", (_, change) => {
    const { session, last, said } = wall();
    session.show(0, show("a"));
    last().up();
    session.listen(0);
    change(session);
    expect(session.sound().slot).toBeUndefined();
    expect(said("listen").at(-1)).toEqual({ type: "listen", slot: -1 });
  });

  it("goes on in a replay: the gateway sends the sound of its time", () => {
    const { session, last, said } = wall();
    session.show(0, show("a"));
    last().up();
    session.listen(0);
    void session.replay(0, 10);
    last().say(state(0, "a", { state: "replay", replay: true, behind_ms: 10_000 }));
    session.live(0);
    expect(session.sound().slot).toBe(0);
    expect(said("listen").map((m) => m.slot)).toEqual([0]);
  });

  it("says what the gateway says of it", () => {
    const { session, last } = wall();
    session.show(0, show("a"));
    last().up();
    session.listen(0);
    last().say(state(0, "a", { sound: "sound-transcodes-busy" }));
    expect(session.view(0).sound).toBe("sound_transcodes_busy");
    last().say(state(0, "a"));
    expect(session.view(0).sound).toBeUndefined();
  });

  it("is not asked for where nothing is shown", () => {
    const { session, last, said } = wall();
    last().up();
    session.listen(2);
    expect(said("listen")).toEqual([]);
  });
});

describe("viewer statistics", () => {
  it("go to the gateway every five seconds, for what is shown", async () => {
    const { session, last, said } = wall();
    session.show(0, show("a"));
    session.show(2, show("b"));
    last().up();
    const inbound = (slot: number) => ({
      type: "inbound-rtp",
      kind: "video",
      trackIdentifier: `/v1/walls#${slot}`,
      framesDecoded: 100 + slot,
      framesDropped: 3,
      freezeCount: 1,
      totalFreezesDuration: 0.4567,
      jitter: 0.0124,
    });
    last().figures = new Map([0, 1, 2].map((i) => [`in${i}`, inbound(i)])) as unknown as RTCStatsReport;
    await vi.advanceTimersByTimeAsync(4999);
    expect(said("stats")).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    const figures = { dropped: 3, frozen: 1, freeze_ms: 457, jitter_ms: 12 };
    expect(said("stats")).toEqual([
      {
        type: "stats",
        slots: [
          { slot: 0, decoded: 100, ...figures },
          { slot: 2, decoded: 102, ...figures },
        ],
      },
    ]);
    last().on.down({ reason: "connection_lost", refused: false });
    const n = said("stats").length;
    await vi.advanceTimersByTimeAsync(200);
    expect(said("stats")).toHaveLength(n);
  });

  it("fit the gateway's longest message with 64 slots", () => {
    const big = 2 ** 31;
    const slots = Array.from({ length: 64 }, (_, slot) => ({
      slot,
      decoded: big,
      dropped: big,
      frozen: big,
      freeze_ms: big,
      jitter_ms: big,
    }));
    const messages = statsMessages(slots);
    for (const m of messages) expect(encode(m).length).toBeLessThan(longest);
    expect(messages.flatMap((m) => m.slots)).toHaveLength(64);
    expect(statsMessages([])).toEqual([]);
  });
});

describe("a tour run by the gateway", () => {
  it("is told once and followed by its states", () => {
    const { session, last, said } = wall();
    session.show(0, tour("a", "b", "c"));
    last().up();
    expect(last().told).toEqual([{ ...show("a"), type: "tour", slot: 0, cameras: ["a", "b", "c"], dwell_s: 10 }]);
    last().say(state(0, "a"));
    vi.advanceTimersByTime(10_000);
    expect(said("show")).toEqual([]);
    const { epoch } = session.view(0);
    last().say(state(0, "b", { state: "connecting" })); // fetched ahead
    expect(session.view(0)).toMatchObject({ camera: "a", phase: "playing", epoch });
    last().say(state(0, "b"));
    expect(session.view(0)).toMatchObject({ camera: "b", phase: "playing", tour: { index: 1, total: 3 } });
    expect(session.view(0).epoch).toBeGreaterThan(epoch);
  });

  it("names a camera passed by and why, keeps the picture, and forgets it once it is shown", () => {
    const { session, last } = wall();
    session.show(0, tour("a", "b", "c"));
    last().up();
    last().say(state(0, "a"));
    const skip = (camera: string) =>
      last().say(state(0, camera, { state: "no_signal", reason: "no-signal", skipped: true }));
    const b = { camera: "b", state: "no_signal", reason: "no_signal" };
    skip("b");
    expect(session.view(0)).toMatchObject({ camera: "a", phase: "playing", tour: { passed: [b] } });
    skip("c");
    skip("b");
    expect(session.view(0).tour?.passed?.map((p) => p.camera)).toEqual(["c", "b"]);
    last().say(state(0, "b", { index: 1 }));
    expect(session.view(0)).toMatchObject({ camera: "b", tour: { passed: [{ camera: "c" }] } });
  });

  it("pauses, goes on, and continues from its camera when the tile changes size", () => {
    const { session, last, said } = wall();
    session.show(0, tour("a", "b", "c"));
    last().up();
    last().say(state(0, "b"));
    session.tourPause(0, true);
    session.tourNext(0);
    expect(session.view(0).tour?.paused).toBe(true);
    expect(said("tour_pause")).toEqual([{ type: "tour_pause", slot: 0, paused: true }]);
    last().say(state(0, "b", { paused: true, index: 1, total: 3 }));
    expect(said("tour_next")).toEqual([{ type: "tour_next", slot: 0 }]);
    session.show(0, { ...tour("a", "b", "c"), width: 1280 });
    expect(said("tour").at(-1)).toMatchObject({ cameras: ["a", "b", "c"], camera: "b", width: 1280 });
    expect(last().told.at(-1)).toEqual({ type: "tour_pause", slot: 0, paused: true }); // a new tour would run
    expect(session.view(0).camera).toBe("b");
  });

  it.each([
    ["refuses", (say: (m: unknown) => void) => say(refuse)],
    ["says nothing", () => vi.advanceTimersByTime(2500)],
  ])("is run by the page where the gateway %s", (_, answer) => {
    const { session, last, said } = wall();
    session.show(1, tour("a", "b"));
    last().up();
    answer((m) => last().say(m));
    expect(said("show").map((m) => m.camera)).toEqual(["a"]);
    last().say(state(1, "a"));
    vi.advanceTimersByTime(10_000);
    expect(said("show").map((m) => m.camera)).toEqual(["a", "b"]);
    expect(session.view(1)).toMatchObject({ camera: "b", phase: "connecting", tour: { index: 1 } });
    last().say(state(1, "a"));
    expect(session.view(1).phase).toBe("connecting"); // old news
    session.tourPause(1, true);
    last().say(state(1, "b"));
    vi.advanceTimersByTime(60_000);
    expect(said("show")).toHaveLength(2);
    expect(said("tour_pause")).toEqual([]);
  });

  it("ends when one camera is chosen", () => {
    const { session, last, said } = wall();
    session.show(0, tour("a", "b"));
    last().up();
    last().say(refuse);
    session.show(0, show("z"));
    vi.advanceTimersByTime(60_000);
    expect(said("show").map((m) => m.camera)).toEqual(["a", "z"]);
    expect(session.view(0).tour).toBeUndefined();
  });

  it("is asked of the next gateway again, from where it was", () => {
    const { session, last, said } = wall();
    session.show(0, tour("a", "b"));
    last().up();
    last().say(refuse);
    last().say(state(0, "a"));
    vi.advanceTimersByTime(10_000);
    last().on.down({ reason: "connection_lost", refused: false });
    expect(session.view(0).tour).toMatchObject({ index: 1 });
    vi.advanceTimersByTime(5000);
    last().up();
    expect(last().told).toMatchObject([{ type: "tour", camera: "b", cameras: ["a", "b"] }]);
    expect(said("show")).toEqual([]);
  });
});

describe("a replay on the wall", () => {
  function playing() {
    const w = wall();
    w.session.show(0, show("a"));
    w.last().up();
    w.last().say(state(0, "a"));
    return w;
  }

  it("begins with the gateway's word, and new frames count from then on", async () => {
    const { session, last, said } = playing();
    const { epoch } = session.view(0);
    const done = session.replay(0, 30);
    expect(said("replay")).toEqual([{ type: "replay", slot: 0, back_s: 30 }]);
    last().say(state(0, "a")); // was on its way
    expect(session.view(0).replay).toEqual({ backS: 30 });
    last().say(state(0, "a", { replay: true, behind_ms: 29_500 }));
    await expect(done).resolves.toBe(true);
    expect(session.view(0)).toMatchObject({ replay: { backS: 30, behindMs: 29_500 }, phase: "playing" });
    last().say(state(0, "a", { replay: true, behind_ms: 29_500, rtp: 7, taken: "2026-11-23T04:00:00.04Z" }));
    expect(session.view(0).moments).toEqual([{ rtp: 7, at: Date.UTC(2026, 10, 23, 4) + 40 }]);
    expect(session.view(0).epoch).toBeGreaterThan(epoch);
    const during = session.view(0).epoch;
    session.live(0);
    expect(said("live")).toEqual([{ type: "live", slot: 0 }]);
    expect(session.view(0)).toMatchObject({ replay: undefined, phase: "connecting" });
    last().say(state(0, "a"));
    expect(session.view(0)).toMatchObject({ phase: "playing" });
    expect(session.view(0).epoch).toBeGreaterThan(during);
  });

  it("is marked as such even if nobody asked for it here", () => {
    const { session, last } = playing();
    last().say(state(0, "a", { state: "replay", behind_ms: 12_000 }));
    expect(session.view(0)).toMatchObject({ replay: { backS: 12, behindMs: 12_000 }, report: { state: "live" } });
    last().say(state(0, "a"));
    expect(session.view(0).replay).toBeUndefined();
  });

  it.each([
    ["refuses", (say: (m: unknown) => void) => say(refuse)],
    ["says nothing", () => vi.advanceTimersByTime(6000)],
  ])("is left to a clip where the gateway %s", async (_, answer) => {
    const { session, last } = playing();
    const done = session.replay(0, 10);
    answer((m) => last().say(m));
    await expect(done).resolves.toBe(false);
    expect(session.view(0)).toMatchObject({ replay: undefined, phase: "playing" });
  });

  it("is not asked for again where the gateway does not know the word", async () => {
    const { session, last, said } = playing();
    const first = session.replay(0, 10);
    last().say(refuse);
    await first;
    await expect(session.replay(0, 10)).resolves.toBe(false);
    expect(said("replay")).toHaveLength(1);
  });

  it("is over when the connection breaks", async () => {
    const { session, last } = playing();
    void session.replay(0, 30);
    last().say(state(0, "a", { replay: true }));
    last().on.down({ reason: "connection_lost", refused: false });
    expect(session.view(0).replay).toBeUndefined();
  });
});

describe("errors of the gateway", () => {
  it("are read, and nothing else is", () => {
    expect(refusal(JSON.stringify({ ...refuse, slot: 3 }))).toMatchObject({ slot: 3, reason: "bad-message" });
    expect(refusal(JSON.stringify(state(0, "a")))).toBeUndefined();
    expect(refusal("[")).toBeUndefined();
    expect(decode(JSON.stringify(refuse), 4)).toBeUndefined();
  });
});
