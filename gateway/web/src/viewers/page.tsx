import Table from "antd/es/table";
import { useMemo, useRef, useState } from "react";
import type { Camera } from "../api/types";
import { useTexts } from "../i18n";
import { useRest } from "../lib/rest";
import { clock } from "../lib/time";
import { useZone } from "../lib/zone";
import { useCameras } from "../state";
import { Antd } from "../ui/antd";
import { Icon } from "../ui/icons";
import { Search } from "../ui/search";
import { Cards, type View } from "./cards";
import { type Context, sessionColumns } from "./columns";
import { type Grade, judge, type Row, worstFirst } from "./judge";
import { Slots } from "./slots";
import { streamColumns } from "./streamcolumns";
import { type StreamRow, streamRows } from "./streams";
import { noteText, troubleText } from "./texts";
import { useLive } from "./use";

/** Who sees what how well, for those who run the system. The worst is on top. */
export default function Viewers() {
  const { t, language } = useTexts();
  const { cameras, reachable } = useCameras();
  const { tracks, reachable: fresh, loaded, refused } = useLive();
  const [view, setView] = useState<View>("sessions");
  const [grade, setGrade] = useState<Grade>();
  const [search, setSearch] = useState("");
  const [open, setOpen] = useState<readonly string[]>([]);
  const zone = useZone();
  const context = useMemo(
    (): Context => ({
      t,
      now: tracks.now,
      name: (id) => cameras.get(id)?.name ?? id,
      isOpen: (id) => open.includes(id),
      toggle: (id) => setOpen((all) => (all.includes(id) ? all.filter((o) => o !== id) : [...all, id])),
    }),
    [t, tracks, cameras, open],
  );
  const rows = useMemo(() => {
    const all = [...tracks.sessions.values()].map(judge).filter((r): r is Row => r !== undefined);
    // What is no longer refreshed proves nothing.
    return (fresh ? all : all.map((r): Row => ({ ...r, grade: "unmeasured", troubles: [] }))).sort(worstFirst);
  }, [tracks, fresh]);
  const streams = useMemo(() => streamRows(tracks), [tracks]);
  const words = search.trim().toLowerCase().split(/\s+/);
  const found = (text: string) => words.every((w) => text.toLowerCase().includes(w));
  const shownRows = rows.filter((r) => (grade === undefined || r.grade === grade) && found(rowText(r, context)));
  const shownStreams = streams.filter(({ stream: s }) => found(`${s.camera} ${context.name(s.camera)}`));
  // biome-ignore lint/correctness/useExhaustiveDependencies: the columns show times in the chosen zone and language
  const columns = useMemo(() => sessionColumns(context), [context, language, zone]);
  const shown = view === "sessions" ? shownRows.length : shownStreams.length;
  return (
    <Antd>
      <div className={`viewers ${fresh ? "" : "old"}`} data-testid="viewers" data-fresh={fresh}>
        <Cards
          rows={rows}
          streams={streams}
          fresh={fresh}
          view={view}
          grade={grade}
          onView={setView}
          onGrade={setGrade}
        />
        <div className="health-tools">
          <Search text={search} onText={setSearch} hint={t("viewers.filter")} testid="viewers-search" />
          <span>{t("viewers.shown", { n: shown, all: view === "sessions" ? rows.length : streams.length })}</span>
          {!fresh && (
            <span className="stale" role="alert" data-testid="viewers-stale">
              <Icon name="warn" size={14} />
              {refused
                ? t("viewers.refused", { detail: refused })
                : t("viewers.stale", { time: loaded ? clock(tracks.now) : "—" })}
            </span>
          )}
        </div>
        <List
          view={view}
          rows={shownRows}
          streams={shownStreams}
          columns={columns}
          context={context}
          open={open}
          empty={empty()}
          cameras={cameras}
          reachable={reachable && fresh}
        />
      </div>
    </Antd>
  );

  function empty() {
    if (!fresh) return t("viewers.unknown");
    if (!loaded) return t("viewers.loading");
    if (view === "sessions") return t(rows.length === 0 ? "viewers.nobody" : "viewers.noneSuch");
    return t(streams.length === 0 ? "viewers.noStreams" : "viewers.noneSuch");
  }
}

function rowText(row: Row, c: Context): string {
  const { session } = row;
  const seen = row.tiles.map(({ slot }) => `${slot.camera} ${c.name(slot.camera ?? "")}`);
  const said = row.troubles.map((w) => troubleText(c.t, w));
  return [session.viewer, session.remote, ...seen, ...said, noteText(c.t, row, c.name)].join(" ");
}

interface ListProps {
  view: View;
  rows: Row[];
  streams: StreamRow[];
  columns: ReturnType<typeof sessionColumns>;
  context: Context;
  open: readonly string[];
  empty: string;
  cameras: ReadonlyMap<string, Camera>;
  reachable: boolean;
}

function List(p: ListProps) {
  const box = useRef<HTMLDivElement>(null);
  const height = useRest(box);
  const common = { virtual: true, size: "small", pagination: false, showSorterTooltip: false } as const;
  const locale = { emptyText: <span data-testid="viewers-empty">{p.empty}</span> };
  return (
    <div className="health-table" ref={box}>
      {p.view === "sessions" ? (
        <Table<Row>
          {...common}
          key="sessions"
          columns={p.columns}
          dataSource={p.rows}
          rowKey={(r) => r.session.id}
          scroll={{ x: 1320, y: height }}
          locale={locale}
          rowClassName={(r) => `g-${r.grade}`}
          expandable={{
            expandedRowKeys: p.open,
            showExpandColumn: false,
            expandedRowRender: (row) => <Slots row={row} cameras={p.cameras} reachable={p.reachable} />,
          }}
          onRow={(r) =>
            ({
              "data-testid": `viewer-row-${r.session.id}`,
              "data-viewer": r.session.viewer,
              "data-grade": r.grade,
              "data-tiles": r.tiles.length,
              "data-kbps": Math.round(r.path.kbps ?? 0),
            }) as object
          }
        />
      ) : (
        <Table<StreamRow>
          {...common}
          key="streams"
          columns={streamColumns(p.context)}
          dataSource={p.streams}
          rowKey={(r) => r.key}
          scroll={{ x: 1320, y: height }}
          locale={locale}
          onRow={(r) => ({ "data-testid": `stream-row-${r.key}` }) as object}
        />
      )}
    </div>
  );
}
