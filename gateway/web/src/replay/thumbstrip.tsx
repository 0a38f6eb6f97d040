import { useEffect, useMemo, useState } from "react";
import { request } from "../api/client";
import { useTexts } from "../i18n";
import { clock, rfc3339 } from "../lib/time";
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

/** Small pictures over the coverage bar, where the gateway makes them. */
export function ThumbStrip({ camera, footage, window: w, onJump }: Props) {
  const { t } = useTexts();
  const [there, setThere] = useState(false);
  const [failed, setFailed] = useState<ReadonlySet<string>>(new Set());
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
  const url = (at: number) => thumbnailURL(camera, rfc3339(at), register.find(camera, { from: at, to: at }));
  return (
    <div className="thumbs" role="group" aria-label={t("replay.thumbs")} data-testid="thumbs">
      {list
        .filter((c) => !failed.has(url(c.at)))
        .map((c) => (
          <button
            key={c.at}
            type="button"
            style={{ left: `${c.share * 100}%`, width: `${100 / most}%` }}
            onClick={() => onJump(c.at)}
            title={clock(c.at)}
            aria-label={t("replay.thumb", { time: clock(c.at) })}
          >
            <img
              src={url(c.at)}
              alt=""
              loading="lazy"
              onError={() => setFailed((old) => new Set([...old, url(c.at)]))}
            />
          </button>
        ))}
    </div>
  );
}
