import { type ReactNode, useEffect, useRef } from "react";
import { useTexts } from "../i18n";
import { Icon } from "./icons";

/** A modal sheet: keeps the focus, closes with Escape, gives the focus back. */
export function Sheet({ title, onClose, children }: { title: string; onClose(): void; children: ReactNode }) {
  const { t } = useTexts();
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const d = dialog.current;
    d?.showModal();
    return () => d?.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      className="sheet"
      aria-label={title}
      onCancel={(e) => {
        e.preventDefault();
        onClose();
      }}
    >
      <header>
        <h2>{title}</h2>
        <button
          type="button"
          className="quiet icon"
          onClick={onClose}
          aria-label={t("app.close")}
          title={t("app.close")}
        >
          <Icon name="close" />
        </button>
      </header>
      {children}
    </dialog>
  );
}
