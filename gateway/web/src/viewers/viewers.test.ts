import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { en } from "../i18n/en";
import { zh } from "../i18n/zh";
import { judge, level, limits, type Row, troubles, worstFirst } from "./judge";
import { streamRows } from "./streams";
import { advance, kbpsBetween, noTracks, pointOf, type Tracks } from "./track";
import { trend } from "./trend";
import type { LiveSession, LiveSlot, LiveStream } from "./types";

const start = Date.parse("2026-11-23T12:00:00Z");
const iso = (s: number) => new Date(start + s * 1000).toISOString();

const slot = (more: Partial<LiveSlot> = {}): LiveSlot => ({
  slot: 0,
  camera: "gate",
  profile: "sub",
  packets: 100,
  bytes: 100_000,
  first_frame_ms: 30,
  nacked: 0,
  resent: 0,
  loss_percent: 0,
  rtt_ms: 5,
  ...more,
});

const viewer = (at: number, more: Partial<NonNullable<LiveSlot["viewer"]>> = {}) => ({
  at: iso(at),
  fps: 15,
  decoded: 15 * at,
  dropped: 0,
  freezes: 0,
  frozen_ms: 0,
  jitter_ms: 3,
  ...more,
});

const session = (more: Partial<LiveSession> = {}): LiveSession => ({
  id: "s",
  viewer: "li",
  wall: true,
  since: iso(-600),
  connected: true,
  path: { kbps: 500, loss_percent: 0, queue_ms: 2 },
  slots: [slot()],
  ...more,
});

/** One viewer polled every two seconds, reporting every four; `more` and `of` change what it is at a second. */
function watched(
  seconds: number,
  more: (s: number) => Partial<LiveSession> = () => ({}),
  of: (s: number) => Partial<LiveSlot> = () => ({}),
): Row {
  let tracks: Tracks = noTracks;
  for (let s = 0; s <= seconds; s += 2) {
    const one = slot({ bytes: s * 125_000, viewer: viewer(s - (s % 4)), ...of(s) });
    tracks = advance(tracks, { now: iso(s), sessions: [session({ slots: [one], ...more(s) })], streams: [] });
  }
  const track = tracks.sessions.get("s");
  return judge(track as NonNullable<typeof track>) as Row;
}

const wrongs = (r: Row) => r.troubles.map((w) => w.what);

