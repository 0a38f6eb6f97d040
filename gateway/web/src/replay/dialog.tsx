import Input from "antd/es/input";
import Modal from "antd/es/modal";
import { useState } from "react";
import type { Camera } from "../api/types";
import { useTexts } from "../i18n";
import { stamp } from "../lib/time";
import { Antd } from "../ui/antd";
import type { Range } from "./bar";
import { registerRetrieval } from "./retrieval";

const { TextArea } = Input;

interface Props {
  camera: Camera;
  range: Range;
  onDone(retrieval: string): void;
  onCancel(): void;
}

/** Asks why recorded footage is looked at, as the law demands before its first frame, and registers the answer. */
export default function RetrievalDialog({ camera, range, onDone, onCancel }: Props) {
  const { t } = useTexts();
  const [reason, setReason] = useState("");
  const [document, setDocument] = useState("");
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async () => {
    if (reason.trim() === "") return setError(t("retrieval.required"));
    setBusy(true);
    try {
      onDone(await registerRetrieval(camera.id, range, reason.trim(), document.trim()));
    } catch (e) {
      setBusy(false);
      setError(t("retrieval.failed", { detail: e instanceof Error ? e.message : String(e) }));
    }
  };
  return (
    <Antd>
      <Modal
        open
        title={t("retrieval.title")}
        okText={t("retrieval.submit")}
        cancelText={t("retrieval.cancel")}
        onOk={() => void submit()}
        onCancel={onCancel}
        confirmLoading={busy}
        okButtonProps={{ "data-testid": "retrieval-submit" }}
      >
        <p>{t("retrieval.why")}</p>
        <p className="dialog-range">
          {t("retrieval.range", { camera: camera.name, from: stamp(range.from), to: stamp(range.to) })}
        </p>
        <label className="field">
          <span>{t("retrieval.reason")} *</span>
          <TextArea
            value={reason}
            onChange={(e) => {
              setReason(e.target.value);
              setError("");
            }}
            placeholder={t("retrieval.reasonHint")}
            autoSize={{ minRows: 2, maxRows: 5 }}
            maxLength={500}
            autoFocus
            data-testid="retrieval-reason"
          />
        </label>
        <label className="field">
          <span>{t("retrieval.document")}</span>
          <Input
            value={document}
            onChange={(e) => setDocument(e.target.value)}
            maxLength={200}
            data-testid="retrieval-document"
          />
        </label>
        <p className="login-error" role="alert">
          {error}
        </p>
      </Modal>
    </Antd>
  );
}
