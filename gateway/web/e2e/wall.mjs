// Drives the console in a real Chromium against a running gateway and proves that the wall moves and a replay plays.
//
//   BASE_URL=http://127.0.0.1:8080 USER_NAME=admin PASSWORD=… node e2e/wall.mjs [folder for screenshots]
//
// Environment: CHROMIUM (default /usr/bin/chromium), TILES (tiles that must move, default 16), TIMEOUT_MS (default
// 60000, for each step), TRANSPORT (whep: one connection per tile). USER is read where USER_NAME is not set. Prints one
// line of JSON with timings in milliseconds; exit status 1 and "error" in it if anything was not as it should be.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const base = process.env.BASE_URL ?? "http://127.0.0.1:8080";
const user = process.env.USER_NAME ?? process.env.USER ?? "admin";
const password = process.env.PASSWORD ?? "";
const tiles = Number(process.env.TILES ?? 16);
const timeout = Number(process.env.TIMEOUT_MS ?? 60_000);
const folder = process.argv[2];
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
