import { lazy, Suspense, useState } from "react";
import type { Camera, Me } from "../api/types";
import { useTexts } from "../i18n";
import { fileName } from "../lib/snapshot";
import { stamp } from "../lib/time";
import { may } from "../pages/may";
import { Icon } from "../ui/icons";
import type { Clip } from "./film";
import { clipURL, register } from "./retrieval";

const RetrievalDialog = lazy(() => import("./dialog"));

/** Where a clip is taken away as a file, under its registered reason. */
const downloadURL = (clip: Clip, retrieval: string) =>
  `${clipURL(clip.camera, clip, "mp4", retrieval)}&download=1`;

/**
 * Takes the clip away as a file. That is an act of its own: only some roles may, and always under a registered reason,
 * which is asked for here if there is none yet.
 */
export function Download({ camera, clip, me, disabled }: { camera: Camera; clip: Clip; me: Me; disabled?: boolean }) {
  const { t } = useTexts();
  const [ask, setAsk] = useState<Clip>();
  if (!may(me, "download")) return null;
  const take = (c: Clip, retrieval: string) => {
    const file = fileName(c.camera, stamp(c.from), "mp4");
    Object.assign(document.createElement("a"), { href: downloadURL(c, retrieval), download: file }).click();
  };
  const known = clip.retrieval ?? register.find(camera.id, clip);
  return (
    <>
      <button
        type="button"
        className="deed"
        disabled={disabled}
        onClick={() => (known ? take(clip, known) : setAsk(clip))}
        title={t("replay.downloadTitle")}
        data-testid="replay-download"
      >
        <Icon name="download" /> {t("replay.download")}
      </button>
      {ask && (
        <Suspense>
          <RetrievalDialog
            camera={camera}
            range={ask}
            onDone={(id) => {
              setAsk(undefined);
              take(ask, id);
            }}
            onCancel={() => setAsk(undefined)}
          />
        </Suspense>
      )}
    </>
  );
}
