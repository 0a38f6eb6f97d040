/** Which cameras the health page shows, as its address has it: one state, all faults, or all not measured. */
import { type Badge, badges, faulty, unmeasured } from "../live/tile";

export type Filter = Badge | "faulty" | "unmeasured";

export const passes = (filter: Filter | undefined, state: Badge): boolean => {
  if (filter === undefined) return true;
  if (filter === "faulty") return faulty(state);
  return filter === "unmeasured" ? unmeasured.has(state) : state === filter;
};

export const camerasOf = (filter: Filter | undefined): string => (filter ? `#/cameras/${filter}` : "#/cameras");

/** The filter of an address; undefined for none and for one that is not known. */
export function filterOf(hash: string): Filter | undefined {
  const word = /^#\/cameras\/([a-z_]+)$/.exec(hash)?.[1];
  return ([...badges, "faulty", "unmeasured"] as Filter[]).find((f) => f === word);
}
