import { type ReactNode, useEffect, useMemo, useRef } from "react";
import type { Me } from "../api/types";
import type { Page } from "../app";
import { roleText, setLanguage, useTexts } from "../i18n";
import { useSecond } from "../lib/tick";
import { clock, day } from "../lib/time";
import { setZone, useZone, type ZoneChoice, zoneLabel, zones } from "../lib/zone";
import { listed, unmeasured } from "../live/tile";
import { mayPublish } from "../publish/may";
import { logout, useCameras } from "../state";
import { maySee } from "../viewers/may";
import { Dot } from "./badge";
import { Icon, Mark } from "./icons";
import { toast } from "./toast";

/** The clock of the gateway, not of this computer: what is compared with footage has to be on its time. */
function Clock() {
  const now = useSecond() + useCameras().offset;
  const { t } = useTexts();
  const choice = useZone();
  return (
    <label className={`clock ${choice === "Asia/Shanghai" ? "" : "elsewhere"}`} title={t("app.zoneHint")}>
      <time>{clock(now)}</time>
      <small>
        {day(now)} {choice === "Asia/Shanghai" ? t("app.zone") : zoneLabel(now)}
      </small>
      <select
        value={choice}
        onChange={(e) => setZone(e.target.value as ZoneChoice)}
        aria-label={t("app.zoneHint")}
        data-testid="zone"
      >
        {zones.map((z) => (
          <option key={z} value={z}>
            {t(`zone.${z.replace("/", "_")}`)}
          </option>
        ))}
      </select>
    </label>
  );
}

function Sums() {
  const { cameras, reachable } = useCameras();
  const { t } = useTexts();
  const sums = useMemo(() => {
    let live = 0;
    let unknown = 0;
    for (const c of cameras.values()) {
      const state = listed(c, reachable);
      if (state === "live") live++;
      if (unmeasured.has(state)) unknown++;
    }
    return { live, unknown, bad: cameras.size - live - unknown };
  }, [cameras, reachable]);
  return (
    <a className="sums" href="#/cameras" data-testid="sums">
      <span>
        <Dot state="live" />
        {t("state.live")} <b>{sums.live}</b>
      </span>
      <span className={sums.bad > 0 ? "bad" : ""}>
        <Dot state="offline" />
        <Icon name="warn" size={12} /> <b>{sums.bad}</b>
      </span>
      <span>
        <Dot state="unknown" />
        {t("health.unmeasured")} <b>{sums.unknown}</b>
      </span>
    </a>
  );
}

function AwayBanner() {
  const { reachable, at } = useCameras();
  const { t } = useTexts();
  const was = useRef(reachable);
  useEffect(() => {
    if (reachable && !was.current) toast("good", t("wall.reconnected"));
    was.current = reachable;
  }, [reachable, t]);
  if (reachable) return null;
  return (
    <div className="away" role="alert" data-testid="away">
      <Icon name="warn" /> {t("wall.away", { time: at ? clock(at) : "—" })}
    </div>
  );
}

export function Shell({ me, page, children }: { me: Me; page: Page; children: ReactNode }) {
  const { t, language } = useTexts();
  const { units, cameras } = useCameras();
  const publishes = useMemo(
    () => mayPublish(me) && [...cameras.values()].some((c) => c.pushed === true),
    [me, cameras],
  );
  const unit = units.get(me.unit)?.name ?? me.unit;
  const link = (to: Page, text: string) => (
    <a href={`#/${to}`} aria-current={page === to ? "page" : undefined} data-testid={`nav-${to}`}>
      {text}
    </a>
  );
  return (
    <div className="shell">
      <a className="skip" href="#main">
        {t("app.skip")}
      </a>
      <header className="top">
        <div className="brand">
          <Mark />
          <h1>{t("app.name")}</h1>
          <span>{unit}</span>
        </div>
        <nav>
          {link("wall", t("app.wall"))}
          {link("cameras", t("app.cameras"))}
          {maySee(me) && link("viewers", t("app.viewers"))}
          {publishes && link("publish", t("app.publish"))}
        </nav>
        <div id="tools" className="tools" />
        <Sums />
        <Clock />
        <button
          type="button"
          className="quiet"
          onClick={() => setLanguage(language === "zh" ? "en" : "zh")}
          data-testid="language"
        >
          {t("app.language")}
        </button>
        <div className="who">
          <b>{me.name}</b>
          <small>{roleText(t, me.role)}</small>
        </div>
        <button
          type="button"
          className="quiet icon"
          onClick={() => logout().catch(() => undefined)}
          aria-label={t("app.logout")}
          title={t("app.logout")}
          data-testid="logout"
        >
          <Icon name="out" />
        </button>
      </header>
      <AwayBanner />
      <main id="main">{children}</main>
    </div>
  );
}
