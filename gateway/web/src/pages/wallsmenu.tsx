import { useMemo, useRef, useState } from "react";
import { useTexts } from "../i18n";
import { stamp } from "../lib/time";
import { Icon } from "../ui/icons";
import { Sheet } from "../ui/sheet";
import { toast } from "../ui/toast";
import type { Layout } from "./layout";
import { drop, fromFile, keep, longestName, type SavedWall, toFile, wallsOf } from "./walls";

interface Props {
  user: string;
  layout: Layout;
  onLoad(layout: Layout): void;
  onClose(): void;
}

function save(text: string, file: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  Object.assign(document.createElement("a"), { href: url, download: file }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** The user's named walls: keep the present one, bring one back, and carry them to another post as a file. */
export default function WallsMenu({ user, layout, onLoad, onClose }: Props) {
  const { t } = useTexts();
  const store = useMemo(() => wallsOf(user), [user]);
  const [walls, setWalls] = useState(store.get);
  const [name, setName] = useState("");
  const picker = useRef<HTMLInputElement>(null);
  const change = (next: readonly SavedWall[]) => {
    store.set(next);
    setWalls(next);
  };
  const submit = (e: React.FormEvent) => {
    e.preventDefault();
    const chosen = name.trim();
    if (!chosen) return;
    change(keep(walls, { name: chosen, layout, saved: new Date().toISOString() }));
    setName("");
    toast("good", t("walls.kept", { name: chosen }));
  };
  const read = async (file: File | undefined) => {
    if (!file) return;
    const found = file.size < 5_000_000 ? fromFile(await file.text()) : undefined;
    if (!found) return toast("error", t("walls.noFile"));
    change(found.walls.reduce(keep, walls));
    toast(found.refused > 0 ? "info" : "good", t("walls.read", { n: found.walls.length, bad: found.refused }));
  };
  return (
    <Sheet title={t("walls.title")} onClose={onClose}>
      <form className="wallsave" onSubmit={submit}>
        <input
          value={name}
          maxLength={longestName}
          onChange={(e) => setName(e.target.value)}
          placeholder={t("walls.name")}
          aria-label={t("walls.name")}
          data-testid="walls-name"
        />
        <button type="submit" className="primary" disabled={name.trim() === ""} data-testid="walls-keep">
          {t("walls.keep")}
        </button>
      </form>
      <ul className="walllist">
        {walls.map((w) => (
          <li key={w.name}>
            <button
              type="button"
              className="load"
              onClick={() => {
                onLoad(w.layout);
                onClose();
              }}
              data-testid={`walls-load-${w.name}`}
            >
              <b>{w.name}</b>
              <small>
                {t("wall.layout", { n: w.layout.size })}
                {w.layout.paging || w.layout.tours ? ` · ${t("tour.word")}` : ""} · {stamp(Date.parse(w.saved))}
              </small>
            </button>
            <button
              type="button"
              className="quiet icon"
              onClick={() => change(drop(walls, w.name))}
              aria-label={t("walls.drop", { name: w.name })}
              title={t("walls.drop", { name: w.name })}
            >
              <Icon name="trash" size={14} />
            </button>
          </li>
        ))}
        {walls.length === 0 && <li className="none">{t("walls.empty")}</li>}
      </ul>
      <footer className="deeds">
        <button
          type="button"
          className="deed"
          disabled={walls.length === 0}
          onClick={() => save(toFile(walls), "skein-walls.json")}
          data-testid="walls-export"
        >
          <Icon name="download" size={14} /> {t("walls.export")}
        </button>
        <button type="button" className="deed" onClick={() => picker.current?.click()}>
          <Icon name="upload" size={14} /> {t("walls.import")}
        </button>
        <input
          ref={picker}
          type="file"
          accept="application/json,.json"
          hidden
          onChange={(e) => {
            void read(e.target.files?.[0]);
            e.target.value = "";
          }}
          data-testid="walls-file"
        />
        <span className="hint">{t("walls.where")}</span>
      </footer>
    </Sheet>
  );
}
