import { Component, lazy, type ReactNode, Suspense, useEffect, useState } from "react";
import { type T, useTexts } from "./i18n";
import Login from "./pages/login";
import { useSession } from "./state";
import { Shell } from "./ui/shell";
import { Toasts } from "./ui/toast";

const Wall = lazy(() => import("./pages/wall"));
const Health = lazy(() => import("./pages/health"));

export type Page = "wall" | "cameras";

function usePage(): Page {
  const read = (): Page => (location.hash.startsWith("#/cameras") ? "cameras" : "wall");
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

export function App() {
  const session = useSession();
  const page = usePage();
  const { t } = useTexts();
  return (
    <Guard t={t}>
      {session.phase === "out" && <Login expired={session.expired} />}
      {session.phase === "in" && (
        <Shell me={session.me} page={page}>
          <Suspense fallback={<div className="loading" />}>
            {page === "wall" ? <Wall key={session.me.name} me={session.me} /> : <Health />}
          </Suspense>
        </Shell>
      )}
      <Toasts />
    </Guard>
  );
}
