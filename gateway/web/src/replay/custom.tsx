import { useEffect, useState } from "react";
import { useTexts } from "../i18n";
import { fromInput, toInput } from "../lib/time";
import { useZone } from "../lib/zone";
import { toast } from "../ui/toast";
import type { Range } from "./bar";

/** The longest clip, hours. */
export const mostHours = 6;

/** Asks for a range by its times. */
export function Custom({ range, onOpen }: { range: Range; onOpen(r: Range): void }) {
  const { t } = useTexts();
  const [from, setFrom] = useState(() => toInput(range.from));
  const [to, setTo] = useState(() => toInput(range.to));
  const zone = useZone();
  // biome-ignore lint/correctness/useExhaustiveDependencies: the fields show times in the chosen zone
  useEffect(() => {
    setFrom(toInput(range.from));
    setTo(toInput(range.to));
  }, [range.from, range.to, zone]);
  const submit = (e: React.FormEvent) => {
    e.preventDefault();
    const r = { from: fromInput(from), to: fromInput(to) };
    if (r.to > r.from && r.to - r.from <= mostHours * 3_600_000) onOpen(r);
    else toast("error", t("replay.badRange", { hours: mostHours }));
  };
  return (
    <form className="custom" onSubmit={submit}>
      <label>
        {t("replay.from")}
        <input type="datetime-local" step={1} value={from} onChange={(e) => setFrom(e.target.value)} />
      </label>
      <label>
        {t("replay.to")}
        <input type="datetime-local" step={1} value={to} onChange={(e) => setTo(e.target.value)} />
      </label>
      <button type="submit" className="primary" data-testid="replay-show">
        {t("replay.show")}
      </button>
    </form>
  );
}
