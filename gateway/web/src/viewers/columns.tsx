import type { ColumnsType } from "antd/es/table";
import type { T } from "../i18n";
import { parse, sinceShort, stamp } from "../lib/time";
import { Figure, Trend } from "./figures";
import { limits, type Row, worstFirst } from "./judge";
import { noteText, troubleText } from "./texts";

export interface Context {
  t: T;
  now: number;
  name(camera: string): string;
  isOpen(id: string): boolean;
  toggle(id: string): void;
}

/** A sorter by a figure; what was not measured comes first. */
export const by =
  <R,>(value: (r: R) => number | undefined) =>
  (a: R, b: R) =>
    (value(a) ?? -1) - (value(b) ?? -1);

function State({ row, c }: { row: Row; c: Context }) {
  const words = row.troubles.map((w) => troubleText(c.t, w));
  if (row.grade === "unmeasured") words.push(noteText(c.t, row, c.name));
  const text = words.filter(Boolean).join(c.t("viewers.comma"));
  return (
    <span className={`grade g-${row.grade}`} title={text}>
      <b>
        <i className="dot" aria-hidden="true" />
        {c.t(`viewers.${row.grade}`)}
      </b>
      <small>{text}</small>
    </span>
  );
}

function Watches({ row, c }: { row: Row; c: Context }) {
  const { session, tiles } = row;
  if (tiles.length === 0) return <span className="faint">—</span>;
  const names = tiles.map((tile) => c.name(tile.slot.camera ?? "")).join(c.t("viewers.comma"));
  const open = c.isOpen(session.id);
  return (
    <button
      type="button"
      className="watches"
      aria-expanded={open}
      onClick={() => c.toggle(session.id)}
      title={names}
      data-testid={`viewer-open-${session.id}`}
    >
      <i aria-hidden="true">{open ? "▾" : "▸"}</i>
      {session.wall && <b>{c.t("viewers.tiles", { n: tiles.length })}</b>}
      <span>{names}</span>
    </button>
  );
}

export function sessionColumns(c: Context): ColumnsType<Row> {
  const { t, now } = c;
  return [
    {
      title: t("health.state"),
      width: 226,
      sorter: (a, b) => worstFirst(a, b),
      render: (_, row) => <State row={row} c={c} />,
    },
    {
      title: t("viewers.viewer"),
      width: 104,
      sorter: (a, b) => a.session.viewer.localeCompare(b.session.viewer, "zh"),
      render: (_, { session }) => (
        <span className="two">
          <b>{session.viewer || "—"}</b>
          <small>{t(session.publishes ? "viewers.publisher" : session.wall ? "viewers.wall" : "viewers.single")}</small>
        </span>
      ),
    },
    {
      title: t("viewers.since"),
      width: 84,
      sorter: by<Row>((r) => parse(r.session.since)),
      render: (_, { session }) => {
        const at = parse(session.since);
        return at === undefined ? "—" : <time title={stamp(at)}>{sinceShort(at, now)}</time>;
      },
    },
    {
      title: t("viewers.remote"),
      width: 146,
      render: (_, { session }) => <Remote text={session.remote} t={t} />,
    },
    {
      title: t("viewers.watches"),
      width: 214,
      sorter: by<Row>((r) => r.tiles.length),
      render: (_, row) => <Watches row={row} c={c} />,
    },
    {
      title: <span title={t("viewers.trendHint")}>{t("viewers.trend")}</span>,
      width: 162,
      render: (_, row) => <Trend points={row.points} now={now} t={t} />,
    },
    {
      title: t("viewers.arrives"),
      width: 84,
      align: "right",
      sorter: by<Row>((r) => r.path.kbps),
      render: (_, row) => <Figure value={row.path.kbps} />,
    },
    {
      title: <span title={t("viewers.bearsHint")}>{t("viewers.bears")}</span>,
      width: 72,
      align: "right",
      sorter: by<Row>((r) => r.borneKbps),
      render: (_, row) => row.borneKbps ?? <span className="faint">—</span>,
    },
    {
      title: t("viewers.loss"),
      width: 72,
      align: "right",
      sorter: by<Row>((r) => r.path.loss),
      render: (_, row) => <Figure value={row.path.loss} digits={1} limit={limits.loss} />,
    },
    {
      title: t("viewers.queue"),
      width: 84,
      align: "right",
      sorter: by<Row>((r) => r.path.queueMs),
      render: (_, row) => <Figure value={row.path.queueMs} limit={limits.queueMs} />,
    },
    {
      title: t("viewers.rtt"),
      width: 72,
      align: "right",
      sorter: by<Row>((r) => r.rttMs),
      render: (_, row) => <Figure value={row.rttMs} digits={(row.rttMs ?? 10) < 10 ? 1 : 0} />,
    },
  ];
}

/** "udp 10.1.2.3:40112": the way and the address. */
function Remote({ text, t }: { text?: string; t: T }) {
  const [way, address] = (text ?? "").split(" ");
  if (!address) return <span className="faint">—</span>;
  const tcp = way === "tcp";
  return (
    <span className="two" title={tcp ? `${text}\n${t("viewers.tcpHint")}` : text}>
      <b>{address}</b>
      <small className={tcp ? "tcp" : ""} data-testid="viewer-way">
        {way?.toUpperCase()}
      </small>
    </span>
  );
}
