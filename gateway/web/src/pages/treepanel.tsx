import { type KeyboardEvent, memo, useMemo, useRef, useState } from "react";
import type { Snapshot } from "../api/cameras";
import { useTexts } from "../i18n";
import { listed } from "../live/tile";
import { Dot } from "../ui/badge";
import { Icon } from "../ui/icons";
import { Search } from "../ui/search";
import { type Row, rows } from "./tree";

const rowHeight = 28;
const spare = 12;

interface Props {
  snapshot: Snapshot;
  shown: ReadonlySet<string>;
  onPick(camera: string): void;
  /** The whole wall is to tour this unit's cameras. */
  onTour(unit: string): void;
  onHide(): void;
}

/** The district as a tree. Only the rows in sight are in the document, so thousands of cameras cost nothing. */
export const TreePanel = memo(function TreePanel({ snapshot, shown, onPick, onTour, onHide }: Props) {
  const { t } = useTexts();
  const { units, cameras, reachable, sights, loaded } = snapshot;
  const [search, setSearch] = useState("");
  const [closed, setClosed] = useState<ReadonlySet<string>>(new Set());
  const [cursor, setCursor] = useState(0);
  const [top, setTop] = useState(0);
  const box = useRef<HTMLDivElement>(null);
  const list = useMemo(
    () =>
      rows({
        units,
        cameras: cameras.values(),
        closed,
        search: search.trim().toLowerCase(),
        stateOf: (c) => listed(c, reachable, sights),
      }),
    [units, cameras, closed, search, reachable, sights],
  );
  const fold = (id: string, open?: boolean) => {
    const next = new Set(closed);
    if (open ?? next.has(id)) next.delete(id);
    else next.add(id);
    setClosed(next);
  };
  const act = (row: Row | undefined) => {
    if (row?.kind === "unit") fold(row.id);
    if (row?.kind === "camera") onPick(row.id);
  };
  const move = (to: number) => {
    const next = Math.max(0, Math.min(list.length - 1, to));
    setCursor(next);
    const element = box.current;
    if (!element) return;
    const y = next * rowHeight;
    if (y < element.scrollTop) element.scrollTop = y;
    if (y + rowHeight > element.scrollTop + element.clientHeight)
      element.scrollTop = y + rowHeight - element.clientHeight;
  };
  const keys = (e: KeyboardEvent) => {
    const row = list[cursor];
    switch (e.key) {
      case "ArrowDown":
        move(cursor + 1);
        break;
      case "ArrowUp":
        move(cursor - 1);
        break;
      case "Home":
        move(0);
        break;
      case "End":
        move(list.length - 1);
        break;
      case "ArrowRight":
      case "ArrowLeft":
        if (row?.kind === "unit") fold(row.id, e.key === "ArrowRight");
        break;
      case "t":
        if (row?.kind === "unit") onTour(row.id);
        break;
      case "Enter":
      case " ":
        act(row);
        break;
      default:
        return;
    }
    e.preventDefault();
  };
  const first = Math.max(0, Math.floor(top / rowHeight) - spare);
  const count = Math.ceil((box.current?.clientHeight ?? 900) / rowHeight) + 2 * spare;
  return (
    <aside className="tree" aria-label={t("wall.tree")}>
      <div className="tree-head">
        <Search text={search} onText={setSearch} hint={t("wall.search")} testid="tree-search" />
        <button
          type="button"
          className="quiet icon"
          onClick={onHide}
          aria-label={t("wall.hideTree")}
          title={t("wall.hideTree")}
        >
          <Icon name="back" />
        </button>
      </div>
      <div
        ref={box}
        className="tree-rows"
        role="tree"
        tabIndex={0}
        aria-label={t("wall.tree")}
        aria-activedescendant={list[cursor] ? `row-${list[cursor].kind}-${list[cursor].id}` : undefined}
        onKeyDown={keys}
        onScroll={(e) => setTop(e.currentTarget.scrollTop)}
      >
        <div role="none" style={{ height: list.length * rowHeight }}>
          {list.slice(first, first + count).map((row, i) => (
            <TreeRow
              key={`${row.kind}-${row.id}`}
              row={row}
              y={(first + i) * rowHeight}
              cursor={first + i === cursor}
              shown={row.kind === "camera" && shown.has(row.id)}
              state={row.kind === "camera" ? listed(row.camera, reachable, sights) : "unknown"}
              onAct={() => {
                setCursor(first + i);
                act(row);
              }}
              onTour={onTour}
            />
          ))}
        </div>
        {list.length === 0 && (
          <p className="none">{loaded ? t("wall.none") : t(reachable ? "wall.loading" : "error.network")}</p>
        )}
      </div>
    </aside>
  );
});

interface RowProps {
  row: Row;
  y: number;
  cursor: boolean;
  shown: boolean;
  state: ReturnType<typeof listed>;
  onAct(): void;
  onTour(unit: string): void;
}

function TreeRow({ row, y, cursor, shown, state, onAct, onTour }: RowProps) {
  const { t } = useTexts();
  const common = {
    id: `row-${row.kind}-${row.id}`,
    "aria-level": row.depth + 1,
    style: { top: y, paddingLeft: 8 + row.depth * 13 },
    onClick: onAct,
  };
  if (row.kind === "unit") {
    const { live, total } = row.counts;
    return (
      <div
        {...common}
        role="treeitem"
        tabIndex={-1}
        aria-selected={false}
        className={`row unit ${row.unit.tier} ${cursor ? "cursor" : ""}`}
        aria-expanded={row.open}
      >
        <Icon name={row.open ? "down" : "open"} size={11} />
        <b>{row.unit.name}</b>
        <span className={live < total ? "part" : ""} title={t("wall.watching", { live, total })}>
          {live}/{total}
        </span>
        <button
          type="button"
          className="row-tour"
          tabIndex={-1}
          aria-label={t("tour.unitOnWall", { name: row.unit.name })}
          title={t("tour.unitOnWall", { name: row.unit.name })}
          onClick={(e) => {
            e.stopPropagation();
            onTour(row.id);
          }}
          data-testid={`tour-unit-${row.id}`}
        >
          <Icon name="tour" size={13} />
        </button>
      </div>
    );
  }
  const { camera } = row;
  return (
    <div
      {...common}
      role="treeitem"
      tabIndex={-1}
      aria-selected={shown}
      className={`row camera ${cursor ? "cursor" : ""} ${shown ? "shown" : ""}`}
      draggable
      onDragStart={(e) => e.dataTransfer.setData("text/skein-camera", camera.id)}
      title={`${camera.name} (${camera.id}) · ${t(`state.${state}`)}`}
      data-testid={`tree-camera-${camera.id}`}
    >
      <Dot state={state} />
      <Icon name={camera.kind === "terminal" ? "terminal" : "camera"} size={13} />
      <span>{camera.name}</span>
    </div>
  );
}
