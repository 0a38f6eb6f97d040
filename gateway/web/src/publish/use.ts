import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from "react";
import { Awake } from "./awake";
import { Broadcast } from "./broadcast";
import { CaptureError, cameraCount, capture, type Facing, type Lack, lacking } from "./capture";
import { type Sending, SendingReader } from "./sending";

const figuresMs = 2000;

/** Stops what a stream captures. */
const release = (stream: MediaStream | undefined) => {
  for (const track of stream?.getTracks() ?? []) track.stop();
};

/** This device as a camera: its picture, and what of it is published. Everything stops with the component. */
export function useDevice() {
  const [cast] = useState(() => new Broadcast());
  const [awake] = useState(() => new Awake());
  const view = useSyncExternalStore(cast.subscribe, cast.get);
  const [stream, setStream] = useState<MediaStream>();
  const [facing, setFacing] = useState<Facing>("environment");
  const [cameras, setCameras] = useState(0);
  const [quiet, setQuiet] = useState(false);
  const [paused, setPaused] = useState(false);
  const [sending, setSending] = useState<Sending>();
  const [opening, setOpening] = useState(false);
  const [unable] = useState(lacking);
  const [lack, setLack] = useState<{ why: Lack; detail?: string } | undefined>(unable && { why: unable });
  const held = useRef<MediaStream>(undefined);
  const run = useRef(0); // counts starts and stops: what was opened for an earlier one is not used

  const hold = useCallback((next: MediaStream | undefined) => {
    if (held.current !== next) release(held.current);
    held.current = next;
    setStream(next);
    setPaused(false);
  }, []);

  const stop = useCallback(() => {
    run.current++;
    setOpening(false);
    cast.stop();
    awake.off();
    hold(undefined);
    setSending(undefined);
  }, [cast, awake, hold]);

  /** Follows what the system does to the picture: a call may pause it, another app may take the camera for good. */
  const follow = useCallback(
    (track: MediaStreamTrack | undefined) => {
      if (!track) return;
      track.addEventListener("mute", () => setPaused(true));
      track.addEventListener("unmute", () => setPaused(false));
      track.addEventListener("ended", () => {
        stop();
        setLack({ why: "taken" });
      });
    },
    [stop],
  );

  const start = useCallback(
    async (camera: string) => {
      const mine = ++run.current;
      setLack(undefined);
      setOpening(true);
      try {
        const next = await capture(facing);
        if (mine !== run.current) {
          release(next);
          return;
        }
        setOpening(false);
        hold(next);
        follow(next.getVideoTracks()[0]);
        for (const track of next.getAudioTracks()) track.enabled = !quiet;
        setCameras(await cameraCount());
        awake.on();
        cast.start(camera, next.getTracks());
      } catch (e) {
        if (mine !== run.current) return;
        stop();
        setLack(e instanceof CaptureError ? { why: e.lack, detail: e.message } : { why: "failed", detail: String(e) });
      }
    },
    [facing, quiet, awake, cast, hold, follow, stop],
  );

  /** Changes to the other camera without ending the broadcast. Phones open one at a time, so the old one goes first. */
  const turn = useCallback(async () => {
    const other: Facing = facing === "environment" ? "user" : "environment";
    const old = held.current;
    if (!old) return setFacing(other);
    const mine = run.current;
    for (const track of old.getVideoTracks()) track.stop();
    try {
      const next = await capture(other, false);
      if (mine !== run.current) {
        release(next);
        return;
      }
      const [video] = next.getVideoTracks();
      if (!video) throw new CaptureError("missing");
      setFacing(other);
      held.current = new MediaStream([video, ...old.getAudioTracks()]);
      setStream(held.current);
      follow(video);
      await cast.replace(video);
    } catch (e) {
      if (mine !== run.current) return;
      stop();
      setLack({ why: e instanceof CaptureError ? e.lack : "failed", detail: String(e) });
    }
  }, [facing, cast, follow, stop]);

  const mute = useCallback((to: boolean) => {
    setQuiet(to);
    for (const track of held.current?.getAudioTracks() ?? []) track.enabled = !to;
  }, []);

  const on = view.phase === "live";
  useEffect(() => {
    if (!on) return setSending(undefined);
    const reader = new SendingReader();
    const timer = setInterval(async () => {
      const report = await cast.stats();
      if (report) setSending(reader.read(report));
    }, figuresMs);
    return () => clearInterval(timer);
  }, [on, cast]);
  useEffect(() => {
    if (view.phase === "refused") {
      awake.off();
      hold(undefined);
    }
  }, [view.phase, awake, hold]);
  useEffect(() => stop, [stop]);

  return {
    view,
    stream,
    facing,
    cameras,
    quiet,
    paused,
    sending,
    opening,
    unable: unable !== undefined,
    lack,
    start,
    stop,
    turn,
    mute,
  };
}
