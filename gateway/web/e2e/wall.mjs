// Drives the console in a real Chromium against a running gateway and proves that the wall moves and a replay plays.
//
//   BASE_URL=http://127.0.0.1:8080 USER_NAME=admin PASSWORD=… node e2e/wall.mjs [folder for screenshots]
//
// Environment: CHROMIUM (default /usr/bin/chromium), TILES (tiles that must move, default 16), TIMEOUT_MS (default
// 60000, for each step), TRANSPORT (whep: one connection per tile), EXTRAS (comma-separated: sound, tour, paging, back;
// sound needs a camera whose id begins with SOUND_CAMERA, default term-). USER is read where USER_NAME is not set. Prints
// one line of JSON with timings in milliseconds; exit status 1 and "error" in it if anything was not as it should be.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const base = process.env.BASE_URL ?? "http://127.0.0.1:8080";
const user = process.env.USER_NAME ?? process.env.USER ?? "admin";
const password = process.env.PASSWORD ?? "";
const tiles = Number(process.env.TILES ?? 16);
const timeout = Number(process.env.TIMEOUT_MS ?? 60_000);
const folder = process.argv[2];
const extras = new Set((process.env.EXTRAS ?? "").split(",").filter(Boolean));
const soundCamera = process.env.SOUND_CAMERA ?? "term-";
const query = process.env.TRANSPORT ? `?transport=${process.env.TRANSPORT}` : "";

const args = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
  "--autoplay-policy=no-user-gesture-required",
];

const result = { ok: false, base };
const consoleErrors = [];

async function step(name, work) {
  const began = performance.now();
  try {
    return await work();
  } catch (e) {
    throw new Error(`${name}: ${e.message}`);
  } finally {
    result[`${name}_ms`] = Math.round(performance.now() - began);
  }
}

async function shot(page, name) {
  if (folder) await page.screenshot({ path: join(folder, `${name}.png`) });
}

/** How many tiles have a picture whose time goes on between two looks. */
async function moving(page, n) {
  return page.evaluate(async (count) => {
    const look = () =>
      Array.from({ length: count }, (_, i) => {
        const v = document.querySelector(`[data-testid="tile-${i}"] [data-testid="tile-video"]`);
        return v && v.videoWidth > 0 ? v.currentTime : -1;
      });
    const before = look();
    await new Promise((r) => setTimeout(r, 500));
    return look().filter((t, i) => before[i] >= 0 && t > before[i]).length;
  }, n);
}

async function untilMoving(page, n) {
  const end = performance.now() + timeout;
  let most = 0;
  while (performance.now() < end) {
    most = await moving(page, n);
    if (most >= n) return;
  }
  const states = await page.$$eval("[data-testid^='tile-'][data-state]", (all) =>
    all.map((e) => `${e.dataset.camera}:${e.dataset.state}`),
  );
  throw new Error(`${most} of ${n} tiles move; ${states.join(" ")}`);
}

async function replayPlays(page) {
  const video = page.getByTestId("replay-video");
  await video.waitFor({ timeout });
  await page.waitForFunction(
    () => {
      const v = document.querySelector("[data-testid='replay-video']");
      return v && v.videoWidth > 0 && v.currentTime > 0.5;
    },
    undefined,
    { timeout },
  );
}

/** Waits until an element's attribute is one of some values. */
async function until(page, id, attribute, values) {
  await page.waitForFunction(
    ([testid, name, wanted]) => {
      const e = document.querySelector(`[data-testid="${testid}"]`);
      return e && wanted.includes(e.getAttribute(name) ?? "");
    },
    [id, attribute, values],
    { timeout },
  );
}

/** Puts a camera with a microphone on the first tile and listens: packets of sound must arrive, and end with the mute. */
async function sound(page) {
  await page.getByTestId("tree-search").fill(soundCamera);
  const row = page.locator(`[data-testid^='tree-camera-${soundCamera}']`).first();
  await row.waitFor({ timeout });
  await row.dragTo(page.getByTestId("tile-0"));
  await page.getByTestId("tree-search").fill("");
  await until(page, "tile-0", "data-state", ["live", "delayed"]);
  await page.getByTestId("tile-0").hover();
  const speaker = page.getByTestId("sound-0");
  if ((await speaker.getAttribute("data-hearing")) !== "off") throw new Error("the tile is not muted at first");
  await speaker.click();
  await until(page, "sound-0", "data-hearing", ["on"]);
  await shot(page, "sound");
  await speaker.click();
  await until(page, "sound-0", "data-hearing", ["off"]);
}

