import { Icon } from "./icons";

/** A box that narrows a list down. */
export function Search({
  text,
  onText,
  hint,
  testid,
}: {
  text: string;
  onText(text: string): void;
  hint: string;
  testid: string;
}) {
  return (
    <label className="search">
      <Icon name="search" size={14} />
      <input
        type="search"
        value={text}
        onChange={(e) => onText(e.target.value)}
        placeholder={hint}
        aria-label={hint}
        data-testid={testid}
      />
    </label>
  );
}
