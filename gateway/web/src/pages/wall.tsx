import { lazy, Suspense, useCallback, useEffect, useMemo, useState } from "react";
import { createPortal } from "react-dom";
import type { Me } from "../api/types";
import { useTexts } from "../i18n";
import { remembered } from "../lib/remember";
import { useTransport } from "../live/use";
import { useCameras } from "../state";
import { Icon, LayoutIcon } from "../ui/icons";
import { assign, clear, fill, initial, type Layout, nextTile, resize, type Size, sizes, swap, valid } from "./layout";
import { Tile } from "./tile";
import { path } from "./tree";
import { TreePanel } from "./treepanel";

const Side = lazy(() => import("../replay/side"));

/** The layout of a user, remembered on this computer. */
function useLayout(user: string) {
  const [store] = useState(() => remembered<Layout>(`skein.wall.${user}`, initial, valid));
  const [layout, set] = useState(store.get);
  const change = useCallback((f: (l: Layout) => Layout) => set((old) => f(old)), []);
  useEffect(() => store.set(layout), [store, layout]);
  return [layout, change] as const;
}

const byKey: Record<string, Size> = { "1": 1, "2": 4, "3": 9, "4": 16, "5": 25, "6": 36 };

function toggleFullscreen(): void {
  const done = document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen();
  done.catch(() => undefined);
}

function useKeys(onSize: (s: Size) => void, onEscape: () => void): void {
  useEffect(() => {
    const pressed = (e: KeyboardEvent) => {
      const target = e.target as HTMLElement;
      if (e.key === "Escape") return onEscape();
      if (e.ctrlKey || e.metaKey || e.altKey || target.closest("input, textarea, select, [role=dialog]")) return;
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

function Tools({ size, onSize, onFill }: { size: Size; onSize(s: Size): void; onFill(): void }) {
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

export default function Wall({ me }: { me: Me }) {
  const { t } = useTexts();
  const snapshot = useCameras();
  const { cameras, units, order, loaded, reachable, offset } = snapshot;
  const [layout, change] = useLayout(me.name);
  const [focus, setFocus] = useState<number>();
  const [target, setTarget] = useState<number>();
  const [tree, setTree] = useState(true);
  const transport = useTransport(layout.size);
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
    const at = layout.tiles.slice(0, layout.size).indexOf(wanted);
    const slot = at >= 0 ? at : nextTile(layout, undefined);
    if (at < 0) change((l) => assign(l, slot, wanted));
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
    if (document.querySelector("[role=dialog]")) return;
    setFocus(undefined);
    setTarget(undefined);
  }, []);
  useKeys(onSize, onEscape);

  const onPick = useCallback(
    (camera: string) => {
      if (focus !== undefined) return change((l) => assign(l, focus, camera));
      change((l) => assign(l, nextTile(l, target), camera));
      setTarget((old) => (old === undefined ? undefined : (old + 1) % layout.size));
    },
    [change, focus, target, layout.size],
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
  const onFill = useCallback(() => change((l) => fill({ ...l, auto: true }, live)), [change, live]);
  const onHideTree = useCallback(() => setTree(false), []);

  const shown = useMemo(() => new Set(layout.tiles.slice(0, layout.size).filter((c) => c !== null)), [layout]);
  const side = Math.sqrt(layout.size);
  const focusedId = focus === undefined ? null : layout.tiles[focus];
  const focused = focusedId ? cameras.get(focusedId) : undefined;
  const open = focus !== undefined && focusedId !== null;
  return (
    <div className={`wall ${open ? "with-side" : ""}`}>
      {mounted && <Tools size={layout.size} onSize={onSize} onFill={onFill} />}
      {tree ? (
        <TreePanel snapshot={snapshot} shown={shown} onPick={onPick} onHide={onHideTree} />
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
      <div className={`tiles n${layout.size}`} style={{ "--n": side } as React.CSSProperties} data-testid="tiles">
        {layout.tiles.slice(0, layout.size).map((id, slot) => {
          const camera = id === null ? undefined : cameras.get(id);
          return (
            <Tile
              // biome-ignore lint/suspicious/noArrayIndexKey: a tile is its place
              key={slot}
              slot={slot}
              assigned={id}
              camera={camera}
              unit={camera ? (path(units, camera.unit).at(-1)?.name ?? camera.unit) : ""}
              me={me}
              transport={transport}
              loaded={loaded}
              reachable={reachable}
              offset={offset}
              visible={!open || focus === slot}
              large={layout.size === 1 || focus === slot}
              focused={open && focus === slot}
              target={target === slot}
              onOpen={setFocus}
              onClear={onClear}
              onTarget={onTarget}
              onDrop={onDrop}
            />
          );
        })}
      </div>
      {open && focused && (
        <Suspense fallback={<aside className="side" />}>
          <Side key={focused.id} camera={focused} me={me} onClose={onEscape} />
        </Suspense>
      )}
    </div>
  );
}
