// A gateway made of constants, for working on the console without one: node mock/server.mjs [port].
// FOOTAGE may name a film that ffmpeg can read; tiles and clips then show it, else a test pattern.
import { spawn, spawnSync } from "node:child_process";
import { createReadStream, existsSync, mkdtempSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const port = Number(process.argv[2] ?? 8080);
const root = fileURLToPath(new URL("../dist-mock", import.meta.url));
const work = mkdtempSync(join(tmpdir(), "skein-mock-"));
const film = join(work, "street.mp4");
const source = process.env.FOOTAGE
  ? ["-i", process.env.FOOTAGE]
  : ["-f", "lavfi", "-i", "testsrc2=size=768x576:rate=10"];
const encode = [
  "-t",
  "60",
  "-an",
  "-c:v",
  "libx264",
  "-preset",
  "veryfast",
  "-pix_fmt",
  "yuv420p",
  "-g",
  "20",
  "-movflags",
  "+faststart",
];
spawnSync("ffmpeg", ["-loglevel", "error", "-y", ...source, ...encode, film], { stdio: "inherit" });
const hls = [
  "-i",
  film,
  "-c",
  "copy",
  "-f",
  "hls",
  "-hls_time",
  "6",
  "-hls_list_size",
  "0",
  "-hls_segment_type",
  "fmp4",
];
spawn("ffmpeg", ["-loglevel", "error", "-y", ...hls, "-hls_flags", "program_date_time", join(work, "c.m3u8")], {
  stdio: "inherit",
});

const towns = ["白沙洲街道", "先锋街道", "金龙坪街道", "天马山街道", "黄茶岭街道", "岳屏镇", "湘江乡"];
const places = ["路口", "广场", "学校门口", "菜市场", "桥头", "公园东门"];
const units = [{ id: "yanfeng", name: "雁峰区", tier: "district" }];
const cameras = [];
const began = new Date(Date.now() - 5_400_000).toISOString();

function profile(state, codec, width, height, fps, kbps, more = {}) {
  return {
    state,
    codec,
    width,
    height,
    fps,
    kbps,
    since: began,
    delay_ms: 40,
    reconnects: 0,
    lost_packets: 0,
    ...more,
  };
}

function add(id, name, unit, kind, i) {
  const troubles = {
    4: ["offline", "auth_failed", "401 Unauthorized"],
    9: ["no_signal", "silent", "no bytes for 10 s after PLAY"],
    11: ["frozen", "no_key_frame", ""],
    14: ["edge_silent", "link", ""],
    17: ["paused", "", ""],
    21: ["connecting", "", ""],
    24: ["offline", "unreachable", "dial tcp 10.20.4.17:554: no route to host"],
    33: ["offline", "timeout", ""],
  };
  const [state, reason, detail] = troubles[i] ?? ["live", "", ""];
  const good = state === "live";
  const codec = i % 6 === 1 ? "H265" : "H264";
  const tag = state === "frozen" ? "freeze-" : good || state === "paused" ? "" : "dead-";
  const main =
    kind === "camera"
      ? profile(state, codec, 1920, 1080, good ? 25 : 0, good ? 3900 + i * 7 : 0, {
          clock_offset_ms: i % 5 ? i * 13 - 90 : undefined,
        })
      : undefined;
  const sub = profile(state, "H264", 640, 360, good ? 15 : 0, good ? 480 + i : 0, {
    reconnects: i % 4,
    lost_packets: (i * 7) % 23,
    clock_offset_ms: i === 7 ? -4300 : undefined,
  });
  const recording =
    kind === "camera"
      ? { wanted: true, active: good, last_write: new Date().toISOString(), backlog: i === 6 ? 41 : 0 }
      : { wanted: false, active: false };
  cameras.push({
    id: tag + id,
    name,
    kind,
    unit,
    grid: "",
    location: null,
    edge: "e1",
    state,
    reason,
    detail,
    since: began,
    profiles: main ? { main, sub } : { sub },
    recording,
    retention_days: 30,
  });
}

let n = 0;
towns.forEach((town, i) => {
  units.push({ id: `t${i}`, name: town, tier: "town", parent: "yanfeng" });
  for (let k = 0; k < 3; k++) add(`cam${n}`, `${town.slice(0, 2)}${places[(i + k) % 6]}`, `t${i}`, "camera", n++);
  for (let k = 0; k < 4; k++) {
    units.push({
      id: `t${i}c${k}`,
      name: `${town.slice(0, 2)}第${"一二三四"[k]}社区`,
      tier: "community",
      parent: `t${i}`,
    });
    add(`term${n}`, `${"一二三四"[k]}社区治理终端`, `t${i}c${k}`, "terminal", n++);
  }
});

const json = (res, status, body, headers = {}) => {
  res.writeHead(status, { "Content-Type": status < 400 ? "application/json" : "application/problem+json", ...headers });
  res.end(JSON.stringify(body));
};
/** The film lasts a minute, whatever is asked for. */
function timeline(camera, query) {
  const [from, to] = ["from", "to"].map((k) => Date.parse(query.get(k) ?? ""));
  const end = Math.min(to, from + 60_000);
  const iso = (ms) => new Date(ms).toISOString();
  const gaps = to > end ? [{ from: iso(end), to: iso(to), cause: "camera_off" }] : [];
  return { camera, from: iso(from), to: iso(to), spans: [{ from: iso(from), to: iso(end), at_s: 0 }], gaps };
}

const problem = (res, status, type) => json(res, status, { type, title: type, status });

function coverage(q) {
  const from = Date.parse(q.get("from"));
  const to = Date.parse(q.get("to"));
  const iso = (ms) => new Date(ms).toISOString();
  const holes = [
    [to - 41 * 60_000, to - 38 * 60_000, "camera_off"],
    [to - 22 * 60_000, to - 21.2 * 60_000, "network"],
    [to - 20_000, to, "unknown"],
    [to - 3.2 * 3_600_000, to - 2.9 * 3_600_000, "planned_work"],
  ].sort((a, b) => a[0] - b[0]);
  const spans = [];
  let at = from;
  for (const [a, b] of holes) {
    if (a > at) spans.push({ from: iso(at), to: iso(a) });
    at = Math.max(at, b);
  }
  const gaps = holes
    .map(([a, b, cause]) => ({ from: iso(a), to: iso(b), cause }))
    .filter((g) => g.from >= iso(from) && g.cause !== "unknown");
  return { from: iso(from), to: iso(to), cameras: q.getAll("camera").map((camera) => ({ camera, spans, gaps })) };
}

function send(req, res, file, type) {
  if (!existsSync(file) || !statSync(file).isFile()) return problem(res, 404, "not-found");
  const { size } = statSync(file);
  const range = /bytes=(\d+)-(\d*)/.exec(req.headers.range ?? "");
  const start = range ? Number(range[1]) : 0;
  const end = range?.[2] ? Math.min(size - 1, Number(range[2])) : size - 1;
  const headers = { "Content-Type": type, "Content-Length": end - start + 1, "Accept-Ranges": "bytes" };
  if (range) headers["Content-Range"] = `bytes ${start}-${end}/${size}`;
  res.writeHead(range ? 206 : 200, headers);
  createReadStream(file, { start, end }).pipe(res);
}

const types = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

function api(req, res, url, body) {
  const at = `${req.method} ${url.pathname}`;
  const cookie = /skein_session=ok/.test(req.headers.cookie ?? "");
  const may = ["inventory", "health", "live", "replay"];
  const me = { name: "李建国", role: "officer", unit: "yanfeng", kind: "user", may };
  if (at === "POST /v1/login") {
    if (body.password !== "demo") return problem(res, 401, "wrong-credentials");
    return json(res, 200, me, { "Set-Cookie": "skein_session=ok; HttpOnly; SameSite=Strict; Path=/" });
  }
  if (!cookie) return problem(res, 401, "unauthenticated");
  if (at === "POST /v1/logout") return json(res, 200, {}, { "Set-Cookie": "skein_session=; Max-Age=0; Path=/" });
  if (at === "GET /v1/me") return json(res, 200, me);
  if (at === "GET /v1/units") return json(res, 200, { units });
  if (at === "GET /v1/cameras") {
    const ids = url.searchParams.getAll("id");
    const list = ids.length > 0 ? cameras.filter((c) => ids.includes(c.id)) : cameras;
    return json(res, 200, { now: new Date().toISOString(), version: "mock.1", cameras: list });
  }
  if (at === "GET /v1/changes") {
    res.writeHead(200, { "Content-Type": "text/event-stream" });
    res.write('data: {"version":"mock.1"}\n\n');
    const beat = setInterval(() => res.write(":\n\n"), 2000);
    return req.socket.on("close", () => clearInterval(beat));
  }
  if (at === "GET /v1/coverage") return json(res, 200, coverage(url.searchParams));
  if (at === "POST /v1/retrievals") return json(res, 201, { id: "r1" });
  const clip = /^\/v1\/clips\/([^/]+)$/.exec(url.pathname)?.[1];
  if (!clip) return problem(res, 404, "not-found");
  const old = Date.now() - Date.parse(url.searchParams.get("from") ?? "") > 3_600_000;
  if (old && !url.searchParams.get("retrieval")) return problem(res, 403, "retrieval-required");
  if (clip.endsWith(".json")) return json(res, 200, timeline(clip.slice(0, -5), url.searchParams));
  if (clip.endsWith(".mp4") && url.searchParams.has("from")) return send(req, res, film, "video/mp4");
  if (clip.endsWith(".m3u8")) return send(req, res, join(work, "c.m3u8"), "application/vnd.apple.mpegurl");
  return send(req, res, join(work, normalize(clip)), "video/mp4");
}

createServer(async (req, res) => {
  const url = new URL(req.url, "http://mock");
  if (url.pathname === "/mock/street.mp4") return send(req, res, film, "video/mp4");
  if (!url.pathname.startsWith("/v1/")) {
    const file = join(root, normalize(url.pathname === "/" ? "/index.html" : url.pathname));
    return send(req, res, file, types[extname(file)] ?? "application/octet-stream");
  }
  let text = "";
  for await (const part of req) text += part;
  let body = {};
  try {
    body = JSON.parse(text);
  } catch {
    // no JSON
  }
  api(req, res, url, body);
}).listen(port, "127.0.0.1", () =>
  console.log(`http://127.0.0.1:${port} any user, password demo; ${readFileSync(film).length} bytes of film`),
);