describe("judging a viewer", () => {
  it("calls good what is measured in every respect and within limits", () => {
    const r = watched(20);
    expect([r.grade, r.troubles]).toEqual(["good", []]);
    expect(r.tiles[0]).toMatchObject({ kbps: 1000, fps: 15, freezes: 0, measured: true, still: false });
    expect([r.path.kbps, r.borneKbps, r.rttMs]).toEqual([500, undefined, 5]);
  });
  it.each<[string, Row]>([
    ["the first poll", watched(0)],
    ["no feedback of the path", watched(20, () => ({ path: { kbps: 0, loss_percent: 0, queue_ms: 0 } }))],
    ["no reports", watched(20, undefined, () => ({ viewer: undefined }))],
    ["reports that stopped", watched(40, undefined, (s) => ({ viewer: viewer(Math.min(s, 20)) }))],
    ["no camera shown", watched(20, () => ({ slots: null }))],
    ["a publisher", watched(20, () => ({ slots: null, publishes: "phone" }))],
    ["a camera that sends nothing", watched(20, undefined, () => ({ bytes: 9 }))],
    ["not connected yet", watched(8, () => ({ connected: false, since: iso(0) }))],
  ])("never calls good: %s", (_, r) => {
    expect([r.grade, r.troubles]).toEqual(["unmeasured", []]);
  });
  it.each<[string, Row, string[]]>([
    [
      "freezes in the last reports",
      watched(20, undefined, (s) => ({ viewer: viewer(s, { freezes: s > 15 ? 7 : 4 }) })),
      ["freezes"],
    ],
    [
      "a queue in one of the last polls",
      watched(20, (s) => ({ path: { kbps: 500, loss_percent: 0, queue_ms: s === 18 ? 101 : 1 } })),
      ["queue"],
    ],
    ["loss", watched(20, () => ({ path: { kbps: 500, loss_percent: 2.1, queue_ms: 100 } })), ["loss"]],
    [
      "loss told by receiver reports alone",
      watched(20, () => ({ path: { kbps: 0, loss_percent: 9, queue_ms: 0 } })),
      ["loss"],
    ],
    ["a link too slow", watched(20, undefined, () => ({ reason: "link-slow" })), ["slow"]],
    [
      "no picture of what arrives",
      watched(20, undefined, (s) => ({ viewer: viewer(s - (s % 4), { decoded: 400, fps: 0 }) })),
      ["still"],
    ],
    [
      "feedback that ended",
      watched(20, (s) => ({ path: { kbps: s > 12 ? 0 : 500, loss_percent: 0, queue_ms: 0 } })),
      ["silent"],
    ],
    ["a connection that never stood", watched(20, () => ({ connected: false, since: iso(0) })), ["away"]],
    ["a codec the viewer lacks", watched(20, undefined, () => ({ bytes: 0, reason: "codec-not-offered" })), ["dark"]],
    [
      "a transcoding that cannot be had",
      watched(20, undefined, () => ({ bytes: 0, profile: undefined, reason: "transcodes-busy" })),
      ["dark"],
    ],
  ])("marks %s", (_, r, want) => {
    expect([r.grade, wrongs(r)]).toEqual(["bad", want]);
  });
  it("takes a change of camera, or its own silence, for no freeze", () => {
    const toured = watched(20, undefined, (s) => ({
      camera: `c${s >> 2}`,
      viewer: viewer(s - (s % 4), { freezes: s }),
    }));
    expect(toured.grade).toBe("good");
    const dead = watched(20, undefined, (s) => ({ bytes: 9, viewer: viewer(s - (s % 4), { decoded: 9, fps: 0 }) }));
    expect(wrongs(dead)).toEqual([]);
  });
  it("counts a new connection's freezes from its first report on", () => {
    const r = watched(
      4,
      () => ({ since: iso(0) }),
      () => ({ viewer: viewer(2, { freezes: 3 }) }),
    );
    expect(r.troubles).toEqual([{ what: "freezes", n: 3 }]);
  });
  it("tells sounds from pictures", () => {
    const r = watched(8, () => ({
      slots: [slot(), slot({ slot: 1, audio: true, reason: "codec-not-offered", bytes: 0 })],
    }));
    expect([r.tiles.length, r.sounds.length, r.grade]).toEqual([1, 1, "unmeasured"]);
  });
  it("sorts the worst first", () => {
    const row = (id: string, r: Row): Row => ({ ...r, session: { ...r.session, id } });
    const rows = [
      row("good", watched(20)),
      row("unknown", watched(0)),
      row(
        "queue",
        watched(20, () => ({ path: { kbps: 500, loss_percent: 0, queue_ms: 900 } })),
      ),
      row(
        "still",
        watched(20, undefined, (s) => ({ viewer: viewer(s - (s % 4), { decoded: 400, fps: 0 }) })),
      ),
      row(
        "both",
        watched(20, () => ({ path: { kbps: 500, loss_percent: 3, queue_ms: 101 } })),
      ),
    ];
    expect(rows.sort(worstFirst).map((r) => r.session.id)).toEqual(["still", "both", "queue", "unknown", "good"]);
  });
  it("knows levels", () => {
    const of = [undefined, 0, 100, 101, 699, 700].map((v) => level(v, limits.queueMs));
    expect(of).toEqual(["none", "fine", "fine", "high", "high", "worst"]);
  });
});

describe("tracks", () => {
  const list = (s: number, ...sessions: LiveSession[]) => ({ now: iso(s), sessions, streams: [] });
  it("keep two minutes of points and some seconds of readings, of those who are there", () => {
    let tracks = advance(noTracks, list(0, session({ id: "gone" })));
    for (let s = 2; s <= 200; s += 2) tracks = advance(tracks, list(s, session()));
    const track = tracks.sessions.get("s");
    expect([...tracks.sessions.keys()]).toEqual(["s"]);
    expect([track?.points.length, track?.recent.length]).toEqual([61, 9]);
  });
  it("begin anew when the gateway's clock steps back", () => {
    const tracks = advance(advance(noTracks, list(100, session())), list(50, session()));
    expect(tracks.now).toBe(start + 50_000);
    expect(tracks.sessions.get("s")?.points.length).toBe(1);
  });
  it("take no zero for a measurement", () => {
    const of = (kbps: number, loss_percent: number) =>
      pointOf(1, session({ path: { kbps, loss_percent, queue_ms: 0 } }));
    expect(of(0, 0)).toEqual({ at: 1 });
    expect(of(0, 100)).toEqual({ at: 1, loss: 100 });
    expect(of(9, 0)).toEqual({ at: 1, kbps: 9, loss: 0, queueMs: 0 });
  });
  it("make rates of totals that went on only", () => {
    const from = { at: 0, bytes: 1000 };
    expect(kbpsBetween(from, { at: 2000, bytes: 251_000 })).toBe(1000);
    expect(kbpsBetween(from, { at: 2000, bytes: 1000 })).toBe(0);
    expect(kbpsBetween(from, { at: 2000, bytes: 999 })).toBeUndefined();
    expect(kbpsBetween(from, { at: 100, bytes: 2000 })).toBeUndefined();
    expect(kbpsBetween(undefined, { at: 2000, bytes: 2000 })).toBeUndefined();
  });
});

