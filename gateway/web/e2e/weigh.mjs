// What a page of the console holds, and what may make it hold more: layouts, pages and replays, again and again.

/** What is left after the garbage is gone: DOM nodes, event listeners, script heap, and <video>s outside the document. */
export async function weigh(page) {
  const cdp = await page.context().newCDPSession(page);
  try {
    await cdp.send("HeapProfiler.enable");
    for (let i = 0; i < 3; i++) {
      await cdp.send("HeapProfiler.collectGarbage");
      await page.waitForTimeout(200); // what finalizers let go is garbage of the next round
    }
    const { nodes, jsEventListeners } = await cdp.send("Memory.getDOMCounters");
    const prototype = await cdp.send("Runtime.evaluate", { expression: "HTMLVideoElement.prototype" });
    const { objects } = await cdp.send("Runtime.queryObjects", { prototypeObjectId: prototype.result.objectId });
    const count = "function () { return this.filter((v) => !v.isConnected).length }";
    const detached = await cdp.send("Runtime.callFunctionOn", {
      objectId: objects.objectId,
      functionDeclaration: count,
      returnByValue: true,
    });
    const { usedSize } = await cdp.send("Runtime.getHeapUsage");
    return { nodes, listeners: jsEventListeners, heap: usedSize, videos: detached.result.value };
  } finally {
    await cdp.detach();
  }
}

/** Until the wall has n tiles in the document. */
const tiles = (page, n) =>
  page.waitForFunction((want) => document.querySelectorAll("[data-testid^='tile-'][data-state]").length === want, n);

const press = (page, id) => page.getByTestId(id).dispatchEvent("click");

/** So many changes between 4 and 9 tiles, and back to 4. */
export async function layouts(page, n) {
  for (let i = 0; i < n; i++) {
    const size = i % 2 === 0 ? 9 : 4;
    await press(page, `layout-${size}`);
    await tiles(page, size);
    await page.waitForTimeout(100); // for pictures to begin
  }
  await press(page, "layout-4");
  await tiles(page, 4);
}

/** So many changes of page, and back to the wall of 4. */
export async function pages(page, n) {
  const stations = ["cameras", "wall", "viewers", "wall"];
  const there = { cameras: "state-all", viewers: "viewers", wall: "tile-0" };
  for (let i = 0; i < n; i++) {
    const to = stations[i % stations.length];
    await press(page, `nav-${to}`);
    await page.getByTestId(there[to]).waitFor();
    await page.waitForTimeout(100);
  }
  await press(page, "nav-wall");
  await tiles(page, 4);
}

/** So many replays of the first tiles' footage, by turns as MP4 and as HLS, each until its picture moves. */
export async function replays(page, n) {
  for (let i = 0; i < n; i++) {
    await press(page, `tile-open-${i % 4}`);
    await page.getByTestId("replay-video").waitFor();
    if (i % 2 === 1) await press(page, "replay-hls");
    await page.waitForFunction(() => document.querySelector("[data-testid='replay-video']")?.currentTime > 0.1);
    await press(page, "side-close");
    await page.getByTestId("side").waitFor({ state: "detached" });
  }
  await tiles(page, 4);
}

/** Until no notice hangs over the page. */
export const calm = (page) =>
  page.waitForFunction(() => document.querySelectorAll(".toast, .away, .side").length === 0);
