import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { mayDownload, takers } from "./may";

it("lets the roles take footage away that the gateway lets", () => {
  const source = readFileSync(new URL("../../../access/principal.go", import.meta.url), "utf8");
  const roles = new Map([...source.matchAll(/(\w+)\s+Role = "(\w+)"/g)].map((m) => [m[1], m[2]]));
  const may = [...source.matchAll(/case (\w+):\s*return \[\]Action{([^}]*)}/g)];
  const taking = may.filter((m) => /\bDownload\b/.test(m[2] ?? "")).map((m) => roles.get(m[1]));
  expect(may.length).toBe(roles.size);
  expect(taking.sort()).toEqual([...takers].sort());
  expect([mayDownload({ role: "investigator" }), mayDownload({ role: "officer" })]).toEqual([true, false]);
});
