import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ApiError, type RequestOptions } from "../api/client";
import { choose, preferred } from "./codecs";
import { Connection, whyNot } from "./connection";
import { fragment, withFragment, withStart } from "./sdp";

const offer = [
  "v=0",
  "a=group:BUNDLE 0 1",
  "m=video 9 UDP/TLS/RTP/SAVPF 102",
  "c=IN IP4 0.0.0.0",
  "a=candidate:1 1 udp 2122 192.0.2.7 50000 typ host",
  "a=ice-ufrag:new1",
  "a=ice-pwd:newpassword",
  "a=mid:0",
  "a=recvonly",
  "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
  "a=ice-ufrag:new1",
  "a=ice-pwd:newpassword",
  "a=mid:1",
  "",
].join("\r\n");

const answer = [
  "v=0",
  "a=group:BUNDLE 0 1",
  "a=ice-lite",
  "m=video 9 UDP/TLS/RTP/SAVPF 102",
  "c=IN IP4 0.0.0.0",
  "a=ice-ufrag:old",
  "a=ice-pwd:oldpassword",
  "a=candidate:1 1 udp 2130 192.0.2.1 8189 typ host",
  "a=end-of-candidates",
  "a=mid:0",
  "a=sendonly",
  "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
  "a=ice-ufrag:old",
  "a=ice-pwd:oldpassword",
  "a=mid:1",
  "",
].join("\r\n");

const reply =
  "a=ice-ufrag:fresh\r\na=ice-pwd:freshpassword\r\nm=video 9 X 0\r\na=mid:0\r\na=candidate:9 1 udp 1 192.0.2.1 8190 typ host\r\n";

class FakeChannel extends EventTarget {
  readyState = "connecting";
  sent: string[] = [];
  send(m: string): void {
    this.sent.push(m);
  }
  close(): void {
    this.readyState = "closed";
  }
}

class FakePeer extends EventTarget {
  connectionState = "new";
  iceGatheringState = "complete";
  localDescription: { sdp: string } | null = null;
  remote: string[] = [];
  transceivers: { kind: string; codecs?: unknown[]; init?: unknown }[] = [];
  senders: { track: unknown; replaceTrack(track: unknown): Promise<void> }[] = [];
  channel = new FakeChannel();
  offers: unknown[] = [];
  addTransceiver(what: string | { kind: string }, init?: unknown) {
    const t = {
      kind: typeof what === "string" ? what : what.kind,
      init,
      codecs: undefined as unknown[] | undefined,
      setCodecPreferences: (c: unknown[]) => {
        t.codecs = c;
      },
    };
    this.transceivers.push(t);
    const sender = {
      track: what as unknown,
      async replaceTrack(track: unknown) {
        sender.track = track;
      },
    };
    if (typeof what !== "string") this.senders.push(sender);
    return t;
  }
  getSenders() {
    return this.senders;
  }
  createDataChannel() {
    return this.channel;
  }
  async createOffer(o?: unknown) {
    this.offers.push(o);
    return { type: "offer", sdp: offer };
  }
  async setLocalDescription(d: { sdp: string }) {
    this.localDescription = d;
  }
  async setRemoteDescription(d: { sdp: string }) {
    this.remote.push(d.sdp);
  }
  async getStats() {
    return new Map();
  }
  close(): void {
    this.connectionState = "closed";
  }
  become(s: string): void {
    this.connectionState = s;
    this.dispatchEvent(new Event("connectionstatechange"));
  }
}

function setUp(patch: () => Promise<Response> = async () => new Response(reply, { status: 200 }), heartbeatMs = 0) {
  const peer = new FakePeer();
  const sent: { path: string; o: RequestOptions }[] = [];
  const send = async (path: string, o: RequestOptions) => {
    sent.push({ path, o });
    if (o.method === "PATCH") return patch();
    if (o.method === "DELETE") return new Response(null, { status: 200 });
    return new Response(answer, { status: 201, headers: { Location: "/v1/whep/a/s1", ETag: '"e1"' } });
  };
  const on = { up: vi.fn(), track: vi.fn(), down: vi.fn(), message: vi.fn(), ready: vi.fn() };
  const createPeer = () => peer as unknown as RTCPeerConnection;
  const c = new Connection(
    { url: "/v1/whep/a", slots: 3, channel: "wall", createPeer, send, codecs: () => [], heartbeatMs },
    on,
  );
  return { peer, sent, on, c };
}