describe("streams", () => {
  const stream = (more: Partial<LiveStream>): LiveStream => ({
    camera: "gate",
    profile: "sub",
    viewers: 1,
    packets: 100,
    bytes: 0,
    nacked: 0,
    resent: 0,
    first_frame_ms: 0,
    ...more,
  });
  it("are rows with rates and shares, what was sent again most on top", () => {
    let tracks = noTracks;
    for (let s = 0; s <= 10; s += 2) {
      const again = stream({
        variant: "h264",
        bytes: s * 25_000,
        resent: 4,
        first_frame_ms: 12.5,
        drops: { a: 1, b: 9 },
      });
      const streams = [stream({}), again, stream({ profile: "main", packets: 0 })];
      tracks = advance(tracks, { now: iso(s), sessions: [], streams });
    }
    const rows = streamRows(tracks);
    expect(rows.map((r) => r.key)).toEqual(["gate/sub/h264", "gate/main", "gate/sub"]);
    expect(rows[0]).toMatchObject({
      kbps: 200,
      again: 4,
      firstMs: 12.5,
      drops: [
        ["b", 9],
        ["a", 1],
      ],
    });
    expect(rows[1]).toMatchObject({ kbps: 0, again: undefined, firstMs: undefined, drops: [] });
  });
});

describe("the trend", () => {
  const p = (s: number, kbps?: number, queueMs = 0, loss = 0) =>
    kbps === undefined ? { at: s * 1000 } : { at: s * 1000, kbps, queueMs, loss };
  it("is broken where nothing was measured and coloured by the limits", () => {
    const points = [p(0, 100), p(2, 100), p(4), p(6, 50, 175, 3), p(8, 50, 2000, 3), p(30, 50), p(32, 0.1, 0, 50)];
    const { strokes, columns, most } = trend(points, 120_000, 120, 20, 12);
    expect(most).toBe(100);
    expect(strokes.map((s) => s.level)).toEqual(["fine", "high", "worst"]);
    expect(strokes[0]?.d).toBe("M0 1L2 1");
    expect(columns.map((c) => [c.height, c.level])).toEqual([
      [1, "fine"],
      [1, "fine"],
      [6, "high"],
      [12, "worst"],
      [1, "fine"],
      [1, "fine"],
    ]);
  });
  it("draws one line of what belongs together, and nothing of nothing", () => {
    const { strokes } = trend([p(0, 9), p(2, 9), p(4, 9), p(6, 9)], 120_000, 120, 20, 12);
    expect(strokes.map((s) => s.d)).toEqual(["M0 1L2 1L4 1L6 1"]);
    expect(trend([p(0)], 1000, 120, 20, 12)).toEqual({ strokes: [], columns: [], most: 1 });
  });
});

/** The Go sources of a package of this repository. */
function goSource(folder: string): string {
  const root = new URL(`../../../../${folder}/`, import.meta.url);
  const files = readdirSync(root).filter((name) => name.endsWith(".go") && !name.endsWith("_test.go"));
  return files.map((name) => readFileSync(new URL(name, root), "utf8")).join("\n");
}

describe("words", () => {
  it("say every trouble and every reason for a drop", () => {
    for (const what of troubles)
      expect(
        [zh, en].every((w) => what in w.viewers.trouble),
        what,
      ).toBe(true);
    const list = /func \(d dropReason\) String\(\) string {\s*return \[...\]string{([^}]*)}/.exec(
      goSource("gateway/relay"),
    );
    const reasons = [...(list?.[1] ?? "").matchAll(/"(\w+)"/g)].map((m) => m[1] as string);
    expect(reasons.length).toBeGreaterThan(4);
    expect(Object.keys(zh.viewers.drop).sort()).toEqual(reasons.sort());
  });
});
