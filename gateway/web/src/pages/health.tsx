import type { ColumnsType } from "antd/es/table";
import Table from "antd/es/table";
import { useMemo, useRef, useState } from "react";
import type { Camera, Profile } from "../api/types";
import { lossText, reasonText, type T, useTexts } from "../i18n";
import { useHash } from "../lib/hash";
import { useRest } from "../lib/rest";
import { parse, signed, sinceShort, stamp } from "../lib/time";
import { useZone } from "../lib/zone";
import { badges, listed, type Badge as State, sightOf } from "../live/tile";
import { useCameras, useFigures } from "../state";
import { Antd } from "../ui/antd";
import { Badge, Dot } from "../ui/badge";
import { Icon } from "../ui/icons";
import { Search } from "../ui/search";
import { camerasOf, type Filter, filterOf, passes } from "./filter";
import { StorageLine } from "./storage";
import { clockLimitMs, lead, perUnit, recordingBad, recordingOf, type Sums, sum, type UnitSum } from "./sums";
import { matches, subtree } from "./tree";

interface Row {
  camera: Camera;
  state: State;
  /** Of the state: the list's, or that of a tile that sees more. */
  reason?: string;
  unit: string;
  recording: ReturnType<typeof recordingOf>;
}

/** From this share of lost packets on, in percent, a line is called bad: the edge says so too. */
const lossFrom = 0.2;

const number = (a: number | undefined, b: number | undefined) => (a ?? -1) - (b ?? -1);

function columns(t: T, now: number): ColumnsType<Row> {
  const none = <span className="faint">—</span>;
  return [
    {
      title: t("health.name"),
      width: 210,
      fixed: "left",
      sorter: (a, b) => a.camera.name.localeCompare(b.camera.name, "zh"),
      render: (_, { camera }) => (
        <span className="cam-name">
          <Icon name={camera.kind === "terminal" ? "terminal" : "camera"} size={13} />
          <b>{camera.name}</b>
          <small>{camera.id}</small>
        </span>
      ),
    },
    { title: t("health.unit"), width: 120, dataIndex: "unit", sorter: (a, b) => a.unit.localeCompare(b.unit, "zh") },
    {
      title: t("health.state"),
      width: 108,
      sorter: (a, b) => badges.indexOf(a.state) - badges.indexOf(b.state),
      render: (_, row) => <Badge state={row.state} />,
    },
    {
      title: t("health.since"),
      width: 116,
      render: (_, { camera }) => {
        const at = parse(camera.since);
        return at === undefined ? none : <time title={stamp(at)}>{sinceShort(at, now)}</time>;
      },
    },
    {
      title: t("health.reason"),
      width: 260,
      render: (_, { camera, reason }) =>
        reason || camera.detail ? (
          <span title={camera.detail}>
            {reasonText(t, reason)}
            {camera.detail && <small className="detail">{camera.detail}</small>}
          </span>
        ) : (
          none
        ),
    },
    {
      title: t("health.codec"),
      width: 128,
      render: (_, { camera }) => {
        const p = lead(camera);
        return p?.codec ? `${p.codec} ${p.width ? `${p.width}×${p.height}` : ""}` : none;
      },
    },
    {
      title: t("health.fps"),
      width: 62,
      align: "right",
      sorter: (a, b) => number(lead(a.camera)?.fps, lead(b.camera)?.fps),
      render: (_, { camera }) => lead(camera)?.fps?.toFixed(1) ?? none,
    },
    {
      title: t("health.kbps"),
      width: 88,
      align: "right",
      sorter: (a, b) => number(lead(a.camera)?.kbps, lead(b.camera)?.kbps),
      render: (_, { camera }) => lead(camera)?.kbps ?? none,
    },
    {
      title: t("health.recording"),
      width: 100,
      sorter: (a, b) => a.recording.localeCompare(b.recording),
      render: (_, row) => <Recording row={row} t={t} />,
    },
    {
      title: t("health.backlog"),
      width: 96,
      align: "right",
      sorter: (a, b) => number(a.camera.recording?.backlog, b.camera.recording?.backlog),
      render: (_, { camera }) => (camera.recording?.wanted ? (camera.recording.backlog ?? 0) : none),
    },
    {
      title: t("health.clock"),
      width: 96,
      align: "right",
      sorter: (a, b) => Math.abs(lead(a.camera)?.clock_offset_ms ?? 0) - Math.abs(lead(b.camera)?.clock_offset_ms ?? 0),
      render: (_, { camera }) => {
        const offset = lead(camera)?.clock_offset_ms;
        if (offset === undefined) return <span className="faint">{t("health.notMeasured")}</span>;
        return <span className={Math.abs(offset) > clockLimitMs ? "warn" : ""}>{signed(offset)}</span>;
      },
    },
    {
      title: t("health.reconnects"),
      width: 66,
      align: "right",
      sorter: (a, b) => number(lead(a.camera)?.reconnects, lead(b.camera)?.reconnects),
      render: (_, { camera }) => lead(camera)?.reconnects ?? 0,
    },
    {
      title: t("health.lost"),
      width: 66,
      align: "right",
      sorter: (a, b) => number(lead(a.camera)?.lost_packets, lead(b.camera)?.lost_packets),
      render: (_, { camera }) => <Lost profile={lead(camera)} t={t} />,
    },
    {
      title: t("health.watch"),
      width: 56,
      render: (_, { camera }) => (
        <a href={`#/wall/${camera.id}`} aria-label={`${t("health.watch")}: ${camera.name}`}>
          {t("health.watch")}
        </a>
      ),
    },
  ];
}

