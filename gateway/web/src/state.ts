/** The console's shared state: who is logged in, the cameras, and whether the gateway answers. */
import { useSyncExternalStore } from "react";
import { CameraStore, type Snapshot } from "./api/cameras";
import { ApiError, getJSON, observe, postJSON } from "./api/client";
import type { CameraList, Me, Unit } from "./api/types";
import { onVisibility, visibleSince } from "./lib/visible";

export type Session = { phase: "checking" } | { phase: "out"; expired: boolean } | { phase: "in"; me: Me };

let session: Session = { phase: "checking" };
const listeners = new Set<() => void>();

function setSession(next: Session): void {
  session = next;
  for (const l of listeners) l();
}

export const cameras = new CameraStore({
  units: async () => (await getJSON<{ units: Unit[] | null }>("/v1/units", { timeoutMs: 5000 })).units ?? [],
  cameras: (cursor) =>
    getJSON<CameraList>(`/v1/cameras${cursor ? `?cursor=${encodeURIComponent(cursor)}` : ""}`, { timeoutMs: 5000 }),
});

function leave(expired: boolean): void {
  cameras.stop();
  cameras.clear();
  setSession({ phase: "out", expired });
}

function enter(me: Me): void {
  setSession({ phase: "in", me });
  cameras.start();
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
  void check();
}

/** Asks who we are, until there is an answer. */
async function check(): Promise<void> {
  try {
    enter(await getJSON<Me>("/v1/me", { timeoutMs: 5000 }));
  } catch (e) {
    if (e instanceof ApiError && e.kind === "network") setTimeout(() => void check(), 2000);
    leave(false);
  }
}

/** Logs in; throws ApiError. */
export async function login(user: string, password: string): Promise<void> {
  const answer = await postJSON<Me>("/v1/login", { user, password });
  enter({ name: answer.name || user, role: answer.role, unit: answer.unit, expires: answer.expires });
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
export const useCameras = (): Snapshot => useSyncExternalStore(cameras.subscribe, cameras.get);
