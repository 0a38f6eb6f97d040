import { useEffect, useMemo, useState } from "react";
import { request } from "../api/client";
import { useTexts } from "../i18n";
import { clock, parse, rfc3339 } from "../lib/time";
import type { Footage, Range } from "./bar";
import { Offer, thumbnailURL } from "./offers";
import { register } from "./retrieval";
import { cells } from "./thumbs";

const most = 7;
let offer: Offer | undefined;

interface Props {
  camera: string;
  footage: Footage;
  window: Range;
  onJump(at: number): void;
}

/** Small pictures under the coverage bar, where the gateway makes them. */
export function ThumbStrip({ camera, footage, window: w, onJump }: Props) {
  const { t } = useTexts();
  const [there, setThere] = useState(false);
  const list = useMemo(() => cells(footage, w, most), [footage, w]);
  const newest = list.at(-1)?.at;
  useEffect(() => {
    if (newest === undefined) return;
    let stopped = false;
    offer ??= new Offer(() => request(thumbnailURL(camera, rfc3339(newest)), { headers: { Accept: "image/jpeg" } }));
    void offer.there().then((yes) => !stopped && setThere(yes));
    return () => {
      stopped = true;
    };
  }, [camera, newest]);
  if (!there) return null;
  return (
    <div className="thumbs" role="group" aria-label={t("replay.thumbs")} data-testid="thumbs">
      {list.map((c) => (
        <Thumb
          key={c.at}
          url={thumbnailURL(camera, rfc3339(c.at), register.find(camera, { from: c.at, to: c.at }))}
          left={c.share}
          onJump={onJump}
        />
      ))}
    </div>
  );
}

interface Loaded {
  src: string;
  /** When the picture was captured: most often a little before the moment asked for. */
  at: number;
}

/** One picture with its own time. Nothing where there is none. */
function Thumb({ url, left, onJump }: { url: string; left: number; onJump(at: number): void }) {
  const { t } = useTexts();
  const [loaded, setLoaded] = useState<Loaded>();
  useEffect(() => {
    const abort = new AbortController();
    let src: string | undefined;
    const load = async () => {
      const answer = await request(url, { signal: abort.signal, headers: { Accept: "image/jpeg" } });
      const at = parse(answer.headers.get("Skein-Frame-Time"));
      const picture = await answer.blob();
      if (abort.signal.aborted || at === undefined) return;
      src = URL.createObjectURL(picture);
      setLoaded({ src, at });
    };
    load().catch(() => undefined); // the bar is whole without it
    return () => {
      abort.abort();
      if (src) URL.revokeObjectURL(src);
      setLoaded(undefined);
    };
  }, [url]);
  if (!loaded) return null;
  return (
    <button
      type="button"
      style={{ left: `${left * 100}%`, width: `${100 / most}%` }}
      onClick={() => onJump(loaded.at)}
      title={clock(loaded.at)}
      aria-label={t("replay.thumb", { time: clock(loaded.at) })}
      data-at={loaded.at}
    >
      <img src={loaded.src} alt="" />
    </button>
  );
}