/** Packets lost before the edge: the share while some are being lost, else how many it were. */
function Lost({ profile, t }: { profile?: Profile; t: T }) {
  const n = profile?.lost_packets ?? 0;
  if (!profile || n === 0) return n;
  const percent = profile.loss_percent ?? 0;
  const hint = t("health.lostHint", { percent, n, damaged: profile.damaged ?? 0 });
  return (
    <span className={percent >= lossFrom ? "warn" : ""} title={hint}>
      {percent >= lossFrom ? `${percent.toFixed(1)} %` : n}
    </span>
  );
}

function Recording({ row, t }: { row: Row; t: T }) {
  const word = row.recording === "unknown" ? "unknownRecording" : row.recording;
  return (
    <span
      className={`rec r-${row.recording}`}
      title={lossText(t, row.camera.recording) || row.camera.recording?.detail}
    >
      {t(`health.${word}`)}
    </span>
  );
}

function Cards({ sums, chosen, onChoose }: { sums: Sums; chosen?: Filter; onChoose(f?: Filter): void }) {
  const { t } = useTexts();
  const live = sums.states.get("live") ?? 0;
  const rate = sums.measured > 0 ? `${((live / sums.measured) * 100).toFixed(1)}%` : t("health.notMeasured");
  return (
    <div className="cards">
      <div className="card rate">
        <b data-testid="live-rate">{rate}</b>
        <span>{t("health.rate", { n: sums.measured })}</span>
      </div>
      <button
        type="button"
        className="card"
        aria-pressed={chosen === undefined}
        onClick={() => onChoose(undefined)}
        data-testid="state-all"
      >
        <b>{sums.total}</b>
        <span>{t("health.all")}</span>
      </button>
      <button
        type="button"
        className={`card s-faulty ${sums.faulty === 0 ? "zero" : ""}`}
        aria-pressed={chosen === "faulty"}
        onClick={() => onChoose(chosen === "faulty" ? undefined : "faulty")}
        data-testid="state-faulty"
      >
        <b>{sums.faulty}</b>
        <span>{t("health.bad")}</span>
      </button>
      {badges.map((state) => {
        const n = sums.states.get(state) ?? 0;
        return (
          <button
            key={state}
            type="button"
            className={`card s-${state} ${n === 0 ? "zero" : ""}`}
            aria-pressed={chosen === state}
            onClick={() => onChoose(chosen === state ? undefined : state)}
            data-testid={`state-${state}`}
          >
            <b>{n}</b>
            <span>
              <Dot state={state} />
              {t(`state.${state}`)}
            </span>
          </button>
        );
      })}
      <div className="card rate">
        <b>
          {sums.recording.get("active") ?? 0}
          <em className={recordingBad(sums) > 0 ? "warn" : ""}>
            {" "}
            / {recordingBad(sums)}
          </em>
        </b>
        <span>
          {t("health.recordingOK")} / {t("health.recordingBad")}
        </span>
      </div>
      <div className="card rate">
        <b className={sums.clockOff > 0 ? "warn" : ""}>{sums.clockOff}</b>
        <span>{t("health.clockBad")}</span>
      </div>
    </div>
  );
}

