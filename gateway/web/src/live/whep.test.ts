import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { fakeLinks } from "./fakelink";
import { WhepTransport } from "./whep";

const show = (camera: string, profile: "main" | "sub" = "sub", codecs = {}) => ({
  camera,
  profile,
  width: 640,
  height: 360,
  codecs,
});

function transport(h265 = false) {
  const fake = fakeLinks();
  return { t: new WhepTransport({ connect: fake.connect, h265, random: () => 1, firstFrameMs: 6000 }), ...fake };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("one WHEP session per tile", () => {
  it("asks for the camera and profile and plays", () => {
    const { t, last } = transport();
    t.show(0, show("cam/0"));
    expect(last().o).toMatchObject({ url: "/v1/whep/cam%2F0?profile=sub", slots: 1 });
    expect(t.view(0).phase).toBe("connecting");
    last().up();
    expect(t.view(0)).toMatchObject({ phase: "playing", profile: "sub", camera: "cam/0" });
  });

  it("makes the other profile before it ends the old one", () => {
    const { t, links } = transport();
    t.show(0, show("a"));
    links[0]?.up();
    const { stream, epoch } = t.view(0);
    t.show(0, show("a", "main"));
    links[1]?.up();
    expect(t.view(0)).toMatchObject({ stream, profile: "sub", epoch });
    expect(links[0]?.closed).toBe(false);
    links[1]?.tracks[0]?.unmute();
    expect(links[0]?.closed).toBe(true);
    expect(t.view(0)).toMatchObject({ profile: "main", epoch });
  });

  it("drops a half-made change that is taken back", () => {
    const { t, links } = transport();
    t.show(0, show("a"));
    links[0]?.up();
    t.show(0, show("a", "main"));
    t.show(0, show("a", "sub"));
    expect(links[1]?.closed).toBe(true);
    expect(links).toHaveLength(2);
    expect(t.view(0).phase).toBe("playing");
  });

  it("shows another camera with a new epoch and no old picture", () => {
    const { t, links } = transport();
    t.show(0, show("a"));
    links[0]?.up();
    const { epoch } = t.view(0);
    t.show(0, show("b"));
    expect(links[0]?.closed).toBe(true);
    expect(t.view(0).stream).toBeNull();
    expect(t.view(0).epoch).toBeGreaterThan(epoch);
  });

  it("falls back to sub before asking where H.265 is not offered", () => {
    const { t, last } = transport();
    t.show(0, show("a", "main", { main: "H265", sub: "H264" }));
    expect(last().o.url).toContain("profile=sub");
    last().up();
    expect(t.view(0).fallback).toBe("h265");
    const able = transport(true);
    able.t.show(0, show("a", "main", { main: "H265", sub: "H264" }));
    expect(able.last().o.url).toContain("profile=main");
  });

  it("falls back to sub when the gateway refuses main's codec", () => {
    const { t, last } = transport();
    t.show(0, show("a", "main"));
    last().on.down({ reason: "codec_not_offered", refused: true });
    expect(last().o.url).toContain("profile=sub");
    last().up();
    expect(t.view(0)).toMatchObject({ phase: "playing", fallback: "codec_not_offered" });
  });

  it("falls back to sub when packets come but no picture", async () => {
    const { t, links, last } = transport();
    t.show(0, show("a", "main"));
    links[0]?.up();
    const inbound = { type: "inbound-rtp", kind: "video", packetsReceived: 900, framesDecoded: 0 };
    if (links[0]) links[0].figures = new Map([["1", inbound]]) as unknown as RTCStatsReport;
    await vi.advanceTimersByTimeAsync(6000);
    expect(last().o.url).toContain("profile=sub");
    last().up();
    expect(t.view(0).fallback).toBe("undecodable");
  });

  it("tries again with growing waits, long ones after a refusal, at once when nudged", () => {
    const { t, links, last } = transport();
    t.show(0, show("a"));
    last().on.down({ reason: "source_away", refused: false });
    expect(t.view(0)).toMatchObject({ phase: "waiting", reason: "source_away" });
    vi.advanceTimersByTime(500);
    expect(links).toHaveLength(2);
    last().on.down({ reason: "not_permitted", refused: true });
    expect(t.view(0).phase).toBe("refused");
    vi.advanceTimersByTime(19_999);
    expect(links).toHaveLength(2);
    t.nudge(0);
    expect(links).toHaveLength(3);
    vi.advanceTimersByTime(60_000);
    expect(links).toHaveLength(3);
  });

  it("stops everything when hidden or closed", () => {
    const { t, links, last } = transport();
    t.show(0, show("a"));
    t.show(1, show("b"));
    last().on.down({ reason: "server", refused: false });
    t.hide(0);
    expect(t.view(0)).toMatchObject({ phase: "idle", stream: null });
    t.close();
    vi.advanceTimersByTime(60_000);
    expect(links).toHaveLength(2);
    expect(links.every((l) => l.closed || l === links[1])).toBe(true);
  });
});

describe("sound, tours and replays without a wall", () => {
  it("brings sound by a session that has it, and takes it away again", () => {
    const { t, links } = transport();
    t.show(0, show("a"));
    links[0]?.up();
    expect(links[0]?.o.audio).toBe(false);
    t.listen(0);
    expect(links[1]?.o.audio).toBe(true);
    expect(t.sound()).toEqual({ slot: 0, stream: null });
    links[1]?.up();
    links[1]?.tracks[0]?.unmute();
    expect(t.sound().stream).not.toBeNull();
    t.listen(undefined);
    expect(t.sound()).toEqual({ slot: undefined, stream: null });
    expect(links[2]?.o.audio).toBe(false);
  });

  it("falls silent when the tile changes camera", () => {
    const { t } = transport();
    t.show(0, show("a"));
    t.listen(0);
    t.show(0, show("b"));
    expect(t.sound().slot).toBeUndefined();
  });

  it("runs a tour in the page", () => {
    const { t, last, links } = transport();
    t.show(0, {
      ...show("a"),
      tour: { stops: [{ camera: "a" }, { camera: "b", dead: true }, { camera: "c" }], dwellS: 5 },
    });
    last().up();
    vi.advanceTimersByTime(5001);
    expect(t.view(0)).toMatchObject({ camera: "c", tour: { index: 2, passed: [{ camera: "b" }] } });
    expect(links.map((l) => l.o.url)).toEqual(["/v1/whep/a?profile=sub", "/v1/whep/c?profile=sub"]);
    t.hide(0);
    vi.advanceTimersByTime(60_000);
    expect(links).toHaveLength(2);
    expect(t.view(0).tour).toBeUndefined();
  });

  it("tells the gateway how its picture fares, for as long as it has one", async () => {
    const { t, links } = transport();
    const fares = (i: number, framesDecoded: number) => {
      const link = links[i];
      if (!link) throw new Error("no such connection");
      const inbound = { type: "inbound-rtp", kind: "video", trackIdentifier: link.tracks[0]?.id, framesDecoded };
      link.figures = new Map([["1", inbound]]) as unknown as RTCStatsReport;
    };
    t.show(0, show("a"));
    await vi.advanceTimersByTimeAsync(5000);
    expect(links[0]?.reported).toEqual([]); // nothing is up
    links[0]?.up();
    fares(0, 75);
    await vi.advanceTimersByTimeAsync(5000);
    expect(links[0]?.reported).toMatchObject([{ slot: 0, decoded: 75, dropped: 0, frozen: 0, freeze_ms: 0 }]);
    t.show(0, show("a", "main"));
    links[1]?.up();
    links[1]?.tracks[0]?.unmute(); // the other profile takes over
    fares(1, 3);
    await vi.advanceTimersByTimeAsync(5000);
    expect(links[0]?.reported).toHaveLength(1);
    expect(links[1]?.reported).toMatchObject([{ slot: 0, decoded: 3 }]);
    links[1]?.on.down({ reason: "connection_lost", refused: false });
    await vi.advanceTimersByTimeAsync(20_000);
    expect(links[1]?.reported).toHaveLength(1);
    t.hide(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("leaves replays to clips", async () => {
    const { t } = transport();
    t.show(0, show("a"));
    await expect(t.replay()).resolves.toBe(false);
  });
});
