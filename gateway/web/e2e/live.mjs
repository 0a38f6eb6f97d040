// Keeps the console open in a real Chromium and answers questions about its wall, one JSON object a line on standard
// input, one on standard output: {"do":"login"} … {"do":"moving","n":16} … {"do":"quit"}. A test that stops cameras and
// restarts the gateway in between asks them.
//
// Environment: BASE_URL, USER_NAME, PASSWORD, CHROMIUM (default /usr/bin/chromium), TIMEOUT_MS (default 40000, for each
// question), WIDTH and HEIGHT of the window (default 1920 x 1080), SHOTS (a folder for the screenshots that questions name
// as "shot"). Answers are {"ok":true,"ms":…,…} or {"ok":false,"error":…}.
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";
import { replayAnswers } from "./replay.mjs";
import * as endurance from "./weigh.mjs";

const timeout = Number(process.env.TIMEOUT_MS ?? 40_000);
const base = process.env.BASE_URL;

/** Runs in the page before anything else: counts connections and negotiations. */
function spy() {
  const made = []; // weakly: what is counted here must be free to go
  const counts = { peers: 0, negotiations: 0 };
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(...args) {
      super(...args);
      counts.peers++;
      made.push(new WeakRef(this));
    }
    setRemoteDescription(...args) {
      counts.negotiations++;
      return super.setRemoteDescription(...args);
    }
  };
  window.liveCounts = () => ({
    ...counts,
    open: made.filter((p) => (p.deref()?.connectionState ?? "closed") !== "closed").length,
    slots: made.at(-1)?.deref()?.getTransceivers().length ?? 0,
  });
  /** Figures of the sound that arrived since the last call. */
  let old = {};
  window.liveSound = async () => {
    const all = [...((await made.at(-1)?.deref()?.getStats())?.values() ?? [])];
    const s = all.find((x) => x.type === "inbound-rtp" && x.kind === "audio") ?? {};
    const since = (k) => (s[k] ?? 0) - (old[k] ?? 0);
    const out = {
      codec: all.find((x) => x.id === s.codecId)?.mimeType ?? "",
      seconds: since("totalSamplesDuration"),
      energy: since("totalAudioEnergy"),
      concealed: since("concealedSamples") / Math.max(1, since("totalSamplesReceived")),
      delayMs: Math.round((1000 * since("jitterBufferDelay")) / Math.max(1, since("jitterBufferEmittedCount"))),
    };
    old = s;
    return out;
  };
}

/** Runs in the page: every tile with its camera, state, picture size and whether its picture goes on. */
async function look(ms) {
  const tiles = [...document.querySelectorAll("[data-testid^='tile-'][data-state]")];
  const video = (e) => e.querySelector("[data-testid='tile-video']");
  // Not currentTime: that of a live stream goes on without pictures.
  const frames = (e) => video(e)?.getVideoPlaybackQuality().totalVideoFrames ?? 0;
  const before = tiles.map(frames);
  await new Promise((r) => setTimeout(r, ms));
  return tiles.map((e, i) => ({
    camera: e.dataset.camera,
    state: e.dataset.state,
    transport: e.dataset.transport,
    width: video(e)?.videoWidth ?? 0,
    moves: frames(e) > before[i],
  }));
}

const tell = (o) => process.stdout.write(`${JSON.stringify(o)}\n`);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream=device-count=2", "--use-fake-ui-for-media-stream"],
});
const page = await browser.newPage({ viewport: { width: Number(process.env.WIDTH ?? 1920), height: Number(process.env.HEIGHT ?? 1080) }, ignoreHTTPSErrors: true });
page.setDefaultTimeout(timeout); // of clicks too
await page.addInitScript(spy);

/** What the browser complains of, and what is asked of the gateway. */
const log = { complaints: [], requests: new Map() };
page.on("console", (m) => m.type() === "error" && log.complaints.push(m.text()));
page.on("pageerror", (e) => log.complaints.push(e.message));
page.on("request", (r) => {
  const { pathname } = new URL(r.url());
  if (pathname.startsWith("/v1/")) log.requests.set(pathname, (log.requests.get(pathname) ?? 0) + 1);
});

/** Runs in the page: how long header and tree go on saying that all is well after a tile has noticed, in ms. */
function agrees({ camera, timeout: limit }) {
  const well = (e) => e && ["live", "delayed", "connecting"].some((s) => e.dataset.state === s);
  const before = Number(document.querySelector("[data-testid='sums']").dataset.bad);
  const began = performance.now();
  let noticed;
  return new Promise((resolve, reject) => {
    const look = () => {
      const now = performance.now();
      const tile = document.querySelector(`[data-testid^='tile-'][data-camera='${camera}']`);
      const row = document.querySelector(`[data-testid='tree-camera-${camera}'] .dot`);
      const bad = Number(document.querySelector("[data-testid='sums']").dataset.bad);
      if (!well(tile)) noticed ??= now;
      if (noticed !== undefined && bad > before && !row.classList.contains("s-live"))
        return resolve({ ms: Math.round(now - noticed), bad, state: tile.dataset.state });
      if (now - began > limit) return reject(new Error(`header ${bad}, tile ${tile?.dataset.state}`));
      setTimeout(look, 20);
    };
    look();
  });
}