/** The second tile tours the whole district, five seconds a camera: it must change camera, pause and go on. */
async function tour(page) {
  await page.getByTestId("tile-1").hover();
  await page.getByTestId("tour-edit-1").click();
  await page.getByTestId("tour-all").click();
  await page.getByTestId("tour-dwell").fill("5");
  await page.getByTestId("tour-start").click();
  await until(page, "tile-1", "data-state", ["live", "delayed"]);
  const first = await page.getByTestId("tile-1").getAttribute("data-camera");
  const other = (than) =>
    page.waitForFunction(
      (id) => {
        const e = document.querySelector('[data-testid="tile-1"]');
        return e.dataset.camera !== id && (e.dataset.state === "live" || e.dataset.state === "delayed");
      },
      than,
      { timeout },
    );
  await other(first);
  await shot(page, "tour");
  await page.getByTestId("tile-1").hover();
  await page.getByTestId("tour-pause-1").click();
  await page.waitForTimeout(500);
  const held = await page.getByTestId("tile-1").getAttribute("data-camera");
  await page.waitForTimeout(7000);
  const now = await page.getByTestId("tile-1").getAttribute("data-camera");
  if (now !== held) throw new Error(`paused at ${held}, but shows ${now}`);
  await page.getByTestId("tour-next-1").click();
  await other(held);
}

/** The whole wall turns its pages. */
async function paging(page) {
  await page.getByTestId("tour-wall").click();
  await page.getByTestId("tour-dwell").fill("600");
  await page.getByTestId("tour-start").click();
  await page.getByTestId("paging").waitFor({ timeout });
  await untilMoving(page, tiles);
  const before = await page.getByTestId("tile-0").getAttribute("data-camera");
  await page.getByTestId("paging-next").click();
  await page.waitForFunction((id) => document.querySelector('[data-testid="tile-0"]').dataset.camera !== id, before, {
    timeout,
  });
  await untilMoving(page, tiles);
  await shot(page, "paging");
  await page.getByTestId("paging-stop").click();
  await untilMoving(page, tiles);
}

/** The third tile goes back ten seconds, says so, and comes back by itself. */
async function back(page) {
  await until(page, "tile-2", "data-state", ["live", "delayed"]);
  await page.getByTestId("tile-2").hover();
  await page.getByTestId("back-10-2").click();
  await until(page, "tile-2", "data-state", ["replay"]);
  await page.getByTestId("past-age").waitFor({ timeout });
  await page.waitForTimeout(1500);
  result.replay_by = (await page.getByTestId("tile-film").count()) > 0 ? "clip" : "wall";
  result.replay_age = await page.getByTestId("past-age").textContent();
  await shot(page, "back");
  await until(page, "tile-2", "data-state", ["live", "delayed"]);
}

async function run(page) {
  await page.goto(`${base}/${query}`);
  await page.getByTestId("login-user").waitFor({ timeout });
  await shot(page, "1-login");
  await page.getByTestId("login-user").fill(user);
  await page.getByTestId("login-password").fill(password);
  await step("login", async () => {
    await page.getByTestId("login-submit").click();
    await page.getByTestId("layout-16").waitFor({ timeout });
  });
  await page.getByTestId("layout-16").click();
  await step("wall_first", () => untilMoving(page, 1));
  await step("wall_all", () => untilMoving(page, tiles));
  result.transport = await page.getByTestId("tile-0").getAttribute("data-transport");
  await page.waitForTimeout(1500);
  result.states = await page.$$eval("[data-testid^='tile-'][data-state]", (all) => {
    const sums = {};
    for (const e of all) sums[e.dataset.state] = (sums[e.dataset.state] ?? 0) + 1;
    return sums;
  });
  await shot(page, "2-wall");
  if (extras.has("sound")) await step("sound", () => sound(page));
  if (extras.has("tour")) await step("tour", () => tour(page));
  if (extras.has("paging")) await step("paging", () => paging(page));
  if (extras.has("back")) await step("back_in_time", () => back(page));
  await page.getByTestId("tile-open-0").click();
  await step("replay_mp4", () => replayPlays(page));
  await page.waitForTimeout(700);
  await shot(page, "3-replay");
  await page.getByTestId("replay-hls").click();
  await step("replay_hls", () => replayPlays(page));
  await shot(page, "4-hls");
  await page.keyboard.press("Escape");
  await step("back", () => untilMoving(page, tiles));
  await page.getByTestId("nav-cameras").click();
  await step("health", () => page.locator("[data-testid^='camera-row-']").first().waitFor({ timeout }));
  await page.waitForTimeout(500);
  await shot(page, "5-health");
}

if (folder) mkdirSync(folder, { recursive: true });
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args });
try {
  const page = await browser.newPage({
    viewport: { width: 1920, height: 1080 },
    locale: "zh-CN",
    ignoreHTTPSErrors: true,
  });
  page.on("pageerror", (e) => consoleErrors.push(e.message));
  try {
    await run(page);
    result.ok = true;
  } catch (e) {
    result.error = e.message;
    await shot(page, "failed");
  }
} finally {
  await browser.close();
}
if (consoleErrors.length > 0) {
  result.ok = false;
  result.page_errors = consoleErrors;
}
console.log(JSON.stringify(result));
process.exitCode = result.ok ? 0 : 1;
