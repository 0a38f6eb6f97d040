import { useTexts } from "../i18n";
import type { Badge as State } from "../live/tile";

export function Dot({ state }: { state: State }) {
  return <i className={`dot s-${state}`} aria-hidden="true" />;
}

/** A state in words and colour, and how old the picture is where that is known. */
export function Badge({ state, note }: { state: State; note?: string }) {
  const { t } = useTexts();
  return (
    <span className={`badge s-${state}`} data-state={state}>
      <Dot state={state} />
      {t(`state.${state}`)}
      {note ? <b>{note}</b> : null}
    </span>
  );
}
