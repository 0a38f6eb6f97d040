import { ApiError, type RequestOptions } from "../api/client";
import type { SlotFigures } from "../wall/protocol";
import { type Codec, preferred, publishable, receivable, sendable } from "./codecs";
import { fragment, withFragment, withStart } from "./sdp";

/** Why a connection ended, in a form a tile can show. */
export interface Down {
  /** A key of i18n `reason.*`. */
  reason: string;
  detail?: string;
  /** The server said no and will say so again: wait long before the next try. */
  refused: boolean;
  status?: number;
}

export interface ConnectionEvents {
  /** ICE and DTLS stand. Called again after an ICE restart that worked. */
  up(): void;
  /** The picture of slot i; called once per slot, before `up`. */
  track(slot: number, track: MediaStreamTrack): void;
  /** The sound, where `audio` was asked for; called once, before `up`. */
  sound?(track: MediaStreamTrack): void;
  /** What the gateway warns of in its answer, codes with commas between them; called once, before `up`. */
  warned?(codes: string): void;
  /** The end, called once, never after `close`. */
  down(why: Down): void;
  /** A message of the data channel. */
  message?(data: string): void;
  /** The data channel is open. */
  ready?(): void;
}

export interface ConnectionOptions {
  url: string;
  slots: number;
  channel?: string;
  /** Also negotiate one receive-only audio section. */
  audio?: boolean;
  /** Publish these tracks instead of receiving (WHIP); `slots` is 0 then. */
  give?: readonly MediaStreamTrack[];
  createPeer?: () => RTCPeerConnection;
  send?: (path: string, o: RequestOptions) => Promise<Response>;
  codecs?: () => Codec[];
  /** How long a lost path may take to come back by itself, and an ICE restart to succeed, ms. */
  graceMs?: number;
  restartMs?: number;
  /** How long the whole set-up may take, ms. */
  openMs?: number;
  /** The server says something on the data channel at least so often, ms; 0: it does not. Silence is a lost path. */
  heartbeatMs?: number;
}

const gatherMs = 150;
/** Messages may wait behind other work of the page: so long after a missing one it is really missing. */
const doubtMs = 500;

/** Figures that take longer to arrive are followed by newer ones. */
const reportMs = 4000;

/** Waits until the local candidates are gathered, at most `ms`: the gateway finds us by our checks anyway. */
function gathered(pc: RTCPeerConnection, ms: number): Promise<void> {
  if (pc.iceGatheringState === "complete") return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      pc.removeEventListener("icegatheringstatechange", check);
      resolve();
    };
    const check = () => pc.iceGatheringState === "complete" && done();
    const timer = setTimeout(done, ms);
    pc.addEventListener("icegatheringstatechange", check);
  });
}

/** Problem types of the live plane that mean "no, and no again soon", by the last part of the type. */
const refusals: Record<string, string> = {
  "codec-not-offered": "codec_not_offered",
  "unsupported-codec": "unsupported_codec",
  "not-permitted": "not_permitted",
  "unknown-camera": "unknown_camera",
  "bad-offer": "bad_offer",
  "too-many-sessions": "too_many_sessions",
  busy: "busy",
  "not-here": "not_here",
};

/** Enough for 720p of a moving hand, and little enough for a phone's uplink. */
const giveBitrate = 2_500_000;
/** What a publisher begins with, kbit/s. The browser's 300 makes it shrink the picture for the first half minute. */
const giveStart = 1500;