const settle = () => vi.advanceTimersByTimeAsync(0);

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a connection", () => {
  it("offers its slots once and takes the answer", async () => {
    const { peer, sent, on, c } = setUp();
    await c.open();
    expect(peer.transceivers).toHaveLength(3);
    expect(sent[0]).toMatchObject({ path: "/v1/whep/a", o: { method: "POST", type: "application/sdp", body: offer } });
    expect(peer.remote).toEqual([answer]);
    peer.dispatchEvent(Object.assign(new Event("track"), { transceiver: peer.transceivers[1], track: "t" }));
    expect(on.track).toHaveBeenCalledWith(1, "t");
    peer.become("connected");
    expect(on.up).toHaveBeenCalledOnce();
    c.close();
    c.close();
    expect(sent.filter((s) => s.o.method === "DELETE").map((s) => s.path)).toEqual(["/v1/whep/a/s1"]);
    expect(on.down).not.toHaveBeenCalled();
  });

  it("posts figures to its session, not before there is one and not after the end", async () => {
    const { sent, c } = setUp();
    const slots = [{ slot: 0, decoded: 75, dropped: 0, frozen: 0, freeze_ms: 0, jitter_ms: 3 }];
    await c.report(slots);
    expect(sent).toHaveLength(0);
    await c.open();
    await c.report(slots);
    expect(sent.at(-1)).toMatchObject({ path: "/v1/whep/a/s1/stats", o: { method: "POST", json: { slots } } });
    c.close();
    await c.report(slots);
    expect(sent.at(-1)?.o.method).toBe("DELETE");
  });

  it("restarts ICE when the path stays lost", async () => {
    const { peer, sent, on, c } = setUp();
    await c.open();
    peer.become("connected");
    peer.become("disconnected");
    await vi.advanceTimersByTimeAsync(1500);
    const patch = sent.find((s) => s.o.method === "PATCH");
    expect(patch).toMatchObject({ path: "/v1/whep/a/s1", o: { headers: { "If-Match": "*" } } });
    expect(patch?.o.body).toContain("a=ice-ufrag:new1");
    expect(peer.offers[1]).toEqual({ iceRestart: true });
    expect(peer.remote[1]).toContain("a=ice-ufrag:fresh");
    peer.become("connected");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(on.up).toHaveBeenCalledTimes(2);
    expect(on.down).not.toHaveBeenCalled();
  });

  it("does nothing about a path that comes back by itself", async () => {
    const { peer, sent, c } = setUp();
    await c.open();
    peer.become("disconnected");
    await vi.advanceTimersByTimeAsync(1000);
    peer.become("connected");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(sent).toHaveLength(1);
  });

  it("is down when the restart is refused or brings nothing", async () => {
    const refused = setUp(async () => Promise.reject(new ApiError("missing", 404, {})));
    await refused.c.open();
    refused.peer.become("failed");
    await settle();
    expect(refused.on.down).toHaveBeenCalledExactlyOnceWith({ reason: "connection_lost", refused: false });
    const silent = setUp();
    await silent.c.open();
    silent.peer.become("failed");
    await vi.advanceTimersByTimeAsync(4000);
    expect(silent.on.down).toHaveBeenCalledOnce();
    expect(silent.peer.connectionState).toBe("closed");
  });

  describe("to a server that says something every second", () => {
    const hear = (peer: FakePeer) => peer.channel.dispatchEvent(Object.assign(new Event("message"), { data: "{}" }));
    const patches = (sent: { o: RequestOptions }[]) => sent.filter((s) => s.o.method === "PATCH").length;
    async function connected(patch?: () => Promise<Response>) {
      const all = setUp(patch, 2000);
      await all.c.open();
      all.peer.become("connected");
      all.peer.channel.dispatchEvent(new Event("open"));
      return all;
    }

    it("leaves a path alone on which it is heard", async () => {
      const { peer, sent, on } = await connected();
      for (let s = 0; s < 30; s++) {
        await vi.advanceTimersByTimeAsync(1900);
        hear(peer);
      }
      expect(patches(sent)).toBe(0);
      expect(on.down).not.toHaveBeenCalled();
    });

    it("restarts ICE soon after it falls silent, and goes on once it is heard again", async () => {
      const { peer, sent, on } = await connected();
      hear(peer);
      await vi.advanceTimersByTimeAsync(2600);
      expect(patches(sent)).toBe(1);
      hear(peer); // the browser never noticed anything
      await vi.advanceTimersByTimeAsync(1900);
      hear(peer);
      await vi.advanceTimersByTimeAsync(1900);
      expect(patches(sent)).toBe(1);
      expect(on.down).not.toHaveBeenCalled();
    });

    it("is down at once when the session is gone, and never speaks up after its end", async () => {
      const { on, c } = await connected(async () => Promise.reject(new ApiError("missing", 404, {})));
      await vi.advanceTimersByTimeAsync(2600);
      expect(on.down).toHaveBeenCalledExactlyOnceWith({ reason: "connection_lost", refused: false });
      const other = await connected();
      other.c.close();
      await vi.advanceTimersByTimeAsync(10_000);
      expect(patches(other.sent)).toBe(0);
      c.close();
    });
  });

  it("gives up on a set-up that takes too long", async () => {
    const { on, c } = setUp();
    await c.open();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(on.down).toHaveBeenCalledExactlyOnceWith({ reason: "timeout", refused: false });
  });

  it("carries messages only while the channel is open", async () => {
    const { peer, on, c } = setUp();
    await c.open();
    expect(c.tell("x")).toBe(false);
    peer.channel.readyState = "open";
    peer.channel.dispatchEvent(new Event("open"));
    expect(on.ready).toHaveBeenCalledOnce();
    expect(c.tell("x")).toBe(true);
    peer.channel.dispatchEvent(Object.assign(new Event("message"), { data: "y" }));
    expect(on.message).toHaveBeenCalledWith("y");
    peer.channel.dispatchEvent(new Event("close"));
    expect(on.down).toHaveBeenCalledOnce();
  });
});

