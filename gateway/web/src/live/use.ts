import { useCallback, useEffect, useState, useSyncExternalStore } from "react";
import { cameras } from "../state";
import { WallSession } from "../wall/session";
import { FakeTransport } from "./fake";
import { idleView, type LiveTransport, type SlotView } from "./transport";
import { WhepTransport } from "./whep";

/** Pool sizes: 16 slots serve every wall up to 16, so changing between those negotiates nothing. */
export const poolFor = (tiles: number) => (tiles <= 16 ? 16 : tiles <= 36 ? 36 : 64);

/** `?transport=whep` forces one connection per tile, for measuring and for finding faults. */
const forced = () => new URLSearchParams(location.search).get("transport");

/** The live transport of the page: a wall session, or WHEP per tile where the gateway has no walls. */
export function useTransport(tiles: number): LiveTransport | undefined {
  const pool = poolFor(tiles);
  const [kind, setKind] = useState<"wall" | "whep">(() => (forced() === "whep" ? "whep" : "wall"));
  const [transport, setTransport] = useState<LiveTransport>();
  const size = kind === "wall" ? pool : 0; // one connection per tile knows no pool
  useEffect(() => {
    let made: LiveTransport;
    if (import.meta.env.MODE === "mock") made = new FakeTransport();
    else if (kind === "whep") made = new WhepTransport();
    else made = new WallSession({ slots: size, unsupported: () => setKind("whep") });
    setTransport(made);
    const end = () => made.close();
    addEventListener("pagehide", end);
    const off = cameras.onReturn((anew) => made.wake(anew));
    return () => {
      off();
      removeEventListener("pagehide", end);
      made.close();
    };
  }, [kind, size]);
  return transport;
}

export function useSlot(transport: LiveTransport | undefined, slot: number): SlotView {
  const subscribe = useCallback(
    (listener: () => void) => transport?.subscribe(slot, listener) ?? (() => undefined),
    [transport, slot],
  );
  return useSyncExternalStore(subscribe, () => transport?.view(slot) ?? idleView);
}
