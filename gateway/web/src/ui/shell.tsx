import { type ReactNode, useEffect, useMemo, useRef } from "react";
import type { Me } from "../api/types";
import { mayOpen, type Page } from "../pages/may";
import { roleText, setLanguage, useTexts } from "../i18n";
import { useSecond } from "../lib/tick";
import { clock, day } from "../lib/time";
import { setZone, useZone, type ZoneChoice, zoneLabel, zones } from "../lib/zone";
import { faulty, listed, unmeasured } from "../live/tile";
import { camerasOf } from "../pages/filter";
import { logout, useCameras } from "../state";
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
  const { cameras, reachable, sights } = useCameras();
  const { t } = useTexts();
  const sums = useMemo(() => {
    let live = 0;
    let unknown = 0;
    let bad = 0;
    for (const c of cameras.values()) {
      const state = listed(c, reachable, sights);
      if (state === "live") live++;
      else if (unmeasured.has(state)) unknown++;
      else if (faulty(state)) bad++;
    }
    return { live, unknown, bad };
  }, [cameras, reachable, sights]);
  return (
    <div className="sums" data-testid="sums" data-live={sums.live} data-bad={sums.bad} data-unknown={sums.unknown}>
      <a href={camerasOf("live")} title={t("health.showThese")} data-testid="sum-live">
        <Dot state="live" />
        {t("state.live")} <b>{sums.live}</b>
      </a>
      <a
        href={camerasOf("faulty")}
        title={t("health.showThese")}
        className={sums.bad > 0 ? "bad" : ""}
        data-testid="sum-bad"
      >
        <Dot state="offline" />
        {t("health.bad")} <b>{sums.bad}</b>
      </a>
      <a href={camerasOf("unmeasured")} title={t("health.showThese")} data-testid="sum-unknown">
        <Dot state="unknown" />
        {t("health.unmeasured")} <b>{sums.unknown}</b>
      </a>
    </div>
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
  const pushed = useMemo(() => [...cameras.values()].some((c) => c.pushed === true), [cameras]);
  const unit = units.get(me.unit)?.name ?? me.unit;
  const link = (to: Page, text: string) =>
    mayOpen(me, to) && (
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
          {link("viewers", t("app.viewers"))}
          {pushed && link("publish", t("app.publish"))}
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