describe("a connection that publishes", () => {
  const track = (kind: string, id: string) => ({ kind, id }) as unknown as MediaStreamTrack;
  it("sends its tracks, the picture in H.264 and bounded, and can change them", async () => {
    const peer = new FakePeer();
    const send = async () => new Response(answer, { status: 201, headers: { Location: "/v1/whip/a/s1" } });
    const h264 = { mimeType: "video/H264", sdpFmtpLine: "packetization-mode=1;profile-level-id=42e01f" };
    const on = { up: vi.fn(), track: vi.fn(), down: vi.fn() };
    const c = new Connection(
      {
        url: "/v1/whip/a",
        slots: 0,
        give: [track("video", "rear"), track("audio", "mic")],
        createPeer: () => peer as unknown as RTCPeerConnection,
        send,
        codecs: () => [{ mimeType: "video/VP8" }, h264, { mimeType: "video/H265" }],
      },
      on,
    );
    await c.open();
    expect(peer.transceivers).toMatchObject([
      { kind: "video", codecs: [h264], init: { direction: "sendonly", sendEncodings: [{ maxBitrate: 2_500_000 }] } },
      { kind: "audio", init: { direction: "sendonly" } },
    ]);
    await c.replace(track("video", "front"));
    expect(peer.senders.map((s) => (s.track as { id: string }).id)).toEqual(["front", "mic"]);
    c.close();
  });
});

