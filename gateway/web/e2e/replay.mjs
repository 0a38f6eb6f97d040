// Questions about the side panel's replay, for live.mjs: what picture is on the screen, what time the console says it has.
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

/** Runs in the page: the picture on the screen as a PNG, and all that is said of it. `play` takes it in motion. */
async function look(play) {
  const v = document.querySelector("[data-testid='replay-video']");
  const id = (name) => document.querySelector(`[data-testid='${name}']`);
  const frame = () => new Promise((done) => v.requestVideoFrameCallback((_, meta) => done(meta)));
  if (play) {
    await v.play();
    for (let i = 0; i < 12; i++) await frame();
  }
  const canvas = Object.assign(document.createElement("canvas"), { width: v.videoWidth, height: v.videoHeight });
  if (v.videoWidth > 0) canvas.getContext("2d").drawImage(v, 0, 0);
  const bar = id("coverage-bar").getBoundingClientRect();
  return {
    png: v.videoWidth > 0 ? canvas.toDataURL("image/png") : undefined,
    time: id("replay-time").getAttribute("datetime") ?? undefined,
    text: id("replay-time").textContent,
    position: v.currentTime,
    kind: id("replay-gap")?.dataset.kind,
    note: id("replay-gap")?.textContent,
    next: id("replay-next") !== null,
    bar: Math.round(bar.top),
    disabled: ["replay-snapshot", "replay-download", "lock"].filter((n) => id(n)?.disabled),
    asked: id("retrieval-reason") !== null,
  };
}

/** `folder` is where pictures go. */
export function replayAnswers(page, timeout, folder) {
  const video = (what, arg) =>
    page.waitForFunction(
      ({ what, arg }) => {
        const v = document.querySelector("[data-testid='replay-video']");
        if (!v) return false;
        if (what === "plays") return v.dataset.phase === "playing" && v.videoWidth > 0 && v.currentTime > (arg ?? 0);
        if (what === "none") return v.dataset.phase === "none";
        return v[what];
      },
      { what, arg },
      { timeout },
    );
  const sight = async (play = false) => {
    const { png, ...seen } = await page.evaluate(look, play);
    if (!png) return seen;
    const picture = join(folder, `${randomUUID()}.png`);
    writeFileSync(picture, Buffer.from(png.split(",")[1], "base64"));
    return { ...seen, picture };
  };
  const seek = async (at) => {
    await page.evaluate(async (to) => {
      const v = document.querySelector("[data-testid='replay-video']");
      v.pause();
      const sought = new Promise((done) => v.addEventListener("seeked", done, { once: true }));
      v.currentTime = to;
      await sought;
      // The picture is there; what is said of it follows with the next one that the page draws.
      for (let i = 0; i < 6; i++) await new Promise((done) => requestAnimationFrame(done));
    }, at);
    return sight();
  };
  const tileOf = (camera) => page.locator(`[data-testid^='tile-'][data-camera='${camera}']`).first();
  const save = async (locator) => {
    const saved = page.waitForEvent("download", { timeout });
    await locator.dispatchEvent("click");
    const file = await saved;
    const picture = join(folder, file.suggestedFilename());
    await file.saveAs(picture);
    return { picture, text: file.suggestedFilename() };
  };
  /** The tile's own picture and the time over it. */
  const past = (tile) =>
    tile.evaluate(async (tile) => {
      const v = tile.querySelector("[data-testid='tile-film']") ?? tile.querySelector("[data-testid='tile-video']");
      const time = () => tile.querySelector("[data-testid='past-time']")?.dataset.at;
      const end = performance.now() + 10_000;
      while (!time() && performance.now() < end) await new Promise((done) => setTimeout(done, 50));
      const canvas = Object.assign(document.createElement("canvas"), { width: v.videoWidth, height: v.videoHeight });
      const former = time();
      while (time() === former && performance.now() < end) await new Promise((done) => setTimeout(done, 5));
      canvas.getContext("2d").drawImage(v, 0, 0); // just after the time over it was looked at
      return { png: canvas.toDataURL("image/png"), at: Number(time()) };
    });
  return {
    /** Saves a snapshot of the camera's tile. */
    shot: ({ camera }) => save(tileOf(camera).locator("[data-testid^='shot-']")),
    /** Goes back in time with the camera's tile, or stays there, and looks at a picture some seconds later. */
    async past({ camera, n, after }) {
      const tile = tileOf(camera);
      if (n) await tile.locator(`[data-testid^='back-${n}-']`).dispatchEvent("click");
      await tile.getByTestId("past-age").waitFor({ timeout });
      await page.waitForTimeout(after);
      const { png, at } = await past(tile);
      const picture = join(folder, `${randomUUID()}.png`);
      writeFileSync(picture, Buffer.from(png.split(",")[1], "base64"));
      return { picture, time: new Date(at).toISOString() };
    },
    /** Opens the side panel of a camera that is on a tile. */
    async replay({ camera }) {
      await tileOf(camera).locator("[data-testid^='tile-open-']").dispatchEvent("click");
      await page.getByTestId("side").waitFor({ timeout });
      await video("plays");
    },
    /** Asks for a range by its times, as yyyy-mm-ddThh:mm:ss; `empty` waits for the word that there is nothing. */
    async range({ from, to, empty }) {
      if ((await page.locator("form.custom").count()) === 0) await page.getByTestId("replay-custom").click();
      const fields = page.locator("form.custom input");
      await fields.nth(0).fill(from);
      await fields.nth(1).fill(to);
      await page.getByTestId("replay-show").click();
      await page.waitForTimeout(300); // what played until now is gone
      await video(empty ? "none" : "plays");
      return sight();
    },
    /** Plays the range as MP4 or as HLS. */
    async as({ form }) {
      await page.getByTestId(`replay-${form}`).click();
      await page.waitForTimeout(300);
      await video("plays", 0.2);
    },
    seek: ({ at }) => seek(at),
    /** Plays on and looks at a picture in motion. */
    glimpse: () => sight(true),
    /** Plays to the end of the film. */
    async end() {
      await page.evaluate(() => {
        const v = document.querySelector("[data-testid='replay-video']");
        v.currentTime = v.duration - 0.3;
        return v.play();
      });
      await video("ended");
      await page.waitForTimeout(200);
      return sight();
    },
    /** Presses the way on from a gap. */
    async next() {
      await page.getByTestId("replay-next").click();
      await page.waitForFunction(() => !document.querySelector("[data-testid='replay-next']"), undefined, { timeout });
      await page.waitForTimeout(300);
      await video("plays");
      return sight();
    },
    /** Saves a snapshot of what is on the screen. */
    snapshot: () => save(page.getByTestId("replay-snapshot")),
    /** Clicks into the coverage bar, at a share of its width. */
    async bar({ share }) {
      const box = await page.getByTestId("coverage-bar").boundingBox();
      await page.mouse.click(box.x + box.width * share, box.y + box.height / 2);
      await page.waitForTimeout(500);
      return sight();
    },
  };
}
