// Measures a wall of 16 tiles in a real Chromium: one PeerConnection, slots steered over its data channel.
//
//   BASE_URL=http://127.0.0.1:8080 TOKEN=… node bench/wall.mjs
//
// Cameras cam0 … cam15 have sub streams of two sizes, 640x360 where the number is even and 704x576 where it is odd, and
// main streams of 1920x1080: so the size of a presented frame tells which stream it is of. Prints one line of JSON,
// times in milliseconds.
import { createRequire } from "node:module";

const { chromium } = createRequire(new URL("../gateway/web/package.json", import.meta.url))("playwright-core");
const base = process.env.BASE_URL;
const rounds = Number(process.env.ROUNDS ?? 5);

/** Runs in the page. */
async function wall({ token, switches }) {
  const n = 16;
  const began = performance.now();
  const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle", iceServers: [] });
  const seen = Array.from({ length: n }, () => ({ frames: 0, width: 0, moved: undefined, waiting: undefined }));
  document.body.innerHTML = "";
  document.body.style.cssText = "margin:0;display:grid;grid-template-columns:repeat(4,480px);background:#000";
  const h264 = RTCRtpReceiver.getCapabilities("video").codecs.filter(
    (c) => c.mimeType === "video/H264" && /packetization-mode=1/.test(c.sdpFmtpLine) && /profile-level-id=42e0/.test(c.sdpFmtpLine),
  );
  for (let i = 0; i < n; i++) {
    const video = document.createElement("video");
    video.muted = video.autoplay = video.playsInline = true;
    video.style.cssText = "width:480px;height:270px";
    document.body.append(video);
    const s = seen[i];
    const presented = (_, frame) => {
      const at = performance.now();
      s.frames++;
      if (s.frames === 2) s.moved = at;
      s.width = frame.width;
      if (s.waiting?.width === frame.width) {
        s.waiting.done(at);
        s.waiting = undefined;
      }
      video.requestVideoFrameCallback(presented);
    };
    video.requestVideoFrameCallback(presented);
    const t = pc.addTransceiver("video", { direction: "recvonly" });
    t.setCodecPreferences(h264);
    t.receiver.track.addEventListener("unmute", () => {
      if (!video.srcObject) video.srcObject = new MediaStream([t.receiver.track]);
    });
    video.srcObject = new MediaStream([t.receiver.track]);
  }
  const channel = pc.createDataChannel("wall", { ordered: true });
  const acks = new Map();
  channel.onmessage = (e) => {
    const m = JSON.parse(e.data);
    const key = `${m.slot} ${m.camera} ${m.profile}`;
    if (m.state === "live" && acks.has(key)) {
      acks.get(key)(performance.now());
      acks.delete(key);
    }
  };
  const show = (slot, camera, profile) =>
    channel.send(JSON.stringify({ type: "show", slot, camera: `cam${camera}`, profile, width: 480, height: 270 }));
  const opened = new Promise((r) => channel.addEventListener("open", r));
  await pc.setLocalDescription(await pc.createOffer());
  if (pc.iceGatheringState !== "complete") {
    await new Promise((r) => {
      setTimeout(r, 150);
      pc.onicegatheringstatechange = () => pc.iceGatheringState === "complete" && r();
    });
  }
  const asked = performance.now();
  const answer = await fetch("/v1/walls", {
    method: "POST",
    headers: { "Content-Type": "application/sdp", Authorization: `Bearer ${token}` },
    body: pc.localDescription.sdp,
  });
  if (answer.status !== 201) throw new Error(`POST /v1/walls: ${answer.status} ${await answer.text()}`);
  await pc.setRemoteDescription({ type: "answer", sdp: await answer.text() });
  await opened;
  const ready = performance.now();
  for (let i = 0; i < n; i++) show(i, i, "sub");
  const end = performance.now() + 20_000;
  while (seen.some((s) => s.moved === undefined)) {
    if (performance.now() > end) throw new Error(`moving: ${seen.filter((s) => s.moved !== undefined).length} of ${n}`);
    await new Promise((r) => setTimeout(r, 5));
  }
  const moved = seen.map((s) => s.moved);
  const pause = (ms) => new Promise((r) => setTimeout(r, ms));
  await pause(3000);
  const frames = seen.map((s) => s.frames);
  const since = performance.now();
  await pause(3000);
  const fps = seen.map((s, i) => ((s.frames - frames[i]) * 1000) / (performance.now() - since));

  const widthOf = (camera, profile) => (profile === "main" ? 1920 : camera % 2 ? 704 : 640);
  const shown = Array.from({ length: n }, (_, i) => i);
  async function change(slot, camera, profile) {
    const sent = performance.now();
    const acked = new Promise((r) => acks.set(`${slot} cam${camera} ${profile}`, r));
    const pictured = new Promise((done, no) => {
      seen[slot].waiting = { width: widthOf(camera, profile), done };
      setTimeout(() => no(new Error(`slot ${slot} does not show cam${camera} ${profile}`)), 10_000);
    });
    show(slot, camera, profile);
    const [picture, ack] = await Promise.all([pictured, acked]);
    shown[slot] = camera;
    return { picture: picture - sent, ack: ack - sent };
  }
  const out = { sub: [], main: [], back: [], ack: [] };
  for (let k = 0; k < switches; k++) {
    const slot = (k * 5) % n;
    const a = await change(slot, (shown[slot] + 7) % n, "sub"); // of the other size
    out.sub.push(a.picture);
    out.ack.push(a.ack);
    await pause(150 + Math.random() * 200);
  }
  for (let k = 0; k < switches; k++) {
    const slot = (k * 5) % n;
    out.main.push((await change(slot, (shown[slot] + 6) % n, "main")).picture);
    await pause(600 + Math.random() * 300);
    out.back.push((await change(slot, shown[slot], "sub")).picture);
    await pause(150 + Math.random() * 200);
  }
  const inbound = [...(await pc.getStats()).values()].filter((s) => s.type === "inbound-rtp");
  const sum = (key) => inbound.reduce((n, s) => n + (s[key] ?? 0), 0);
  pc.close();
  return {
    first: Math.min(...moved) - asked,
    all: Math.max(...moved) - asked,
    all_from_start: Math.max(...moved) - began,
    ready: ready - asked,
    fps: Math.min(...fps),
    lost: sum("packetsLost"),
    freezes: sum("freezeCount"),
    plis: sum("pliCount"),
    ...out,
  };
}

const args = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
  "--autoplay-policy=no-user-gesture-required",
];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args });
try {
  const page = await browser.newPage({ viewport: { width: 1920, height: 1080 } });
  const all = [];
  for (let i = 0; i < rounds; i++) {
    await page.goto(`${base}/healthz`);
    all.push(await page.evaluate(wall, { token: process.env.TOKEN, switches: Number(process.env.SWITCHES ?? 12) }));
  }
  console.log(JSON.stringify(all));
} finally {
  await browser.close();
}
