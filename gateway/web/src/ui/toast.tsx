import { useSyncExternalStore } from "react";
import { ApiError } from "../api/client";
import type { T } from "../i18n";

export interface Toast {
  id: number;
  tone: "error" | "good" | "info";
  text: string;
}

let toasts: readonly Toast[] = [];
let last = 0;
const listeners = new Set<() => void>();

function set(next: readonly Toast[]): void {
  toasts = next;
  for (const l of listeners) l();
}

/** Shows a line for some seconds; the same text again only renews it. */
export function toast(tone: Toast["tone"], text: string): void {
  const id = ++last;
  set([...toasts.filter((t) => t.text !== text), { id, tone, text }].slice(-4));
  setTimeout(() => set(toasts.filter((t) => t.id !== id)), tone === "error" ? 8000 : 4000);
}

/** The text for a failed call. */
export function failureText(t: T, e: unknown): string {
  if (!(e instanceof ApiError)) return t("error.generic", { detail: String(e) });
  if (e.kind === "network") return t("error.network");
  if (e.kind === "forbidden") return t("error.forbidden");
  if (e.kind === "limited") return t("error.limited");
  return t("error.generic", { detail: e.message });
}

const subscribe = (l: () => void) => {
  listeners.add(l);
  return () => listeners.delete(l);
};

export function Toasts() {
  const list = useSyncExternalStore(subscribe, () => toasts);
  return (
    <div className="toasts" aria-live="assertive" aria-atomic="false">
      {list.map((t) => (
        <div
          key={t.id}
          className={`toast ${t.tone}`}
          data-testid="toast"
          role={t.tone === "error" ? "alert" : "status"}
        >
          {t.text}
        </div>
      ))}
    </div>
  );
}
