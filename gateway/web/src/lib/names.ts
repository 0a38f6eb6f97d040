import type { T } from "../i18n";

/** The first names of a list, and that there are more if there are. */
export function some(t: T, names: readonly string[], most = 3): string {
  const first = names.slice(0, most).join(t("tour.list"));
  return names.length > most ? t("tour.andOthers", { names: first }) : first;
}