async function until(what, good) {
  const end = performance.now() + timeout;
  for (;;) {
    const tiles = await page.evaluate(look, 400);
    if (good(tiles)) return { tiles };
    if (performance.now() > end) throw new Error(`${what}: ${JSON.stringify(tiles)}`);
  }
}

/** Waits until the tile says that its sound is heard, then measures it for some seconds. */
async function hears(camera) {
  const speaker = tileOf(camera).locator(".speaker");
  const end = performance.now() + timeout;
  for (;;) {
    const hearing = await speaker.getAttribute("data-hearing");
    if (hearing === "on") break;
    if (performance.now() > end) throw new Error(`${camera} is heard: ${hearing}`);
    await new Promise((r) => setTimeout(r, 200));
  }
  await new Promise((r) => setTimeout(r, 2000)); // until the jitter buffer has settled
  await page.evaluate(() => window.liveSound());
  await new Promise((r) => setTimeout(r, 4000));
  return { sound: await page.evaluate(() => window.liveSound()), title: await speaker.getAttribute("title") };
}

const tileOf = (camera) => page.locator(`[data-testid^='tile-'][data-camera='${camera}']`).first();

/** What the viewers' page says of the wall of n tiles; `way` looks for one whose pictures come that way. */
async function viewersPage(tab, n, way) {
  await tab.goto(`${base}/#/viewers`);
  const row = tab
    .locator(`[data-testid^='viewer-row-'][data-tiles='${n}']:not([data-kbps='0'])`)
    .filter({ has: tab.getByTestId("viewer-way").getByText(way ?? "", { exact: way !== undefined }) });
  await row.waitFor({ timeout });
  const viewer = await row.getAttribute("data-viewer");
  const told = await row.getByTestId("viewer-way").innerText();
  await row.locator("[data-testid^='viewer-open-']").press("Enter");
  const slots = tab.locator("[data-testid^='viewer-slot-']");
  await tab.waitForFunction(
    (count) => {
      const sent = [...document.querySelectorAll("[data-testid^='viewer-slot-']")].filter((e) => e.dataset.kbps > 0);
      return sent.length === count;
    },
    n,
    { timeout },
  );
  const tiles = await slots.evaluateAll((all) => all.map((e) => ({ camera: e.dataset.camera, moves: e.dataset.kbps > 0 })));
  await tab.getByTestId("show-streams").click();
  const streams = tab.locator("[data-testid^='stream-row-']");
  await streams.first().waitFor({ timeout });
  return { viewer, way: told, tiles, streams: await streams.count() };
}

const bad = new Set(["frozen", "no_signal", "offline"]);

