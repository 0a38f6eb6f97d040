import type { ColumnsType } from "antd/es/table";
import type { T } from "../i18n";
import { by, type Context } from "./columns";
import { Figure } from "./figures";
import { limits } from "./judge";
import type { StreamRow } from "./streams";
import { dropText } from "./texts";

export function streamColumns({ t, name }: Context): ColumnsType<StreamRow> {
  return [
    {
      title: t("viewers.camera"),
      width: 240,
      fixed: "left",
      sorter: (a, b) => name(a.stream.camera).localeCompare(name(b.stream.camera), "zh"),
      render: (_, { stream }) => (
        <span className="cam-name">
          <b>{name(stream.camera)}</b>
          <small>{stream.camera}</small>
        </span>
      ),
    },
    {
      title: t("viewers.profile"),
      width: 96,
      sorter: (a, b) => a.stream.profile.localeCompare(b.stream.profile),
      render: (_, { stream }) => t(`wall.${stream.profile}`),
    },
    {
      title: t("viewers.variant"),
      width: 110,
      sorter: (a, b) => (a.stream.variant ?? "").localeCompare(b.stream.variant ?? ""),
      render: (_, { stream }) =>
        stream.variant ? (
          <span className="warn">
            {t(stream.variant === "opus" ? "viewers.soundAs" : "viewers.transcoded", {
              codec: stream.variant.toUpperCase(),
            })}
          </span>
        ) : (
          t("viewers.asItComes")
        ),
    },
    {
      title: t("viewers.viewers"),
      width: 84,
      align: "right",
      sorter: by<StreamRow>((r) => r.stream.viewers),
      render: (_, { stream }) => stream.viewers,
    },
    {
      title: t("viewers.sent"),
      width: 110,
      align: "right",
      sorter: by<StreamRow>((r) => r.kbps),
      render: (_, row) => <Figure value={row.kbps} />,
    },
    {
      title: t("viewers.firstMean"),
      width: 120,
      align: "right",
      sorter: by<StreamRow>((r) => r.firstMs),
      render: (_, row) => <Figure value={row.firstMs} />,
    },
    {
      title: t("viewers.resent"),
      width: 170,
      align: "right",
      sorter: by<StreamRow>((r) => r.again),
      render: (_, row) => (
        <>
          {row.stream.resent} (<Figure value={row.again} digits={2} limit={limits.loss} />
          {row.again === undefined ? "" : " %"})
        </>
      ),
    },
    {
      title: t("viewers.drops"),
      width: 390,
      sorter: by<StreamRow>((r) => r.drops.reduce((sum, [, n]) => sum + n, 0)),
      render: (_, row) => <Drops row={row} t={t} />,
    },
  ];
}

function Drops({ row, t }: { row: StreamRow; t: T }) {
  if (row.drops.length === 0) return <span className="faint">{t("viewers.noDrops")}</span>;
  const text = row.drops.map(([reason, n]) => `${dropText(t, reason)} ${n}`).join(t("viewers.comma"));
  return <span title={text}>{text}</span>;
}