describe("why a set-up failed", () => {
  it.each([
    [403, { type: "https://skein.example/problems/not-permitted" }, "not_permitted", true],
    [409, { type: "urn:skein:problem:codec-not-offered" }, "codec_not_offered", true],
    [409, { type: "urn:skein:problem:busy" }, "busy", true],
    [503, { type: "/problems/no-signal" }, "no_media", false],
    [503, {}, "source_away", false],
    [404, {}, "not_found", true],
    [500, {}, "server", false],
  ])("%d %o is %s", (status, problem, reason, refused) => {
    const kind = status === 403 ? "forbidden" : status === 404 ? "missing" : "problem";
    expect(whyNot(new ApiError(kind, status, problem))).toMatchObject({ reason, refused });
  });
  it("is not the camera's fault if nobody answered", () => {
    expect(whyNot(new ApiError("network", 0, {}))).toEqual({ reason: "gateway_away", refused: false });
  });
});

describe("SDP of a restart", () => {
  it("takes credentials and candidates of the first section", () => {
    expect(fragment(offer).split("\r\n")).toEqual([
      "a=group:BUNDLE 0 1",
      "a=ice-options:trickle",
      "a=ice-ufrag:new1",
      "a=ice-pwd:newpassword",
      "m=video 9 UDP/TLS/RTP/SAVPF 102",
      "a=mid:0",
      "a=candidate:1 1 udp 2122 192.0.2.7 50000 typ host",
      "",
    ]);
  });
  it("replaces the ICE part of every section and nothing else", () => {
    const out = withFragment(answer, reply) ?? "";
    expect(out).not.toContain("old");
    expect(out.match(/a=ice-ufrag:fresh/g)).toHaveLength(2);
    expect(out.match(/a=candidate:9 /g)).toHaveLength(1);
    expect(out).toContain("a=ice-lite");
    expect(out).toContain("a=sendonly");
    expect(out.indexOf("a=mid:0")).toBeLessThan(out.indexOf("m=application"));
  });
  it("begins H.264, and nothing else, at a bitrate", () => {
    const text =
      "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 a=1\r\na=rtpmap:108 H264/90000\r\na=fmtp:108 b=2\r\na=mid:1\r\n";
    expect(withStart(text, 1500)).toBe(text.replace("b=2", "b=2;x-google-start-bitrate=1500"));
  });
  it("refuses a fragment without credentials", () => expect(withFragment(answer, "a=mid:0\r\n")).toBeUndefined());
});

describe("codecs", () => {
  const h264 = (fmtp: string) => ({ mimeType: "video/H264", sdpFmtpLine: fmtp });
  const all = [
    { mimeType: "video/VP8" },
    { mimeType: "video/rtx" },
    h264("packetization-mode=0;profile-level-id=42e01f"),
    h264("packetization-mode=1;profile-level-id=640c1f"),
    h264("packetization-mode=1;profile-level-id=42e01f"),
  ];
  it("offers one H.264 and retransmission", () => {
    expect(preferred(all)).toEqual([all[4], all[1]]);
  });
  it("adds H.265 where there is", () => {
    const h265 = { mimeType: "video/H265" };
    expect(preferred([...all, h265])).toContain(h265);
  });
  it("leaves the offer alone without H.264", () => expect(preferred([{ mimeType: "video/VP8" }])).toEqual([]));
  const ask = (height: number) => ({ camera: "a", profile: "auto" as const, width: 0, height });
  it("picks by pixels", () => {
    expect(choose(ask(360), false)).toEqual({ profile: "sub" });
    expect(choose(ask(1080), false)).toEqual({ profile: "main" });
  });
  it("takes the profile there is", () => {
    expect(choose({ ...ask(360), codecs: { main: "H264" } }, false)).toEqual({ profile: "main" });
  });
  it("keeps main if there is nothing better", () => {
    expect(choose({ ...ask(1080), codecs: { main: "hevc" } }, false)).toEqual({ profile: "main" });
  });
});
