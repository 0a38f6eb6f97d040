import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { badges } from "../live/tile";
import { en } from "./en";
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
});
