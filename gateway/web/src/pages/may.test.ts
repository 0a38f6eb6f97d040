import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { mayOpen, needs, pageOf, pages } from "./may";

/** The roles of the gateway and what each may do. */
function roles(): Map<string, string[]> {
  const source = readFileSync(new URL("../../../access/principal.go", import.meta.url), "utf8");
  const actions = new Map([...source.matchAll(/(\w+)\s+Action = "(\w+)"/g)].map((m) => [m[1], m[2] as string]));
  const names = new Map([...source.matchAll(/(\w+)\s+Role = "(\w+)"/g)].map((m) => [m[1], m[2] as string]));
  const lists = [...source.matchAll(/case (\w+):\s*return \[\]Action{([^}]*)}/g)];
  return new Map(
    lists.map((m) => [
      names.get(m[1]) ?? "",
      (m[2] ?? "").split(",").map((a) => actions.get(a.trim()) ?? `no such action ${a}`),
    ]),
  );
}

describe("pages", () => {
  it("ask for actions that the gateway knows", () => {
    const known = new Set([...roles().values()].flat());
    for (const page of pages) expect(known, page).toContain(needs[page]);
  });
  it.each([
    ["admin", "wall cameras viewers publish"],
    ["officer", "wall cameras"],
    ["investigator", "wall cameras"],
    ["operator", "wall cameras viewers publish"],
    ["auditor", "cameras"],
  ])("of a role %s are %s, and the first of them is where one lands", (role, want) => {
    const me = { may: roles().get(role) };
    const open = pages.filter((p) => mayOpen(me, p));
    expect(open.join(" ")).toBe(want);
    expect(pageOf("", me)).toBe(open[0]);
    expect(pageOf("#/", me)).toBe(open[0]);
  });
  it("stay what the address says, so that a page not permitted is refused and not another one shown", () => {
    expect(pageOf("#/wall", { may: ["inventory"] })).toBe("wall");
    expect(mayOpen({ may: ["inventory"] }, "wall")).toBe(false);
    expect(pageOf("#/wall/cam-01", { may: ["inventory", "live"] })).toBe("wall");
    expect(pageOf("#/cameras/faulty", { may: ["inventory", "live"] })).toBe("cameras");
    expect(pageOf("#/wallflower", { may: ["inventory"] })).toBe("cameras");
    expect(mayOpen({}, "cameras")).toBe(false);
  });
});
