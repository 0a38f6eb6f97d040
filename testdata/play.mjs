// Plays clips in a real Chromium, playlists with hls.js: from their beginning, and from just before their end.
//
//   BASE_URL=http://127.0.0.1:8080 TOKEN=… node testdata/play.mjs /v1/clips/a.mp4?… /v1/clips/b.m3u8?…
//
// Environment: CHROMIUM (default /usr/bin/chromium). Prints one line of JSON: for each clip its duration in seconds,
// width, pictures shown, bytes of sound decoded, and an error if it did not play.
import { createRequire } from "node:module";
import { resolve } from "node:path";

const require = createRequire(resolve("gateway/web/package.json"));
const { chromium } = require("playwright-core");
const args = ["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args });
const results = [];
try {
  const page = await browser.newPage({
    bypassCSP: true, // hls.js is put into the page from outside
    extraHTTPHeaders: { Authorization: `Bearer ${process.env.TOKEN}` },
  });
  await page.goto(`${process.env.BASE_URL}/healthz`);
  await page.addScriptTag({ path: resolve("gateway/web/node_modules/hls.js/dist/hls.min.js") });
  for (const url of process.argv.slice(2)) {
    results.push(
      await page.evaluate(async (src) => {
        const video = document.createElement("video");
        const until = (what, done) =>
          new Promise((good, bad) => {
            const end = performance.now() + 20_000;
            const look = () => {
              if (video.error) return bad(new Error(`${what}: ${video.error.message}`));
              if (done()) return good();
              if (performance.now() > end) return bad(new Error(`${what}: not within 20 s, at ${video.currentTime}`));
              setTimeout(look, 20);
            };
            look();
          });
        const result = { src };
        try {
          let hls;
          if (src.includes(".m3u8?")) {
            hls = new Hls();
            hls.on(Hls.Events.ERROR, (_, e) => {
              if (e.fatal) result.error = `${e.type} ${e.details}`;
            });
            hls.loadSource(src);
            hls.attachMedia(video);
          } else {
            video.src = src;
          }
          document.body.replaceChildren(video);
          await until("open", () => video.readyState >= 2);
          result.duration = video.duration;
          result.width = video.videoWidth;
          await video.play();
          await until("play", () => video.currentTime > 0.5);
          result.sound = video.webkitAudioDecodedByteCount;
          video.currentTime = video.duration - 1;
          await until("play after a seek", () => !video.seeking && video.currentTime > video.duration - 0.5);
          await until("end", () => video.ended);
          result.frames = video.getVideoPlaybackQuality().totalVideoFrames;
          hls?.destroy();
        } catch (e) {
          result.error = e.message;
        }
        return result;
      }, url),
    );
  }
} finally {
  await browser.close();
}
console.log(JSON.stringify(results));
