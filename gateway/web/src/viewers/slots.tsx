import type { Camera } from "../api/types";
import { type T, useTexts } from "../i18n";
import { listed } from "../live/tile";
import { Dot } from "../ui/badge";
import { Figure, Unmeasured } from "./figures";
import { limits, type Row, type Tile } from "./judge";
import { whyText } from "./texts";
import type { LiveSlot } from "./types";

interface Props {
  row: Row;
  cameras: ReadonlyMap<string, Camera>;
  reachable: boolean;
}

const wrong = (tile: Tile) => tile.still || tile.dark || (tile.freezes ?? 0) > 0 || tile.slot.reason === "link-slow";

/** What a viewer sees, slot by slot. */
export function Slots({ row, cameras, reachable }: Props) {
  const { t } = useTexts();
  const head = [
    "slot",
    "camera",
    "profile",
    "sent",
    "fps",
    "first",
    "lost",
    "again",
    "freezes",
    "jitter",
    "why",
  ] as const;
  return (
    <table className="slots" data-testid={`viewer-slots-${row.session.id}`}>
      <thead>
        <tr>
          {head.map((h) => (
            <th key={h} scope="col" title={h === "again" ? t("viewers.againHint") : undefined}>
              {t(`viewers.${h}`)}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {row.tiles.map((tile) => (
          <tr
            key={tile.slot.slot}
            className={wrong(tile) ? "wrong" : ""}
            data-testid={`viewer-slot-${tile.slot.slot}`}
            data-camera={tile.slot.camera}
            data-kbps={tile.kbps === undefined ? "" : Math.round(tile.kbps)}
          >
            <td>{row.session.wall ? tile.slot.slot + 1 : "—"}</td>
            <td>
              <Name id={tile.slot.camera ?? ""} cameras={cameras} reachable={reachable} />
            </td>
            <td>{tile.slot.profile ? t(`wall.${tile.slot.profile}`) : "—"}</td>
            <td>
              <Figure value={tile.kbps} />
            </td>
            <td>
              <Figure value={tile.fps} digits={1} />
            </td>
            <Common slot={tile.slot} />
            <td>{freezes(t, tile)}</td>
            <td>
              <Figure value={tile.measured ? tile.slot.viewer?.jitter_ms : undefined} />
            </td>
            <td>{whyText(t, tile.slot.reason)}</td>
          </tr>
        ))}
        {row.sounds.map((slot) => (
          <tr key={slot.slot} className="faint">
            <td>—</td>
            <td>{t("viewers.sound")}</td>
            <td colSpan={3} />
            <Common slot={slot} />
            <td colSpan={2} />
            <td>{whyText(t, slot.reason)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Name({ id, cameras, reachable }: { id: string; cameras: Props["cameras"]; reachable: boolean }) {
  const camera = cameras.get(id);
  return (
    <span className="cam-name" title={id}>
      <Dot state={camera ? listed(camera, reachable) : "unknown"} />
      <b>{camera?.name ?? id}</b>
    </span>
  );
}

/** First picture, loss and what was sent again. */
function Common({ slot }: { slot: LiveSlot }) {
  const heard = slot.rtt_ms > 0 || slot.loss_percent > 0;
  return (
    <>
      <td>
        <Figure value={slot.packets > 0 && !slot.audio ? slot.first_frame_ms : undefined} />
      </td>
      <td>
        <Figure value={heard ? slot.loss_percent : undefined} digits={1} limit={limits.loss} />
      </td>
      <td>
        {slot.nacked} / {slot.resent}
      </td>
    </>
  );
}

function freezes(t: T, tile: Tile) {
  const v = tile.slot.viewer;
  if (tile.still) return <b className="lv-worst">{t("viewers.stands")}</b>;
  if (!v || !tile.measured) return <Unmeasured t={t} />;
  const lately = tile.freezes ?? 0;
  const all = t("viewers.frozen", { n: v.freezes, s: (v.frozen_ms / 1000).toFixed(1) });
  return <span className={lately > 0 ? "lv-high" : ""}>{all}</span>;
}