function Units({ list, chosen, onChoose }: { list: UnitSum[]; chosen?: string; onChoose(id?: string): void }) {
  const { t } = useTexts();
  return (
    <aside className="units" aria-label={t("health.units")}>
      {list.map((u) => {
        const live = u.states.get("live") ?? 0;
        const blind = u.total - u.measured;
        const width = (n: number) => ({ width: `${(n / u.total) * 100}%` });
        return (
          <button
            key={u.unit.id}
            type="button"
            className={`unit ${u.unit.tier}`}
            style={{ paddingLeft: 10 + u.depth * 12 }}
            aria-pressed={chosen === u.unit.id}
            onClick={() => onChoose(chosen === u.unit.id ? undefined : u.unit.id)}
          >
            <span>{u.unit.name}</span>
            <span className="share">
              {live}/{u.total}
            </span>
            <i className="shares" aria-hidden="true">
              <i className="good" style={width(live)} />
              <i className="ill" style={width(u.measured - live)} />
              <i className="blind" style={width(blind)} />
            </i>
          </button>
        );
      })}
    </aside>
  );
}

export default function Health() {
  const { t, language } = useTexts();
  const { cameras, units, reachable, sights, at, offset } = useCameras();
  const filter = filterOf(useHash());
  const [unit, setUnit] = useState<string>();
  const [search, setSearch] = useState("");
  const box = useRef<HTMLDivElement>(null);
  const height = useRest(box);
  // Only the rows in sight are in the document.
  useFigures(() => {
    const rows = [...(box.current?.querySelectorAll<HTMLElement>("[data-row-key]") ?? [])];
    return rows.flatMap((row) => row.dataset.rowKey ?? []);
  });

  const perUnits = useMemo(
    () => perUnit(units, cameras.values(), reachable, sights),
    [units, cameras, reachable, sights],
  );
  const inUnit = useMemo(() => {
    const below = unit === undefined ? undefined : subtree(units, unit);
    return [...cameras.values()].filter((c) => !below || below.has(c.unit));
  }, [cameras, units, unit]);
  const sums = useMemo(() => sum(inUnit, reachable, sights), [inUnit, reachable, sights]);
  const list = useMemo(() => {
    const words = search.trim().toLowerCase();
    const found = ({ camera, reason }: Row) =>
      matches(units, camera, words) || reasonText(t, reason).toLowerCase().includes(words);
    return inUnit
      .map(
        (camera): Row => ({
          camera,
          state: listed(camera, reachable, sights),
          reason: (sightOf(camera, sights) ?? camera).reason,
          unit: units.get(camera.unit)?.name ?? camera.unit,
          recording: recordingOf(camera, reachable),
        }),
      )
      .filter((r) => passes(filter, r.state) && found(r));
  }, [inUnit, units, reachable, sights, filter, search, t]);
  const zone = useZone();
  // biome-ignore lint/correctness/useExhaustiveDependencies: the columns show times in the chosen zone and language
  const shown = useMemo(() => columns(t, at + offset), [t, language, at, offset, zone]);
  return (
    <Antd>
      <div className="health">
        <Units list={perUnits} chosen={unit} onChoose={setUnit} />
        <div className="health-main">
          <Cards sums={sums} chosen={filter} onChoose={(f) => location.replace(camerasOf(f))} />
          <StorageLine />
          <div className="health-tools">
            <Search text={search} onText={setSearch} hint={t("health.filter")} testid="health-search" />
            <span>
              {t("health.total", { n: cameras.size })} · {t("health.shown", { n: list.length })}
            </span>
          </div>
          <div className="health-table" ref={box}>
            <Table<Row>
              virtual
              size="small"
              columns={shown}
              dataSource={list}
              rowKey={(r) => r.camera.id}
              pagination={false}
              scroll={{ x: 1574, y: height }}
              showSorterTooltip={false}
              locale={{ emptyText: t("wall.none") }}
              onRow={(r) => ({ "data-testid": `camera-row-${r.camera.id}`, "data-state": r.state }) as object}
            />
          </div>
        </div>
      </div>
    </Antd>
  );
}
