import { lazy, Suspense, useEffect, useState } from "react";
import type { Camera } from "../api/types";
import { useTexts } from "../i18n";
import { Icon } from "../ui/icons";
import type { Range } from "./bar";
import { locks } from "./offers";

const LockDialog = lazy(() => import("./lockdialog"));

interface Props {
  camera: Camera;
  range: Range;
  now: number;
  /** There is nothing to lock. */
  disabled: boolean;
}

/** Keeps the clip's range from deletion, where this gateway has locks and this user may set them. */
export function LockButton({ camera, range, now, disabled }: Props) {
  const { t } = useTexts();
  const [there, setThere] = useState(false);
  const [open, setOpen] = useState(false);
  useEffect(() => {
    let stopped = false;
    void locks.there().then((yes) => !stopped && setThere(yes));
    return () => {
      stopped = true;
    };
  }, []);
  const close = () => setOpen(false);
  const gone = () => {
    close();
    setThere(false);
  };
  if (!there) return null;
  return (
    <>
      <button
        type="button"
        className="deed"
        disabled={disabled}
        onClick={() => setOpen(true)}
        title={t("lock.title")}
        data-testid="lock"
      >
        <Icon name="lock" /> {t("lock.button")}
      </button>
      {open && (
        <Suspense>
          <LockDialog camera={camera} range={range} now={now} onClose={close} onAbsent={gone} />
        </Suspense>
      )}
    </>
  );
}
