import { lazy, Suspense, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { createPortal } from "react-dom";
import type { Me } from "../api/types";
import { useTexts } from "../i18n";
import { remembered } from "../lib/remember";
import { useHeard } from "../live/listen";
import type { TourRequest } from "../live/transport";
import { useSlot, useTransport } from "../live/use";
import { useCameras } from "../state";
import { Icon, LayoutIcon } from "../ui/icons";
import {
  assign,
  clear,
  fill,
  initial,
  type Layout,
  nextTile,
  page,
  resize,
  type Size,
  sizes,
  swap,
  type Tour,
  tourOn,
  valid,
} from "./layout";
import { dead, PagingBar, usePaging } from "./paging";
import { codecsOf, Tile, type TileProps } from "./tile";
import { path } from "./tree";
import { TreePanel } from "./treepanel";

const Side = lazy(() => import("../replay/side"));
const TourEdit = lazy(() => import("./touredit"));
const WallsMenu = lazy(() => import("./wallsmenu"));

/** The layout of a user, remembered on this computer. */
function useLayout(user: string) {
  const [store] = useState(() => remembered<Layout>(`skein.wall.${user}`, initial, valid));
  const [layout, set] = useState(store.get);
  const change = useCallback((f: (l: Layout) => Layout) => set((old) => f(old)), []);
  useEffect(() => store.set(layout), [store, layout]);
  return [layout, change] as const;
}

const byKey: Record<string, Size> = { "1": 1, "2": 4, "3": 9, "4": 16, "5": 25, "6": 36, "7": 64 };

function toggleFullscreen(): void {
  const done = document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen();
  done.catch(() => undefined);
}

function useKeys(onSize: (s: Size) => void, onEscape: () => void): void {
  useEffect(() => {
    const pressed = (e: KeyboardEvent) => {
      const target = e.target as HTMLElement;
      if (e.key === "Escape") return onEscape();
      if (e.ctrlKey || e.metaKey || e.altKey || target.closest("input, textarea, select, dialog, [role=dialog]"))
        return;
      const size = byKey[e.key];
      if (size) onSize(size);
      else if (e.key === "f" || e.key === "F") toggleFullscreen();
      else return;
      e.preventDefault();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, [onSize, onEscape]);
}

interface ToolsProps {
  size: Size;
  onSize(s: Size): void;
  onFill(): void;
  onTour(): void;
  onWalls(): void;
}

function Tools({ size, onSize, onFill, onTour, onWalls }: ToolsProps) {
  const { t } = useTexts();
  const place = document.getElementById("tools");
  if (!place) return null;
  return createPortal(
    <>
      <div className="sizes" role="toolbar" aria-label={t("app.wall")} title={t("wall.keys")}>
        {sizes.map((n) => (
          <button
            key={n}
            type="button"
            aria-pressed={n === size}
            aria-label={t("wall.layout", { n })}
            title={t("wall.layout", { n })}
            onClick={() => onSize(n)}
            data-testid={`layout-${n}`}
          >
            <LayoutIcon n={Math.sqrt(n)} />
            <small>{n}</small>
          </button>
        ))}
      </div>
      <button
        type="button"
        className="quiet icon"
        onClick={onFill}
        aria-label={t("wall.fill")}
        title={t("wall.fill")}
        data-testid="fill"
      >
        <Icon name="fill" />
      </button>
      <button
        type="button"
        className="quiet icon"
        onClick={onTour}
        aria-label={t("tour.wall")}
        title={t("tour.wall")}
        data-testid="tour-wall"
      >
        <Icon name="tour" />
      </button>
      <button
        type="button"
        className="quiet icon"
        onClick={onWalls}
        aria-label={t("walls.title")}
        title={t("walls.title")}
        data-testid="walls"
      >
        <Icon name="bookmark" />
      </button>
      <button
        type="button"
        className="quiet icon"
        onClick={toggleFullscreen}
        aria-label={t("app.fullscreen")}
        title={`${t("app.fullscreen")} (F)`}
      >
        <Icon name="full" />
      </button>
    </>,
    place,
  );
}

type PlaceProps = Omit<TileProps, "assigned" | "camera" | "unit" | "tour"> & {
  id: string | null;
  plan?: Tour;
  cameras: ReturnType<typeof useCameras>["cameras"];
  units: ReturnType<typeof useCameras>["units"];
};

/** A tile and what belongs on it: its camera, or the one its tour has come to. */
function Place({ id, plan, cameras, units, ...rest }: PlaceProps) {
  const view = useSlot(rest.transport, rest.slot);
  // Only what a tour depends on, so that a poll of the list that changed nothing here asks for nothing anew.
  const stops = JSON.stringify(
    plan?.cameras.map((c) => ({ camera: c, codecs: codecsOf(cameras.get(c)), dead: dead(cameras.get(c)) })) ?? null,
  );
  const dwellS = plan?.dwell ?? 0;
  const tour = useMemo<TourRequest | undefined>(() => {
    const list = JSON.parse(stops) as TourRequest["stops"] | null;
    return list ? { stops: list, dwellS } : undefined;
  }, [stops, dwellS]);
  const shown = tour ? (view.tour && view.camera ? view.camera : (tour.stops[0]?.camera ?? null)) : id;
  const camera = shown === null ? undefined : cameras.get(shown);
  const unit = camera ? (path(units, camera.unit).at(-1)?.name ?? camera.unit) : "";
  return <Tile {...rest} assigned={shown} camera={camera} unit={unit} tour={tour} />;
}

/** The tree covers the wall then, see narrow.css. */
const narrow = () => matchMedia("(max-width: 760px)").matches;

/** What the tour editor is open for. */
type Editing = { slot?: number; unit?: string };

export default function Wall({ me }: { me: Me }) {
  const { t } = useTexts();
  const snapshot = useCameras();
  const { cameras, units, order, loaded, reachable, offset } = snapshot;
  const [layout, change] = useLayout(me.name);
  const [focus, setFocus] = useState<number>();
  const [target, setTarget] = useState<number>();
  const [tree, setTree] = useState(() => !narrow());
  const [editing, setEditing] = useState<Editing>();
  const [saving, setSaving] = useState(false);
  const transport = useTransport(layout.size);
  const heard = useHeard(transport);
  const paging = usePaging({ tour: layout.paging, size: layout.size, cameras, ready: loaded });
  // The header's place for tools is there only after the first render.
  const [mounted, setMounted] = useState(false);
  useEffect(() => setMounted(true), []);

  const live = useMemo(() => order.filter((id) => cameras.get(id)?.state === "live"), [order, cameras]);
  useEffect(() => {
    if (layout.auto && loaded) change((l) => fill(l, live));
  }, [layout.auto, loaded, live, change]);
  // A camera to watch may be named in the address, from the health page.
  useEffect(() => {
    const wanted = /^#\/wall\/([a-z0-9-]{1,64})$/.exec(location.hash)?.[1];
    if (!wanted || !loaded) return;
    history.replaceState(null, "", "#/wall");
    const at = layout.paging ? -1 : layout.tiles.slice(0, layout.size).indexOf(wanted);
    const slot = at >= 0 ? at : nextTile(layout, undefined);
    if (at < 0) change((l) => assign(page(l, undefined), slot, wanted));
    setFocus(slot);
  }, [loaded, layout, change]);

  const onSize = useCallback(
    (size: Size) => {
      setFocus(undefined);
      setTarget(undefined);
      change((l) => (l.auto ? fill(resize(l, size), live) : resize(l, size)));
    },
    [change, live],
  );
  const onEscape = useCallback(() => {
    if (document.querySelector("dialog, [role=dialog]")) return;
    setFocus(undefined);
    setTarget(undefined);
  }, []);
  useKeys(onSize, onEscape);

  const last = useRef<number>(undefined); // the tile that the tree filled last
  const onPick = useCallback(
    (camera: string) => {
      if (narrow()) setTree(false);
      // Choosing a camera by hand ends a tour of the whole wall.
      if (focus !== undefined) return change((l) => assign(page(l, undefined), focus, camera));
      const tile = nextTile(layout, target, last.current);
      last.current = tile;
      change((l) => assign(page(l, undefined), tile, camera));
      setTarget((old) => (old === undefined ? undefined : (old + 1) % layout.size));
    },
    [change, focus, target, layout],
  );
  const onClear = useCallback((slot: number) => change((l) => clear(l, slot)), [change]);
  const onTarget = useCallback((slot: number) => setTarget((old) => (old === slot ? undefined : slot)), []);
  const onDrop = useCallback(
    (slot: number, data: DataTransfer) => {
      const camera = data.getData("text/skein-camera");
      const from = data.getData("text/skein-tile");
      if (camera) change((l) => assign(l, slot, camera));
      else if (from !== "" && Number(from) !== slot) change((l) => swap(l, Number(from), slot));
    },
    [change],
  );
  const onFill = useCallback(() => change((l) => fill({ ...page(l, undefined), auto: true }, live)), [change, live]);
  const onHideTree = useCallback(() => setTree(false), []);

  const onTourUnit = useCallback((unit: string) => setEditing({ unit }), []);
  const onTourTile = useCallback((slot: number) => setEditing({ slot }), []);
  const nameOf = useCallback((id: string) => cameras.get(id)?.name ?? id, [cameras]);
  const onOpen = useCallback(
    (slot: number) => {
      // Who looks closer wants this camera to stay.
      transport?.tourPause(slot, true);
      paging.pause(true);
      setFocus(slot);
    },
    [transport, paging.pause],
  );
  const editTour = (tour: Tour | undefined) => {
    const slot = editing?.slot;
    if (slot === undefined) change((l) => page(l, tour));
    else change((l) => (tour ? tourOn(page(l, undefined), slot, tour) : clear(l, slot)));
    setEditing(undefined);
  };

  const tiles = useMemo(() => {
    const own = layout.tiles.slice(0, layout.size);
    return layout.paging ? own.map((_, i) => paging.page?.cameras[i] ?? null) : own;
  }, [layout, paging.page]);
  const shown = useMemo(() => new Set(tiles.filter((c) => c !== null)), [tiles]);
  const side = Math.sqrt(layout.size);
  const focusView = useSlot(transport, focus ?? -1);
  const touring = focus !== undefined && !layout.paging && layout.tours?.[focus] !== undefined;
  const focusedId = focus === undefined ? null : touring ? (focusView.camera ?? null) : (tiles[focus] ?? null);
  const focused = focusedId ? cameras.get(focusedId) : undefined;
  const open = focus !== undefined && focusedId !== null;
  return (
    <div className={`wall ${open ? "with-side" : ""}`}>
      {mounted && (
        <Tools
          size={layout.size}
          onSize={onSize}
          onFill={onFill}
          onTour={() => setEditing({})}
          onWalls={() => setSaving(true)}
        />
      )}
      {tree ? (
        <TreePanel snapshot={snapshot} shown={shown} onPick={onPick} onTour={onTourUnit} onHide={onHideTree} />
      ) : (
        <button
          type="button"
          className="tree-show"
          onClick={() => setTree(true)}
          aria-label={t("wall.showTree")}
          title={t("wall.showTree")}
        >
          <Icon name="open" />
        </button>
      )}
      <div className="stage">
        {layout.paging && paging.page && (
          <PagingBar
            tour={layout.paging}
            page={paging.page}
            paused={paging.paused}
            nameOf={nameOf}
            onPause={paging.pause}
            onNext={paging.next}
            onBack={paging.back}
            onEdit={() => setEditing({})}
            onStop={() => change((l) => page(l, undefined))}
          />
        )}
        <div className={`tiles n${layout.size}`} style={{ "--n": side } as React.CSSProperties} data-testid="tiles">
          {tiles.map((id, slot) => (
            <Place
              // biome-ignore lint/suspicious/noArrayIndexKey: a tile is its place
              key={slot}
              slot={slot}
              id={id}
              plan={layout.paging ? undefined : layout.tours?.[slot]}
              cameras={cameras}
              units={units}
              me={me}
              transport={transport}
              loaded={loaded}
              reachable={reachable}
              offset={offset}
              visible={!open || focus === slot}
              large={layout.size === 1 || focus === slot}
              focused={open && focus === slot}
              target={target === slot}
              heard={heard}
              nameOf={nameOf}
              onTour={onTourTile}
              onOpen={onOpen}
              onClear={onClear}
              onTarget={onTarget}
              onDrop={onDrop}
            />
          ))}
        </div>
      </div>
      {open && focused && (
        <Suspense fallback={<aside className="side" />}>
          <Side key={focused.id} camera={focused} me={me} onClose={onEscape} />
        </Suspense>
      )}
      <Suspense>
        {editing && (
          <TourEdit
            key={`${editing.slot} ${editing.unit}`}
            snapshot={snapshot}
            slot={editing.slot}
            unit={editing.unit}
            tour={editing.unit ? undefined : editing.slot === undefined ? layout.paging : layout.tours?.[editing.slot]}
            onSave={editTour}
            onStop={() => editTour(undefined)}
            onClose={() => setEditing(undefined)}
          />
        )}
        {saving && (
          <WallsMenu user={me.name} layout={layout} onLoad={(l) => change(() => l)} onClose={() => setSaving(false)} />
        )}
      </Suspense>
    </div>
  );
}
