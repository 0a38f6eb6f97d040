import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { fakeLinks } from "../live/fakelink";
import { Broadcast } from "./broadcast";
import { lacking, whyNoCapture } from "./capture";
import { SendingReader } from "./sending";

const track = (kind: string, id: string) => ({ kind, id }) as unknown as MediaStreamTrack;
const tracks = [track("video", "rear"), track("audio", "mic")];

function broadcast() {
  const fake = fakeLinks();
  return { b: new Broadcast({ connect: fake.connect, random: () => 1 }), ...fake };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("a broadcast", () => {
  it("publishes the tracks as the camera", () => {
    const { b, last } = broadcast();
    b.start("cam/0", tracks);
    expect(last().o).toMatchObject({ url: "/v1/whip/cam%2F0", slots: 0, give: tracks });
    expect(b.get().phase).toBe("connecting");
    last().up();
    expect(b.get().phase).toBe("live");
    b.stop();
    expect(last().closed).toBe(true);
    expect(b.get()).toEqual({ phase: "off" });
  });

  it("dials again when the path breaks, later and later, and counts from its first connection", () => {
    const { b, links, last } = broadcast();
    b.start("a", tracks);
    last().up();
    const { since } = b.get();
    for (const wait of [1000, 2000, 4000]) {
      last().on.down({ reason: "connection_lost", refused: false });
      expect(b.get()).toMatchObject({ phase: "waiting", reason: "connection_lost", since });
      const made = links.length;
      vi.advanceTimersByTime(wait - 1);
      expect(links).toHaveLength(made);
      vi.advanceTimersByTime(1);
      expect(links).toHaveLength(made + 1);
      last().up();
    }
    vi.advanceTimersByTime(30_000);
    last().on.down({ reason: "connection_lost", refused: false });
    vi.advanceTimersByTime(1000);
    last().up();
    expect(b.get()).toMatchObject({ phase: "live", since });
  });

  it("waits for a place that is taken and gives up where it is not wanted", () => {
    const { b, links, last } = broadcast();
    b.start("a", tracks);
    last().on.down({ reason: "busy", detail: "published already, by li", refused: true, status: 409 });
    expect(b.get()).toMatchObject({ phase: "waiting", reason: "busy", detail: "published already, by li" });
    vi.advanceTimersByTime(8000);
    last().on.down({ reason: "unknown_camera", detail: "camera a is pulled", refused: true, status: 404 });
    expect(b.get()).toEqual({ phase: "refused", reason: "unknown_camera", detail: "camera a is pulled" });
    vi.advanceTimersByTime(60_000);
    expect(links).toHaveLength(2);
  });

  it("keeps a changed track through a new connection", async () => {
    const { b, last } = broadcast();
    b.start("a", tracks);
    last().up();
    const front = track("video", "front");
    await b.replace(front);
    expect(last().replaced).toEqual([front]);
    last().on.down({ reason: "connection_lost", refused: false });
    vi.advanceTimersByTime(1000);
    expect(last().o.give).toEqual([front, tracks[1]]);
  });

  it("hears nothing of a connection it has given up", () => {
    const { b, last } = broadcast();
    b.start("a", tracks);
    const old = last();
    b.stop();
    old.on.up();
    old.on.down({ reason: "connection_lost", refused: false });
    expect(b.get()).toEqual({ phase: "off" });
  });
});

describe("a camera that cannot be had", () => {
  it.each([
    ["NotAllowedError", "denied"],
    ["NotFoundError", "missing"],
    ["NotReadableError", "taken"],
    ["TypeError", "failed"],
  ])("%s is %s", (name, lack) => {
    expect(whyNoCapture(Object.assign(new Error("x"), { name })).lack).toBe(lack);
  });
});

describe("a browser that cannot publish", () => {
  const h264 = { mimeType: "video/H264", sdpFmtpLine: "packetization-mode=1;profile-level-id=42e01f" };
  const browser = (secure: boolean, media: object | undefined, codecs: object[]) => {
    vi.stubGlobal("isSecureContext", secure);
    vi.stubGlobal("RTCPeerConnection", class {});
    vi.stubGlobal("RTCRtpSender", { getCapabilities: () => ({ codecs }) });
    vi.stubGlobal("navigator", { mediaDevices: media });
  };
  const media = { getUserMedia: () => undefined };
  it.each([
    ["no HTTPS", false, undefined, [h264], "secure"],
    ["no camera access", true, undefined, [h264], "webrtc"],
    ["no H.264 encoder", true, media, [{ mimeType: "video/VP8" }], "h264"],
    ["all of it", true, media, [h264], undefined],
  ])("%s", (_, secure, devices, codecs, lack) => {
    browser(secure, devices, codecs);
    expect(lacking()).toBe(lack);
  });
});

it("measures what is sent", () => {
  const reader = new SendingReader();
  const report = (timestamp: number, bytesSent: number) =>
    new Map([
      ["1", { type: "outbound-rtp", kind: "audio", timestamp, bytesSent: 9 }],
      [
        "2",
        {
          type: "outbound-rtp",
          kind: "video",
          timestamp,
          bytesSent,
          frameWidth: 1280,
          frameHeight: 720,
          framesPerSecond: 25,
          qualityLimitationReason: "none",
        },
      ],
    ]) as unknown as RTCStatsReport;
  expect(reader.read(report(1000, 0))?.kbps).toBeUndefined();
  expect(reader.read(report(3000, 500_000))).toEqual({
    width: 1280,
    height: 720,
    fps: 25,
    kbps: 2000,
    limited: undefined,
  });
});
