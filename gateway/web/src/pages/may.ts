import type { Me } from "../api/types";

export const pages = ["wall", "cameras", "viewers", "publish"] as const;
export type Page = (typeof pages)[number];

/** The action that a page is for, as the gateway names it (gateway/access). */
export const needs: Readonly<Record<Page, string>> = {
  wall: "live",
  cameras: "inventory",
  viewers: "metrics",
  publish: "push",
};

/** Whether somebody may do something; the gateway checks it again. */
export const may = (me: Pick<Me, "may">, action: string): boolean => me.may?.includes(action) ?? false;

export const mayOpen = (me: Pick<Me, "may">, page: Page): boolean => may(me, needs[page]);

/** The page that an address names, else the first one that is for these eyes. */
export function pageOf(hash: string, me: Pick<Me, "may">): Page {
  const named = pages.find((p) => hash === `#/${p}` || hash.startsWith(`#/${p}/`));
  return named ?? pages.find((p) => mayOpen(me, p)) ?? "wall";
}
