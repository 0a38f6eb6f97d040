import { Component, lazy, type ReactNode, Suspense, useEffect, useState } from "react";
import { type T, useTexts } from "./i18n";
import Login from "./pages/login";
import { useSession } from "./state";
import { Shell } from "./ui/shell";
import { Toasts } from "./ui/toast";
import { maySee } from "./viewers/may";

const Wall = lazy(() => import("./pages/wall"));
const Health = lazy(() => import("./pages/health"));
const Publish = lazy(() => import("./publish/page"));
const Viewers = lazy(() => import("./viewers/page"));

export type Page = "wall" | "cameras" | "viewers" | "publish";

function usePage(): Page {
  const read = (): Page => {
    const named = (["cameras", "viewers", "publish"] as const).find((p) => location.hash.startsWith(`#/${p}`));
    return named ?? "wall";
  };
  const [page, setPage] = useState(read);
  useEffect(() => {
    const changed = () => setPage(read());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  });
  return page;
}

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
  const page = usePage();
  const { t } = useTexts();
  return (
    <Guard t={t}>
      {session.phase === "out" && <Login expired={session.expired} />}
      {session.phase === "in" && page === "publish" && (
        <Suspense fallback={<div className="loading" />}>
          <Publish me={session.me} />
        </Suspense>
      )}
      {session.phase === "in" && page !== "publish" && (
        <Shell me={session.me} page={page}>
          <Suspense fallback={<div className="loading" />}>
            {page === "wall" && <Wall key={session.me.name} me={session.me} />}
            {page === "cameras" && <Health />}
            {page === "viewers" && (maySee(session.me) ? <Viewers /> : <Refused t={t} />)}
          </Suspense>
        </Shell>
      )}
      <Toasts />
    </Guard>
  );
}
