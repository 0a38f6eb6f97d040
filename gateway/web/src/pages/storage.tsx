import { useEffect, useState } from "react";
import { getJSON } from "../api/client";
import { useTexts } from "../i18n";
import { poll } from "../lib/poll";
import { bytesText, daysText, type Storage, standing } from "./storagesums";

const everyMs = 30_000;

/** How full the archive is, for how long it will hold what comes, and whether retention is kept. */
export function StorageLine() {
  const { t } = useTexts();
  const [storage, setStorage] = useState<Storage>();
  useEffect(
    () =>
      poll(async (signal) => {
        const found = await getJSON<Storage>("/v1/storage", { signal, timeoutMs: 5000 }).catch(() => undefined);
        if (!signal.aborted) setStorage(found);
      }, everyMs),
    [],
  );
  if (!storage) return null; // a gateway without an archive
  const s = standing(storage);
  return (
    <section className="storage" aria-label={t("storage.title")} data-testid="storage" data-kept={s.kept}>
      <b>{t("storage.title")}</b>
      {s.share !== undefined && (
        <i className="storage-bar" aria-hidden="true">
          <i style={{ width: `${s.share * 100}%` }} />
        </i>
      )}
      <span>
        {s.capacity === undefined
          ? t("storage.used", { used: bytesText(storage.bytes) })
          : t("storage.usedOf", { used: bytesText(storage.bytes), all: bytesText(s.capacity) })}
      </span>
      <span>{storage.measured ? t("storage.perDay", { rate: bytesText(storage.bytes_per_day) }) : t("storage.counting")}</span>
      {storage.days_held !== undefined && <span>{t("storage.holds", { time: daysText(t, storage.days_held) })}</span>}
      <span className={s.kept ? "" : "warn"} data-testid="storage-retention">
        {!s.kept && "⚠ "}
        {t(s.kept ? (s.fits ? "storage.kept" : "storage.willNotFit") : "storage.notKept", {
          n: storage.retention?.early_segments ?? 0,
          short: bytesText(storage.retention?.short_bytes ?? 0),
        })}
      </span>
    </section>
  );
}
