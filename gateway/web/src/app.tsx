import { Component, lazy, type ReactNode, Suspense } from "react";
import { type T, useTexts } from "./i18n";
import { useHash } from "./lib/hash";
import Login from "./pages/login";
import { mayOpen, pageOf } from "./pages/may";
import { useSession } from "./state";
import { Shell } from "./ui/shell";
import { Toasts } from "./ui/toast";

const Wall = lazy(() => import("./pages/wall"));
const Health = lazy(() => import("./pages/health"));
const Publish = lazy(() => import("./publish/page"));
const Viewers = lazy(() => import("./viewers/page"));

/** Catches a failure of the page itself: a wall that stopped for that reason must not look like a quiet street. */
class Guard extends Component<{ t: T; children: ReactNode }, { failed: boolean }> {
  override state = { failed: false };
  static getDerivedStateFromError() {
    return { failed: true };
  }
  override render() {
    if (!this.state.failed) return this.props.children;
    return (
      <div className="crashed" role="alert">
        <p>{this.props.t("error.crashed")}</p>
        <button type="button" className="primary" onClick={() => location.reload()}>
          {this.props.t("error.reload")}
        </button>
      </div>
    );
  }
}

/** A page that is not for these eyes: the address may have come from somebody else. */
function Refused({ t }: { t: T }) {
  return (
    <p className="refused" role="alert" data-testid="refused">
      {t("error.forbidden")}
    </p>
  );
}

export function App() {
  const session = useSession();
  const hash = useHash();
  const { t } = useTexts();
  const page = session.phase === "in" ? pageOf(hash, session.me) : undefined;
  const open = session.phase === "in" && page !== undefined && mayOpen(session.me, page);
  return (
    <Guard t={t}>
      {session.phase === "out" && <Login expired={session.expired} />}
      {session.phase === "in" && page === "publish" && (
        <Suspense fallback={<div className="loading" />}>
          <Publish me={session.me} />
        </Suspense>
      )}
      {session.phase === "in" && page && page !== "publish" && (
        <Shell me={session.me} page={page}>
          <Suspense fallback={<div className="loading" />}>
            {!open && <Refused t={t} />}
            {open && page === "wall" && <Wall key={session.me.name} me={session.me} />}
            {open && page === "cameras" && <Health />}
            {open && page === "viewers" && <Viewers />}
          </Suspense>
        </Shell>
      )}
      <Toasts />
    </Guard>
  );
}
