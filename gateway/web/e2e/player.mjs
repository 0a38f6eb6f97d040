// Opens a page of another origin in a real Chromium and plays a camera there by WHEP, as a third party's player does.
//
// Environment: PAGE_URL (the page), LOGIN_URL (a console whose login the browser has too), PASSWORD, WHEP_URL, TOKEN,
// CHROMIUM (default /usr/bin/chromium). Prints one JSON object: what a script of the page got.
import { chromium } from "playwright-core";

const { PAGE_URL, LOGIN_URL, PASSWORD, WHEP_URL, TOKEN } = process.env;

/** Runs in the page. Everything a player needs of the gateway, with a bearer token only. */
async function play({ url, token }) {
  const auth = { Authorization: `Bearer ${token}` };
  const pc = new RTCPeerConnection();
  pc.addTransceiver("video", { direction: "recvonly" });
  const video = document.body.appendChild(
    Object.assign(document.createElement("video"), { muted: true, autoplay: true }),
  );
  pc.ontrack = (e) => {
    video.srcObject = new MediaStream([e.track]);
  };
  await pc.setLocalDescription(await pc.createOffer());
  const body = pc.localDescription.sdp; // without candidates: they follow by PATCH
  const made = await fetch(url, { method: "POST", body, headers: { ...auth, "Content-Type": "application/sdp" } });
  const answer = await made.text();
  if (made.status !== 201) return { made: made.status, answer };
  const session = new URL(made.headers.get("Location"), url).href;
  await pc.setRemoteDescription({ type: "answer", sdp: answer });
  const line = (key) => body.match(new RegExp(`^a=${key}:.*$`, "m"))[0];
  const trickled = await fetch(session, {
    method: "PATCH",
    headers: { ...auth, "Content-Type": "application/trickle-ice-sdpfrag", "If-Match": made.headers.get("ETag") },
    body: `${line("ice-ufrag")}\r\n${line("ice-pwd")}\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r\n${line("mid")}\r\na=end-of-candidates\r\n`,
  });
  const end = performance.now() + 20_000;
  const frames = () => video.getVideoPlaybackQuality().totalVideoFrames;
  while (frames() < 20 && performance.now() < end) await new Promise((r) => setTimeout(r, 100));
  const ended = await fetch(session, { method: "DELETE", headers: auth });
  return {
    made: made.status,
    trickled: trickled.status,
    ended: ended.status,
    frames: frames(),
    width: video.videoWidth,
    warning: made.headers.get("Skein-Warning") ?? "",
  };
}

/** Runs in the page: what the browser's own login gives to its scripts. */
async function borrow({ url }) {
  const get = async (o) => {
    try {
      return `${(await fetch(url, o)).status}`;
    } catch {
      return "refused";
    }
  };
  return {
    borrowed: await get({ credentials: "include" }),
    written: await get({ credentials: "include", method: "POST" }),
    bare: await get({}),
  };
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required", "--no-first-run"],
});
const context = await browser.newContext();
const page = await context.newPage();
await page.goto(LOGIN_URL);
await page.getByTestId("login-user").fill("admin");
await page.getByTestId("login-password").fill(PASSWORD);
await page.getByTestId("login-submit").click();
await page.getByTestId("layout-16").waitFor();
const own = await page.evaluate(async () => (await fetch("/v1/me")).status);
await page.goto(PAGE_URL);
const out = await page
  .evaluate(play, { url: WHEP_URL, token: TOKEN })
  .catch((e) => ({ error: e.message.split("\n")[0] }));
const login = await page.evaluate(borrow, { url: new URL("/v1/me", WHEP_URL).href });
process.stdout.write(`${JSON.stringify({ ...out, ...login, own })}\n`);
await browser.close();
