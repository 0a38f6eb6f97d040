import { type FormEvent, useState } from "react";
import type { Camera } from "../api/types";
import { useTexts } from "../i18n";
import { day, stamp } from "../lib/time";
import { Sheet } from "../ui/sheet";
import { failureText, toast } from "../ui/toast";
import type { Range } from "./bar";
import { lock, lockFault } from "./lock";
import { absent, locks } from "./offers";

interface Props {
  camera: Camera;
  range: Range;
  now: number;
  onClose(): void;
  /** This gateway, or this user, has no locks. */
  onAbsent(): void;
}

const usualDays = 180;

/** Asks why footage is to be kept, for which case and how long, and locks it. */
export default function LockDialog({ camera, range, now, onClose, onAbsent }: Props) {
  const { t } = useTexts();
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault();
    const data = new FormData(e.currentTarget);
    const text = (name: string) => String(data.get(name) ?? "");
    const form = { reason: text("reason"), case: text("case"), until: text("until") };
    const fault = lockFault(form, now);
    if (fault) return setError(t(`lock.${fault}`));
    setBusy(true);
    try {
      await lock(camera.id, range, form);
      toast("good", t("lock.done"));
      onClose();
    } catch (e) {
      setBusy(false);
      if (absent(e)) {
        locks.gone();
        onAbsent();
        toast("error", failureText(t, e));
      } else setError(failureText(t, e));
    }
  };
  return (
    <Sheet title={t("lock.title")} onClose={onClose}>
      <form className="lockform" onSubmit={(e) => void submit(e)} onChange={() => setError("")} noValidate>
        <p className="hint">{t("lock.why")}</p>
        <p className="dialog-range">
          {t("retrieval.range", { camera: camera.name, from: stamp(range.from), to: stamp(range.to) })}
        </p>
        <label>
          <span>{t("lock.reason")} *</span>
          <textarea name="reason" rows={3} maxLength={500} data-testid="lock-reason" />
        </label>
        <div className="pair">
          <label>
            <span>{t("lock.case")}</span>
            <input name="case" maxLength={100} data-testid="lock-case" />
          </label>
          <label>
            <span>{t("lock.until")} *</span>
            <input
              name="until"
              type="date"
              min={day(now)}
              defaultValue={day(now + usualDays * 86_400_000)}
              data-testid="lock-until"
            />
          </label>
        </div>
        <p className="login-error" role="alert">
          {error}
        </p>
        <footer>
          <button type="submit" className="primary" disabled={busy} data-testid="lock-submit">
            {t("lock.submit")}
          </button>
        </footer>
      </form>
    </Sheet>
  );
}
