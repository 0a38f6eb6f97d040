import { type FormEvent, type KeyboardEvent, useEffect, useState } from "react";
import { ApiError } from "../api/client";
import { setLanguage, type T, useTexts } from "../i18n";
import { login } from "../state";
import { Mark } from "../ui/icons";

/** Nothing was asked of the gateway. */
const missing = Symbol();

/** In the language of the moment: it may be switched while the error stands. */
function failure(t: T, e: unknown): string {
  if (e === missing) return t("login.missing");
  if (!(e instanceof ApiError)) return t("login.failed", { detail: String(e) });
  if (e.kind === "network") return t("login.away");
  if (e.kind === "unauthorized") return t("login.wrong");
  if (e.kind === "limited") return t("login.limited", { seconds: e.retryAfter ?? 60 });
  return t("login.failed", { detail: e.message });
}

export default function Login({ expired }: { expired: boolean }) {
  const { t, language } = useTexts();
  const [error, setError] = useState<unknown>();
  const [caps, setCaps] = useState(false);
  const [busy, setBusy] = useState(false);
  const [wait, setWait] = useState(0);

  useEffect(() => {
    if (wait <= 0) return;
    const timer = setTimeout(() => setWait(wait - 1), 1000);
    return () => clearTimeout(timer);
  }, [wait]);

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const user = String(form.get("user") ?? "").trim();
    const password = String(form.get("password") ?? "");
    if (!user || !password) return setError(missing);
    setBusy(true);
    setError(undefined);
    try {
      await login(user, password);
    } catch (e) {
      setBusy(false);
      setError(e);
      if (e instanceof ApiError && e.kind === "limited") setWait(e.retryAfter ?? 60);
    }
  };

  const capsLock = (e: KeyboardEvent) => setCaps(e.nativeEvent.getModifierState?.("CapsLock") ?? false);
  const shown =
    wait > 0
      ? t("login.limited", { seconds: wait })
      : error !== undefined
        ? failure(t, error)
        : expired
          ? t("login.expired")
          : "";
  return (
    <main className="login">
      <form onSubmit={submit} onKeyDown={capsLock} onKeyUp={capsLock} aria-labelledby="login-title" noValidate>
        <div className="login-mark">
          <Mark size={44} />
          <div>
            <h1 id="login-title">{t("app.name")}</h1>
            <p>{t("app.tagline")}</p>
          </div>
        </div>
        <label>
          <span>{t("login.user")}</span>
          <input
            name="user"
            autoComplete="username"
            data-testid="login-user"
            // biome-ignore lint/a11y/noAutofocus: the page is for nothing else
            autoFocus
            autoCapitalize="none"
            spellCheck={false}
          />
        </label>
        <label>
          <span>{t("login.password")}</span>
          <input name="password" type="password" autoComplete="current-password" data-testid="login-password" />
        </label>
        {caps && (
          <p className="login-caps" role="status" data-testid="login-caps">
            {t("login.capsLock")}
          </p>
        )}
        <p className="login-error" role="alert" data-testid="login-error">
          {shown}
        </p>
        <button type="submit" className="primary" disabled={busy || wait > 0} data-testid="login-submit">
          {t(busy ? "login.busy" : "login.submit")}
        </button>
        <p className="login-notice">{t("login.notice")}</p>
        <button type="button" className="link" onClick={() => setLanguage(language === "zh" ? "en" : "zh")}>
          {t("app.language")}
        </button>
      </form>
    </main>
  );
}