const answers = {
  ...replayAnswers(page, timeout, process.env.SHOTS),
  /** `transport` "whep": one connection for each tile. `there`: what the page has once one is in. */
  async login({ transport, there = "layout-16" }) {
    await page.goto(`${base}/${transport ? `?transport=${transport}` : ""}`);
    await page.getByTestId("login-user").fill(process.env.USER_NAME ?? "admin");
    await page.getByTestId("login-password").fill(process.env.PASSWORD ?? "");
    await page.getByTestId("login-submit").click();
    await page.getByTestId(there).waitFor({ timeout });
  },
  /** What the browser complained of, and how often each path of the gateway was asked for, since the last time. */
  log() {
    const told = { complaints: [...log.complaints], requests: Object.fromEntries(log.requests) };
    log.complaints.length = 0;
    log.requests.clear();
    return told;
  },
  open: ({ hash }) => page.evaluate((h) => location.assign(h), hash),
  text: async ({ id }) => ({ text: await page.getByTestId(id).innerText() }),
  ids: async ({ prefix }) => ({
    ids: await page.locator(`[data-testid^='${prefix}']`).evaluateAll((all) => all.map((e) => e.dataset.testid)),
  }),
  /** Until the camera's tile is no longer well: how long after that header and tree said so too. */
  agrees: ({ camera }) => page.evaluate(agrees, { camera, timeout }),
  click: ({ id }) => page.getByTestId(id).click(),
  reload: () => page.reload(),
  // Not click(): it waits until the page is painted, which a busy machine does not do for minutes beside 64 pictures.
  layout: ({ n }) => page.getByTestId(`layout-${n}`).dispatchEvent("click"),
  moving: ({ n }) => until(`${n} tiles move`, (t) => t.filter((x) => x.moves).length >= n),
  /** No tile moves any more. */
  stopped: () => until("no tile moves", (t) => t.every((x) => !x.moves)),
  width: ({ n, low, high }) =>
    until(`${n} tiles of ${low} to ${high}`, (t) => t.filter((x) => x.moves && x.width >= low && x.width <= high).length >= n),
  /** The camera's tile says that it is dead, and does not move. */
  dead: ({ camera }) =>
    until(`${camera} is shown as dead`, (t) => t.some((x) => x.camera === camera && !x.moves && bad.has(x.state))),
  /** Puts a camera from the tree onto the next tile. */
  async pick({ camera }) {
    await page.getByTestId("tree-search").fill(camera);
    await page.getByTestId(`tree-camera-${camera}`).click();
    return until(`${camera} moves`, (t) => t.some((x) => x.camera === camera && x.moves));
  },
  /** Presses the speaker of the camera's tile and measures what is heard. */
  async listen({ camera }) {
    await tileOf(camera).hover();
    await tileOf(camera).locator(".speaker").click();
    return hears(camera);
  },
  /** Goes back in time with a tile that is listened to, and measures what is heard then. */
  async back({ camera, n }) {
    await tileOf(camera).hover();
    await tileOf(camera).locator(`[data-testid^='back-${n}-']`).click();
    await page.getByTestId("past-age").waitFor({ timeout });
    return hears(camera);
  },
  /** Publishes from this device as the camera. */
  async publish({ camera }) {
    await page.getByTestId("nav-publish").click();
    await page.getByTestId("publish-camera").selectOption(camera);
    await page.getByTestId("publish-go").click();
  },
  /** Waits until the page says that the broadcast is in the phase, and returns all that it says. */
  async phase({ phase }) {
    await page.locator(`[data-testid=publish][data-phase=${phase}]`).waitFor({ timeout });
    return { text: await page.getByTestId("publish").innerText() };
  },
  /** Waits until the page's publish section shows a text. */
  says: ({ text }) => page.getByTestId("publish").getByText(text).first().waitFor({ timeout }),
  turn: () => page.getByTestId("publish-turn").click(),
  stop: () => page.getByTestId("publish-go").click(),
  /** A tour of the cameras, in this order, on the first tile. */
  async tour({ cameras, dwell }) {
    await page.getByTestId("tile-0").hover();
    await page.getByTestId("tour-edit-0").click();
    for (const camera of cameras) {
      await page.getByTestId("tour-search").fill(camera);
      await page.getByTestId(`tour-pick-${camera}`).click();
    }
    await page.getByTestId("tour-dwell").fill(String(dwell));
    await page.getByTestId("tour-start").click();
  },
  /** The first tile shows the camera, moving. */
  shows: ({ camera }) => until(`tile 0 shows ${camera}`, (t) => t[0]?.camera === camera && t[0].moves),
  /** The first tile says in words that its tour passed cameras by. */
  async passed() {
    const note = page.getByTestId("tile-0").getByTestId("tour-skipped");
    await note.waitFor({ timeout });
    const count = page.getByTestId("tile-0").getByTestId("tour-passed");
    return { note: await note.innerText(), count: await count.innerText(), hint: await count.getAttribute("title") };
  },
  /** There is such an element. */
  shown: ({ id }) => page.getByTestId(id).waitFor({ timeout }),
  /** There is no such element any more. */
  none: ({ id }) => page.getByTestId(id).waitFor({ state: "detached", timeout }),
  /** What the page holds once nothing hangs over it and its garbage is gone. */
  async weigh() {
    await endurance.calm(page);
    return { weight: await endurance.weigh(page) };
  },
  layouts: ({ n }) => endurance.layouts(page, n),
  pages: ({ n }) => endurance.pages(page, n),
  replays: ({ n }) => endurance.replays(page, n),
  counts: () => page.evaluate(() => window.liveCounts()),
  /** Opens the viewers' page in a window of its own: the wall of n tiles is there, unfolds into them, and all are sent. */
  async viewers({ n, way }) {
    const other = await browser.newContext({ storageState: await page.context().storageState(), ignoreHTTPSErrors: true });
    try {
      return await viewersPage(await other.newPage(), n, way);
    } finally {
      await other.close();
    }
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const q = JSON.parse(line);
  if (q.do === "quit") break;
  const began = performance.now();
  try {
    const answer = await answers[q.do](q);
    if (q.shot && process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/${q.shot}.png` });
    tell({ ok: true, ms: Math.round(performance.now() - began), ...answer });
  } catch (e) {
    tell({ ok: false, error: `${q.do}: ${e.message}` });
  }
}
await browser.close();
