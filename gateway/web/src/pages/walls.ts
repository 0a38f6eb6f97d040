/** Named walls of a user, kept in this browser, and their exchange as a file. Pure but for where they are kept. */
import { remembered } from "../lib/remember";
import { type Layout, valid } from "./layout";

export interface SavedWall {
  name: string;
  layout: Layout;
  /** RFC 3339. */
  saved: string;
}

export const mostWalls = 50;
export const longestName = 40;

function validWall(v: unknown): boolean {
  const w = v as SavedWall;
  return (
    typeof w === "object" &&
    w !== null &&
    typeof w.name === "string" &&
    w.name.trim() !== "" &&
    w.name.length <= longestName &&
    typeof w.saved === "string" &&
    valid(w.layout)
  );
}

const validWalls = (v: unknown) => Array.isArray(v) && v.length <= mostWalls && v.every(validWall);

export const wallsOf = (user: string) => remembered<readonly SavedWall[]>(`skein.walls.${user}`, [], validWalls);

const byName = (a: SavedWall, b: SavedWall) => a.name.localeCompare(b.name, "zh", { numeric: true });

/** Adds a wall; one of the same name is replaced. */
export function keep(walls: readonly SavedWall[], wall: SavedWall): readonly SavedWall[] {
  return [...walls.filter((w) => w.name !== wall.name), wall].sort(byName).slice(0, mostWalls);
}

export function drop(walls: readonly SavedWall[], name: string): readonly SavedWall[] {
  return walls.filter((w) => w.name !== name);
}

const kind = "skein-walls";

/** The text of a file of walls. */
export function toFile(walls: readonly SavedWall[]): string {
  return `${JSON.stringify({ kind, version: 1, walls }, null, 2)}\n`;
}

/** The walls of a file's text, without what is no good in it; undefined if it is no such file. */
export function fromFile(text: string): { walls: SavedWall[]; refused: number } | undefined {
  try {
    const file = JSON.parse(text) as { kind?: unknown; version?: unknown; walls?: unknown };
    if (file?.kind !== kind || file.version !== 1 || !Array.isArray(file.walls)) return undefined;
    const walls = file.walls.filter(validWall).map(({ name, layout, saved }: SavedWall) => ({ name, layout, saved }));
    return { walls, refused: file.walls.length - walls.length };
  } catch {
    return undefined;
  }
}
