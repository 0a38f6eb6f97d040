import { reasonText, type T, textOr } from "../i18n";
import type { Row, Trouble } from "./judge";
import { recentMs } from "./track";

/** Reasons are told from the viewer's side; some read differently where somebody else sees them. */
export const whyText = (t: T, code: string | undefined): string =>
  code ? textOr(`viewers.reason.${code.replaceAll("-", "_")}`, () => reasonText(t, code)) : "";

export const dropText = (t: T, reason: string): string =>
  textOr(`viewers.drop.${reason}`, () => t("reason.other", { code: reason }));

export function troubleText(t: T, { what, n }: Trouble): string {
  const value = what === "loss" ? n.toFixed(1) : Math.round(n);
  return t(`viewers.trouble.${what}`, { n: value, s: Math.round(recentMs / 1000) });
}

/** Why a viewer is not measured, where that is known. */
export function noteText(t: T, row: Row, name: (id: string) => string): string {
  const { session } = row;
  if (session.publishes) return t("viewers.publishes", { name: name(session.publishes) });
  if (!session.connected) return t("viewers.connecting");
  if (row.tiles.length === 0) return t("viewers.idle");
  return row.tiles.every((tile) => !tile.slot.viewer) ? t("viewers.unreported") : "";
}
