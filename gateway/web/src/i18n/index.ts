import i18next from "i18next";
import { useSyncExternalStore } from "react";
import type { Recording } from "../api/types";
import { remembered } from "../lib/remember";
import { parse, stamp } from "../lib/time";
import { en } from "./en";
import { zh } from "./zh";

export type Language = "zh" | "en";

const saved = remembered<Language>("skein.language", "zh", (v) => v === "zh" || v === "en");

void i18next.init({
  lng: saved.get(),
  fallbackLng: "zh",
  resources: { zh: { translation: zh }, en: { translation: en } },
  interpolation: { escapeValue: false }, // React escapes
  initAsync: false,
});
document.documentElement.lang = saved.get() === "zh" ? "zh-CN" : "en";

export function setLanguage(language: Language): void {
  saved.set(language);
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  void i18next.changeLanguage(language);
}

const subscribe = (listener: () => void) => {
  i18next.on("languageChanged", listener);
  return () => i18next.off("languageChanged", listener);
};

export type T = (key: string, values?: Record<string, unknown>) => string;

const translate: T = (key, values) => i18next.t(key, values) as string;

/** The texts and the language; the component renders again when it changes. */
export function useTexts(): { t: T; language: Language } {
  const language = useSyncExternalStore(subscribe, () => i18next.language as Language);
  return { t: translate, language };
}

/** The text of a reason code; an unknown code is shown as such rather than hidden. */
export function reasonText(t: T, code: string | undefined): string {
  if (!code) return "";
  const key = `reason.${code.replaceAll("-", "_")}`;
  return i18next.exists(key) ? t(key) : t("reason.other", { code });
}

/** The text of a key that may not exist, else what `or` says. */
export const textOr = (key: string, or: () => string): string => (i18next.exists(key) ? translate(key) : or());

export function causeText(t: T, cause: string): string {
  return i18next.exists(`cause.${cause}`) ? t(`cause.${cause}`) : cause;
}

/** Time without footage that nobody has to explain: it is not missing. */
const unowed = new Set(["not_yet_in_use", "not_yet_stored", "deleted"]);

export function gapText(t: T, cause: string): string {
  const text = causeText(t, cause);
  return unowed.has(cause) ? text : t("replay.gap", { cause: text });
}

/** What is being lost of a camera's footage right now, and why; empty if nothing is. */
export function lossText(t: T, r: Recording | null | undefined): string {
  if (!r?.loss) return "";
  const at = parse(r.loss.since);
  return t(r.active ? "health.lossOldest" : "health.lossAll", {
    cause: causeText(t, r.loss.cause),
    since: at === undefined ? "—" : stamp(at),
  });
}

export function roleText(t: T, role: string): string {
  return i18next.exists(`role.${role}`) ? t(`role.${role}`) : role;
}
