import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { badges } from "../live/tile";
import { some } from "../lib/names";
import { en } from "./en";
import type { T } from ".";
import { zh } from "./zh";

const flat = (o: object, at = ""): [string, string][] =>
  Object.entries(o).flatMap(([k, v]) => (typeof v === "string" ? [[`${at}${k}`, v]] : flat(v, `${at}${k}.`)));

/** The string constants of a type in a Go package of this repository: the words other parts really send. */
function goWords(folder: string, type: string): string[] {
  const root = new URL(`../../../../${folder}/`, import.meta.url);
  const files = readdirSync(root).filter((name) => name.endsWith(".go") && !name.endsWith("_test.go"));
  const source = files.map((name) => readFileSync(new URL(name, root), "utf8")).join("\n");
  const typed = new RegExp(`\\b${type}\\s*=\\s*"([a-z0-9_-]+)"`, "g");
  return [...source.matchAll(typed)].map((m) => m[1] as string);
}

/** The Chinese texts, as i18n/index would have them in a browser. */
const t: T = (key, values = {}) =>
  (new Map(flat(zh)).get(key) ?? key).replace(/{{(\w+)}}/g, (_, name: string) => String(values[name]));

describe("texts", () => {
  it("are there in both languages with the same values", () => {
    const values = (s: string) => [...s.matchAll(/{{(\w+)}}/g)].map((m) => m[1]).sort();
    const english = new Map(flat(en));
    for (const [key, text] of flat(zh)) {
      expect(english.has(key), key).toBe(true);
      expect(values(english.get(key) ?? ""), key).toEqual(values(text));
    }
    expect(english.size).toBe(flat(zh).length);
  });
  it("name every state", () => {
    for (const badge of badges) expect(zh.state).toHaveProperty(badge);
  });
  it.each([
    ["edge/status", "Reason", zh.reason],
    ["gateway/relay", "Code", zh.reason],
    ["recorder/segment", "Cause", zh.cause],
    ["edge/status", "State", zh.state],
    ["gateway/access", "Role", zh.role],
  ])("explain every word of %s %s", (folder, type, texts) => {
    const words = goWords(folder, type);
    expect(words.length).toBeGreaterThan(4);
    for (const word of words) {
      const known = word.replaceAll("-", "_") in texts;
      expect(known, word).toBe(true);
    }
  });
  it("say it in the words of the trade, one word for one thing", () => {
    const texts = new Map([
      ...flat(zh).map(([k, v]) => [`zh ${k}`, v]),
      ...flat(en).map(([k, v]) => [`en ${k}`, v]),
    ] as [string, string][]);
    const words: [string, string][] = [
      ["zh app.tagline", "视频与感知接入网关"],
      ["zh tour.wall", "整墙轮巡"],
      ["zh replay.title", "录像回放"],
      ["zh past.title", "即时回放"],
      ["zh wall.enlarge", "放大查看"],
      ["zh replay.covered", "录像完整率 {{percent}}%"],
      ["zh replay.recordedTo", "录像已入库至 {{time}}"],
      ["zh health.since", "状态起始时间"],
      ["zh health.backlog", "待上传片段"],
      ["zh health.stalled", "录像中断"],
      ["zh health.rate", "出图率（已检测 {{n}} 路）"],
      ["zh health.unmeasured", "未检测"],
      ["zh health.notMeasured", "未检测"],
      ["zh health.bad", "异常"],
      ["zh state.edge_silent", "边缘节点失联"],
      ["zh state.not_permitted", "无权查看"],
      ["zh cause.edge_down", "边缘节点停机"],
      ["zh reason.not_found", "设备上没有该码流（检查通道号或路径）"],
      ["zh reason.garbage", "设备应答异常（非标准 RTSP）"],
      ["zh reason.no_rtp", "设备应答异常（非标准 RTP）"],
      ["zh tour.left", "跳过 {{n}} 路：{{names}}"],
      ["zh viewers.bad", "画面异常"],
      ["zh viewers.bears", "可用带宽"],
      ["zh viewers.queue", "排队时延 ms"],
      ["zh viewers.arrives", "接收码率 kbps"],
      ["zh viewers.rtt", "往返时延 ms"],
      ["en viewers.bears", "Link capacity"],
      ["en viewers.arrives", "Received kbps"],
      ["en health.off", "not recorded"],
      ["en health.since", "In this state since"],
      ["en wall.retry", "retrying in {{seconds}} s"],
    ];
    for (const [key, text] of words) expect(texts.get(key), key).toBe(text);
    for (const [key, text] of flat(zh)) {
      expect(text, key).not.toMatch(/回看|未测|}} 台|}} %|[一-龥], /);
      expect(text, key).not.toMatch(/边缘(?!节点)/);
    }
  });
  it("name three of many and say that there are more", () => {
    const names = ["岳屏公园北门", "罗家湾路口", "环城南路口", "东风社区"];
    expect(t("tour.left", { n: 4, names: some(t, names) })).toBe("跳过 4 路：岳屏公园北门、罗家湾路口、环城南路口 等");
    expect(some(t, names.slice(0, 2))).toBe("岳屏公园北门、罗家湾路口");
  });
});
