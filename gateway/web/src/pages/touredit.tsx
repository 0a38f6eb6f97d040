import { useMemo, useState } from "react";
import type { Snapshot } from "../api/cameras";
import type { Camera } from "../api/types";
import { useTexts } from "../i18n";
import { listed } from "../live/tile";
import { Dot } from "../ui/badge";
import { Search } from "../ui/search";
import { Sheet } from "../ui/sheet";
import { dwells, mostStops, type Tour } from "./layout";
import { rows } from "./tree";

interface Props {
  snapshot: Snapshot;
  /** Tile number, or the whole wall. */
  slot?: number;
  tour?: Tour;
  /** Start with the cameras of this unit. */
  unit?: string;
  onSave(tour: Tour): void;
  onStop(): void;
  onClose(): void;
}

const choices = [5, 10, 15, 30, 60] as const;
/** Longer lists are not drawn to the end: one searches. */
const drawn = 400;

/** Chooses the cameras of a tour and how long each, or each page, stays. */
export default function TourEdit(p: Props) {
  const { t } = useTexts();
  const { units, cameras, reachable, sights } = p.snapshot;
  const whole = p.slot === undefined;
  const tree = useMemo(
    () =>
      rows({
        units,
        cameras: cameras.values(),
        closed: new Set(),
        search: "",
        stateOf: (c) => listed(c, reachable, sights),
      }),
    [units, cameras, reachable, sights],
  );
  /** Cameras of a unit and below, in the order of the tree. */
  const below = (id: string): Camera[] => {
    const at = tree.findIndex((r) => r.kind === "unit" && r.id === id);
    const top = tree[at];
    if (!top) return tree.flatMap((r) => (r.kind === "camera" ? r.camera : []));
    const end = tree.findIndex((r, i) => i > at && r.kind === "unit" && r.depth <= top.depth);
    return tree.slice(at, end < 0 ? undefined : end).flatMap((r) => (r.kind === "camera" ? r.camera : []));
  };
  const most = whole ? 5000 : mostStops;
  const first = p.unit ?? tree.find((r) => r.kind === "unit")?.id ?? "";
  const [unit, setUnit] = useState(first);
  const [chosen, setChosen] = useState<readonly string[]>(() => {
    if (p.tour) return p.tour.cameras;
    return whole || p.unit
      ? below(first)
          .slice(0, most)
          .map((c) => c.id)
      : [];
  });
  const [named, setNamed] = useState(p.tour?.name);
  const [dwell, setDwell] = useState(p.tour?.dwell ?? dwells.usual);
  const [search, setSearch] = useState("");
  const name = named ?? units.get(unit)?.name ?? "";
  const picked = new Set(chosen);
  const words = search.trim().toLowerCase();
  const list = below(unit).filter((c) => `${c.name} ${c.id}`.toLowerCase().includes(words));
  const add = (ids: string[]) => setChosen([...chosen, ...ids.filter((id) => !picked.has(id))].slice(0, most));
  const toggle = (id: string) => (picked.has(id) ? setChosen(chosen.filter((c) => c !== id)) : add([id]));
  const good = chosen.length > (whole ? 0 : 1) && dwell >= dwells.least && dwell <= dwells.most;
  const submit = (e: React.FormEvent) => {
    e.preventDefault();
    if (good) p.onSave({ name: name.slice(0, 60), cameras: chosen, dwell });
  };
  return (
    <Sheet title={whole ? t("tour.wall") : t("tour.ofTile", { n: (p.slot ?? 0) + 1 })} onClose={p.onClose}>
      <form className="touredit" onSubmit={submit}>
        <p className="hint">{t(whole ? "tour.wallHint" : "tour.tileHint")}</p>
        <div className="pair">
          <label>
            <span>{t("tour.unit")}</span>
            <select value={unit} onChange={(e) => setUnit(e.target.value)} data-testid="tour-unit">
              {tree.map((r) =>
                r.kind === "unit" ? (
                  <option key={r.id} value={r.id}>
                    {"\u2003".repeat(r.depth)}
                    {r.unit.name} ({r.counts.total})
                  </option>
                ) : null,
              )}
            </select>
          </label>
          <label>
            <span>{t("tour.name")}</span>
            <input value={name} maxLength={60} onChange={(e) => setNamed(e.target.value)} />
          </label>
        </div>
        <div className="dwell">
          <label>
            <span>{t("tour.dwell")}</span>
            <input
              type="number"
              min={dwells.least}
              max={dwells.most}
              value={dwell}
              onChange={(e) => setDwell(Math.round(Number(e.target.value)))}
              data-testid="tour-dwell"
            />
          </label>
          <div className="choices small" role="group" aria-label={t("tour.dwell")}>
            {choices.map((n) => (
              <button key={n} type="button" aria-pressed={dwell === n} onClick={() => setDwell(n)}>
                {n} s
              </button>
            ))}
          </div>
        </div>
        <div className="pick">
          <Search text={search} onText={setSearch} hint={t("wall.search")} testid="tour-search" />
          <button type="button" className="deed" onClick={() => add(list.map((c) => c.id))} data-testid="tour-all">
            {t("tour.all", { n: list.length })}
          </button>
          <button type="button" className="deed" onClick={() => setChosen([])} data-testid="tour-none">
            {t("tour.none")}
          </button>
        </div>
        <ul className="checks" aria-label={t("tour.cameras")}>
          {list.slice(0, drawn).map((c) => (
            <li key={c.id}>
              <label>
                <input
                  type="checkbox"
                  checked={picked.has(c.id)}
                  onChange={() => toggle(c.id)}
                  data-testid={`tour-pick-${c.id}`}
                />
                <Dot state={listed(c, reachable, sights)} />
                <span>{c.name}</span>
                <small>{picked.has(c.id) && !whole ? chosen.indexOf(c.id) + 1 : c.id}</small>
              </label>
            </li>
          ))}
          {list.length === 0 && <li className="none">{t("wall.none")}</li>}
          {list.length > drawn && <li className="none">{t("tour.more", { n: list.length - drawn })}</li>}
        </ul>
        <footer>
          <span>{t("tour.chosen", { n: chosen.length })}</span>
          {p.tour && (
            <button type="button" className="deed" onClick={p.onStop} data-testid="tour-stop">
              {t("tour.stop")}
            </button>
          )}
          <button type="submit" className="primary" disabled={!good} data-testid="tour-start">
            {t("tour.start")}
          </button>
        </footer>
      </form>
    </Sheet>
  );
}
