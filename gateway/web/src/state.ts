/** The console's shared state: who is logged in, the cameras, and whether the gateway answers. */
import { useEffect, useRef, useSyncExternalStore } from "react";
import { CameraStore, type Snapshot } from "./api/cameras";
import { listen } from "./api/changes";
import { ApiError, getJSON, observe, postJSON } from "./api/client";
import type { CameraList, Me, Unit } from "./api/types";
import { poll } from "./lib/poll";
import { remembered } from "./lib/remember";
import { onVisibility, visibleSince } from "./lib/visible";

export type Session = { phase: "checking" } | { phase: "out"; expired: boolean } | { phase: "in"; me: Me };

const figuresMs = 2000;

let session: Session = { phase: "checking" };
const listeners = new Set<() => void>();

function setSession(next: Session): void {
  session = next;
  for (const l of listeners) l();
}

export const cameras = new CameraStore({
  units: async () => (await getJSON<{ units: Unit[] | null }>("/v1/units", { timeoutMs: 5000 })).units ?? [],
  cameras: ({ cursor, ids = [] }) => {
    const query = new URLSearchParams(ids.map((id) => ["id", id]));
    if (cursor) query.set("cursor", cursor);
    return getJSON<CameraList>(`/v1/cameras${query.size > 0 ? `?${query}` : ""}`, { timeoutMs: 5000 });
  },
  listen,
});

/** Whether somebody logged in here: who did not need not be asked about, and the browser logs every refusal. */
const known = remembered<boolean>("skein.login", false, (v) => typeof v === "boolean");

/** Somebody who only looks uses the session too, and learns what the role allows by now. */
const renewMs = 60_000;
let renewing: (() => void) | undefined;

function leave(expired: boolean): void {
  known.set(false);
  renewing?.();
  renewing = undefined;
  cameras.stop();
  cameras.clear();
  setSession({ phase: "out", expired });
}

function enter(me: Me): void {
  known.set(true);
  setSession({ phase: "in", me });
  cameras.start();
  renewing ??= poll(renew, renewMs);
}

async function renew(signal: AbortSignal): Promise<void> {
  try {
    const me = await getJSON<Me>("/v1/me", { signal, timeoutMs: 5000 });
    if (session.phase !== "in" || signal.aborted) return;
    const changed = me.role !== session.me.role || me.unit !== session.me.unit || `${me.may}` !== `${session.me.may}`;
    if (changed) setSession({ phase: "in", me });
  } catch {
    // the feed of changes says that the gateway is away
  }
}

/** Wires the pieces; called once at start. */
export function start(): void {
  observe({
    reached: () => undefined,
    unreachable: () => undefined,
    unauthorized: () => {
      if (session.phase === "in") leave(true);
    },
  });
  onVisibility(() => cameras.pause(visibleSince() === 0));
  if (known.get()) void check();
  else leave(false);
}

/** Asks who we are, until there is an answer. */
async function check(): Promise<void> {
  try {
    enter(await getJSON<Me>("/v1/me", { timeoutMs: 5000 }));
  } catch (e) {
    const away = e instanceof ApiError && e.kind === "network";
    leave(false);
    known.set(away); // still to be asked
    if (away) setTimeout(() => session.phase === "out" && void check(), 2000);
  }
}

/** Logs in; throws ApiError. */
export async function login(user: string, password: string): Promise<void> {
  const answer = await postJSON<Me>("/v1/login", { user, password });
  enter({ ...answer, name: answer.name || user });
}

export async function logout(): Promise<void> {
  try {
    await postJSON("/v1/logout", {});
  } finally {
    leave(false);
  }
}

const subscribe = (listener: () => void) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};

export const useSession = (): Session => useSyncExternalStore(subscribe, () => session);
/** Keeps the figures of some cameras fresh while the page is seen; `ids` is asked each time. */
export function useFigures(ids: () => readonly string[]): void {
  const ask = useRef(ids);
  ask.current = ids;
  useEffect(() => poll(() => cameras.figures(ask.current()).catch(() => undefined), figuresMs), []);
}

export const useCameras = (): Snapshot => useSyncExternalStore(cameras.subscribe, cameras.get);
