import { useEffect, useRef, useState, useSyncExternalStore } from "react";
import { Ear, type Hearing } from "./sound";
import type { LiveTransport, SoundView } from "./transport";

const silence: SoundView = { stream: null };
const never = () => () => undefined;

export function useSound(transport: LiveTransport | undefined): SoundView {
  return useSyncExternalStore(transport?.subscribeSound ?? never, transport?.sound ?? (() => silence));
}

export interface Heard {
  slot?: number;
  hearing: Hearing;
  /** Loudness, 0 to 3. */
  bars: number;
}

/** Bars for a level between 0 and 1: speech is around 0.05 to 0.3. */
const barsOf = (level: number) => (level > 0.12 ? 3 : level > 0.03 ? 2 : level > 0.004 ? 1 : 0);

/** Plays the one sound of the page, and says how it is. */
export function useHeard(transport: LiveTransport | undefined): Heard {
  const { slot, stream } = useSound(transport);
  const [heard, setHeard] = useState<Heard>({ hearing: "off", bars: 0 });
  const audio = useRef<HTMLAudioElement | null>(null);
  const blocked = useRef(false);
  useEffect(() => {
    if (slot === undefined || !stream) return;
    const element = new Audio();
    audio.current = element;
    element.srcObject = stream;
    blocked.current = false;
    element.play().catch((e: unknown) => {
      blocked.current = e instanceof DOMException && e.name === "NotAllowedError";
    });
    return () => {
      element.pause();
      element.srcObject = null;
      audio.current = null;
    };
  }, [slot, stream]);
  useEffect(() => {
    if (slot === undefined || !transport) {
      setHeard({ hearing: "off", bars: 0 });
      return;
    }
    const ear = new Ear();
    ear.begin(Date.now());
    setHeard({ slot, hearing: "starting", bars: 0 });
    const timer = setInterval(async () => {
      const s = await transport.soundStats();
      if (transport.sound().slot !== slot) return;
      const hearing = blocked.current ? "blocked" : ear.hear(Date.now(), s?.packets ?? 0);
      const bars = hearing === "on" ? barsOf(s?.level ?? 0) : 0;
      setHeard((old) =>
        old.slot === slot && old.hearing === hearing && old.bars === bars ? old : { slot, hearing, bars },
      );
    }, 400);
    return () => clearInterval(timer);
  }, [transport, slot]);
  return heard;
}