/** What a failed set-up means for a tile. */
export function whyNot(e: unknown): Down {
  if (!(e instanceof ApiError)) return { reason: "webrtc", detail: String(e), refused: false };
  if (e.kind === "network") return { reason: "gateway_away", refused: false };
  const detail = e.problem.detail || e.problem.title;
  const of = (reason: string, refused: boolean): Down => ({ reason, detail, refused, status: e.status });
  const type = (e.problem.type ?? "").split(/[/:#]/).at(-1) ?? "";
  const known = refusals[type];
  if (known) return of(known, true);
  if (type === "no-signal") return of("no_media", false);
  if (e.status === 406 || e.status === 415) return of("codec_not_offered", true);
  if (e.kind === "forbidden" || e.kind === "retrieval") return of("not_permitted", true);
  if (e.kind === "missing" || e.status === 405 || e.status === 501) return of("not_found", true);
  return of(e.status === 503 || e.status === 504 ? "source_away" : "server", false);
}

/**
 * One PeerConnection against a WHEP-like endpoint (offer in, 201 with Location and answer out): `slots` receive-only
 * videos, negotiated once, and perhaps a data channel. A lost path is given a moment, then one ICE restart (PATCH of
 * the session); what fails after that is reported as down, and whoever owns the connection makes a new one.
 */
export class Connection {
  private pc: RTCPeerConnection | undefined;
  private channel: RTCDataChannel | undefined;
  private location: string | undefined;
  private answer = "";
  private ended = false;
  private restarting = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private pulse: ReturnType<typeof setTimeout> | undefined;
  private readonly abort = new AbortController();
  readonly o: Required<Omit<ConnectionOptions, "channel" | "give">> & Pick<ConnectionOptions, "channel" | "give">;

  constructor(
    o: ConnectionOptions,
    private readonly on: ConnectionEvents,
  ) {
    this.o = {
      createPeer: () => new RTCPeerConnection({ bundlePolicy: "max-bundle", iceServers: [] }),
      send: async (path, options) => (await import("../api/client")).request(path, options),
      codecs: o.give ? sendable : receivable,
      graceMs: 1500,
      restartMs: 4000,
      openMs: 10_000,
      audio: false,
      heartbeatMs: 0,
      ...o,
    };
  }

  /** Starts. Never rejects: failures arrive as `down`. */
  async open(): Promise<void> {
    this.timer = setTimeout(() => this.fail({ reason: "timeout", refused: false }), this.o.openMs);
    try {
      await this.negotiate();
    } catch (e) {
      if (!this.ended) this.fail(whyNot(e));
    }
  }

  private async negotiate(): Promise<void> {
    const pc = this.o.createPeer();
    this.pc = pc;
    const order = new Map<RTCRtpTransceiver, number>();
    const codecs = preferred(this.o.codecs());
    for (let i = 0; i < this.o.slots; i++) {
      const transceiver = pc.addTransceiver("video", { direction: "recvonly" });
      order.set(transceiver, i);
      if (codecs.length > 0) transceiver.setCodecPreferences?.(codecs as RTCRtpCodec[]);
    }
    for (const track of this.o.give ?? []) this.send(pc, track);
    const sound = this.o.audio ? pc.addTransceiver("audio", { direction: "recvonly" }) : undefined;
    if (this.o.channel !== undefined) this.openChannel(pc, this.o.channel);
    pc.addEventListener("track", (e) => {
      const slot = order.get(e.transceiver);
      if (this.ended) return;
      if (slot !== undefined) this.on.track(slot, e.track);
      else if (sound && e.transceiver === sound) this.on.sound?.(e.track);
    });
    pc.addEventListener("connectionstatechange", () => this.changed());
    await pc.setLocalDescription(await pc.createOffer());
    await gathered(pc, gatherMs);
    if (this.ended) return;
    const response = await this.o.send(this.o.url, {
      method: "POST",
      type: "application/sdp",
      body: pc.localDescription?.sdp ?? "",
      headers: { Accept: "application/sdp, application/problem+json" },
      signal: this.abort.signal,
    });
    this.location = response.headers.get("Location") ?? undefined;
    const text = await response.text();
    this.answer = this.o.give ? withStart(text, giveStart) : text;
    if (this.ended) return this.end();
    const warning = response.headers.get("Skein-Warning");
    if (warning) this.on.warned?.(warning);
    await pc.setRemoteDescription({ type: "answer", sdp: this.answer });
  }

  private send(pc: RTCPeerConnection, track: MediaStreamTrack): void {
    const video = track.kind === "video";
    const transceiver = pc.addTransceiver(track, {
      direction: "sendonly",
      sendEncodings: video ? [{ maxBitrate: giveBitrate }] : undefined,
    });
    if (video) transceiver.setCodecPreferences?.(publishable(this.o.codecs()) as RTCRtpCodec[]);
  }

  /** Publishes another track of its kind instead, such as that of the other camera. */
  async replace(track: MediaStreamTrack): Promise<void> {
    await this.pc
      ?.getSenders()
      .find((s) => s.track?.kind === track.kind)
      ?.replaceTrack(track);
  }

  private openChannel(pc: RTCPeerConnection, label: string): void {
    const channel = pc.createDataChannel(label, { ordered: true });
    this.channel = channel;
    channel.addEventListener("open", () => {
      if (this.ended) return;
      this.beat();
      this.on.ready?.();
    });
    channel.addEventListener("message", (e) => {
      if (this.ended) return;
      this.beat();
      if (typeof e.data === "string") this.on.message?.(e.data);
    });
    channel.addEventListener("close", () => this.fail({ reason: "connection_lost", refused: false }));
  }

  /** The path works. Browsers take five seconds and more to notice that it does not any longer. */
  private beat(): void {
    const { heartbeatMs } = this.o;
    if (heartbeatMs === 0) return;
    if (this.restarting && this.pc?.connectionState === "connected") this.recovered(); // the state never changed
    clearTimeout(this.pulse);
    this.pulse = setTimeout(() => {
      this.pulse = setTimeout(() => void this.restart(), doubtMs);
    }, heartbeatMs);
  }

  private recovered(): void {
    clearTimeout(this.timer);
    this.restarting = false;
    this.on.up();
  }

  private changed(): void {
    if (this.ended || !this.pc) return;
    switch (this.pc.connectionState) {
      case "connected":
        this.recovered();
        break;
      case "disconnected":
        if (this.restarting) return;
        clearTimeout(this.timer);
        this.timer = setTimeout(() => void this.restart(), this.o.graceMs);
        break;
      case "failed":
        if (this.restarting) this.fail({ reason: "connection_lost", refused: false });
        else void this.restart();
        break;
      case "closed":
        this.fail({ reason: "connection_lost", refused: false });
        break;
    }
  }

  /** One ICE restart: new credentials by PATCH, the answer's ICE part exchanged. */
  private async restart(): Promise<void> {
    const { pc, location } = this;
    if (this.ended || this.restarting || !pc) return;
    this.restarting = true;
    clearTimeout(this.timer);
    if (!location || !this.answer) return this.fail({ reason: "connection_lost", refused: false });
    this.timer = setTimeout(() => this.fail({ reason: "connection_lost", refused: false }), this.o.restartMs);
    try {
      await pc.setLocalDescription(await pc.createOffer({ iceRestart: true }));
      await gathered(pc, gatherMs);
      const response = await this.o.send(location, {
        method: "PATCH",
        type: "application/trickle-ice-sdpfrag",
        body: fragment(pc.localDescription?.sdp ?? ""),
        headers: { "If-Match": "*", Accept: "application/trickle-ice-sdpfrag" },
        signal: this.abort.signal,
        timeoutMs: this.o.restartMs,
      });
      const answer = response.status === 200 ? withFragment(this.answer, await response.text()) : undefined;
      if (!answer) throw new Error("no ICE restart in the answer");
      this.answer = answer;
      await pc.setRemoteDescription({ type: "answer", sdp: answer });
    } catch {
      this.fail({ reason: "connection_lost", refused: false });
    }
  }

  /** Sends on the data channel; false if it is not open. */
  tell(message: string): boolean {
    if (this.channel?.readyState !== "open") return false;
    this.channel.send(message);
    return true;
  }

  /** Posts how the pictures fare, where there is no channel to tell it on. What does not arrive is not missed. */
  async report(slots: readonly SlotFigures[]): Promise<void> {
    if (!this.location || slots.length === 0) return;
    await this.o
      .send(`${this.location}/stats`, {
        method: "POST",
        json: { slots },
        signal: this.abort.signal,
        timeoutMs: reportMs,
      })
      .catch(() => undefined);
  }

  async stats(): Promise<RTCStatsReport | undefined> {
    try {
      return await this.pc?.getStats();
    } catch {
      return undefined;
    }
  }

  private fail(why: Down): void {
    if (this.ended) return;
    this.close();
    this.on.down(why);
  }

  /** Ends at once: no event follows. The server is told, without waiting. Safe to call twice. */
  close(): void {
    if (this.ended) return;
    this.ended = true;
    clearTimeout(this.timer);
    clearTimeout(this.pulse);
    this.abort.abort();
    this.channel?.close();
    this.pc?.close();
    this.end();
  }

  private end(): void {
    const { location } = this;
    this.location = undefined;
    if (location) this.o.send(location, { method: "DELETE", keepalive: true }).catch(() => undefined);
  }
}
