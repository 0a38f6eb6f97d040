import { useCallback, useEffect, useRef, useState } from "react";
import { ApiError } from "../api/client";
import { useTexts } from "../i18n";
import { clock, length } from "../lib/time";
import type { LiveTransport, ReplayView } from "../live/transport";
import { type InstantClip, instantClip } from "../replay/instant";
import { watchMedia } from "../replay/shown";
import { pictureAt } from "../replay/timeline";
import { Icon } from "../ui/icons";
import { failureText, toast } from "../ui/toast";

export const backs = [10, 30, 60] as const;

export interface Past {
  /** asking: the picture is still live · wall: the gateway sends the past · clip: a film lies over the live picture. */
  phase: "asking" | "wall" | "clip";
  backS: number;
  /** Epoch ms at which the replay began. */
  since: number;
  clip?: InstantClip;
}

/**
 * The instant replay of one tile: by the gateway, or where it cannot, by a clip of the archive. It ends by itself when
 * the present moment of pressing the button is reached, when the tile changes camera, or when told.
 */
export function usePast(o: {
  transport?: LiveTransport;
  slot: number;
  camera: string | undefined;
  view: ReplayView | undefined;
  offset: number;
}) {
  const { transport, slot, camera, view } = o;
  const { t } = useTexts();
  const [past, setPast] = useState<Past>();
  const abort = useRef<AbortController>(undefined);
  const clockOffset = useRef(o.offset);
  clockOffset.current = o.offset;

  const end = useCallback(() => {
    abort.current?.abort();
    abort.current = undefined;
    transport?.live(slot);
    setPast(undefined);
  }, [transport, slot]);

  const start = useCallback(
    async (backS: number) => {
      if (!transport || !camera) return;
      abort.current?.abort();
      const mine = new AbortController();
      abort.current = mine;
      setPast({ phase: "asking", backS, since: Date.now() });
      const can = await transport.replay(slot, backS);
      if (mine.signal.aborted) return;
      if (can) return setPast({ phase: "wall", backS, since: Date.now() });
      if (transport.sound().slot === slot) transport.listen(undefined); // live sound under an old picture would deceive
      try {
        const clip = await instantClip(camera, Date.now() + clockOffset.current, backS, mine.signal);
        if (mine.signal.aborted) return;
        setPast(clip && { phase: "clip", backS, since: Date.now(), clip });
        if (!clip) toast("info", t("past.nothing"));
      } catch (e) {
        if (mine.signal.aborted) return;
        setPast(undefined);
        toast("error", e instanceof ApiError && e.kind === "missing" ? t("past.nothing") : failureText(t, e));
      }
    },
    [transport, slot, camera, t],
  );

  // Another camera, another transport: what was replayed is gone.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the effect is for when they change
  useEffect(
    () => () => {
      abort.current?.abort();
      setPast(undefined);
    },
    [transport, camera],
  );
  // The gateway's word counts: it went back to live, or it replays though nobody asked here.
  const replaying = view?.since !== undefined;
  useEffect(() => {
    if (replaying)
      setPast((old) =>
        old?.phase === "clip" ? old : { phase: "wall", backS: view?.backS ?? 0, since: view?.since ?? Date.now() },
      );
    else setPast((old) => (old?.phase === "wall" ? undefined : old));
  }, [replaying, view?.backS, view?.since]);
  const until = past?.phase === "wall" && past.backS > 0 ? past.since + past.backS * 1000 : undefined;
  useEffect(() => {
    if (until === undefined) return;
    const timer = setTimeout(end, Math.max(0, until - Date.now()));
    return () => clearTimeout(timer);
  }, [until, end]);
  return { past, start, end };
}

/** The clip over the live picture. It plays once; then the tile is live again. */
function Film({ clip, onAge, onEnd }: { clip: InstantClip; onAge(wall: number): void; onEnd(failed: boolean): void }) {
  const video = useRef<HTMLVideoElement>(null);
  const report = useRef({ onAge, onEnd });
  report.current = { onAge, onEnd };
  useEffect(() => {
    const v = video.current;
    if (!v) return;
    const stop = watchMedia(v, (media) => {
      const at = pictureAt(clip.spans, media);
      if (at !== undefined) report.current.onAge(at);
    });
    const done = () => report.current.onEnd(false);
    const failed = () => v.error && v.src && report.current.onEnd(true);
    v.addEventListener("ended", done);
    v.addEventListener("error", failed);
    v.src = clip.url;
    v.play().catch(() => undefined);
    return () => {
      stop();
      v.removeEventListener("ended", done);
      v.removeEventListener("error", failed);
      v.removeAttribute("src");
      v.load();
    };
  }, [clip]);
  return <video ref={video} className="film" muted playsInline tabIndex={-1} data-testid="tile-film" />;
}

interface Props {
  past: Past;
  view: ReplayView | undefined;
  /** When the picture on the tile was captured, if that is known. */
  taken(): number | undefined;
  now: number;
  offset: number;
  onEnd(): void;
}

/** The picture's time as it is just now, looked at often: a replay leaps over gaps. */
function useTaken(taken: () => number | undefined, wanted: boolean): number | undefined {
  const look = useRef(taken);
  look.current = taken;
  const [at, setAt] = useState<number>();
  useEffect(() => {
    if (!wanted) return;
    const timer = setInterval(() => setAt(look.current()), lookMs);
    return () => clearInterval(timer);
  }, [wanted]);
  return at;
}

const lookMs = 100;

/**
 * What lies over a tile that shows the past: its film, and a banner in a colour nothing live has, with the age of the
 * picture. There is no way to have the one without the other.
 */
export function PastLayer({ past, view, taken, now, offset, onEnd }: Props) {
  const { t } = useTexts();
  const [wall, setWall] = useState<number>();
  const finish = (failed: boolean) => {
    if (failed) toast("error", t("past.failed"));
    onEnd();
  };
  const asking = past.phase === "asking" || (past.phase === "clip" && wall === undefined);
  const own = useTaken(taken, past.phase === "wall");
  const shown = past.phase === "clip" ? wall : own;
  const behind = shown === undefined ? (view?.behindMs ?? past.backS * 1000) : now + offset - shown;
  const ran = past.clip && wall !== undefined ? wall - past.clip.from : now - past.since;
  const all = past.clip ? past.clip.to - past.clip.from : past.backS * 1000;
  return (
    <>
      {past.clip && <Film clip={past.clip} onAge={setWall} onEnd={finish} />}
      <div className={`past ${asking ? "asking" : ""}`} role="status" data-testid="past">
        <b>
          <Icon name="rewind" size={14} />
          {asking ? t("past.asking", { n: past.backS }) : t("past.badge")}
        </b>
        {!asking && (
          <time data-testid="past-age">
            {t("past.age", { age: length(Math.max(0, behind)) })}
            <small data-testid="past-time" data-at={shown}>
              {clock(shown ?? now + offset - behind)}
            </small>
          </time>
        )}
        <button type="button" onClick={onEnd} data-testid="past-live">
          {t("past.live")}
        </button>
        {!asking && <i style={{ width: `${Math.min(100, Math.max(0, (ran / all) * 100))}%` }} />}
      </div>
    </>
  );
}
