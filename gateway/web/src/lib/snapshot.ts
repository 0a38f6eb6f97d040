/** What is written under a snapshot, so that it never travels without saying what it shows. */
export interface Caption {
  title: string;
  time: string;
  note: string;
}

/** Draws the present picture of a video with its caption below and saves it as PNG. False if there is no picture. */
export async function saveSnapshot(video: HTMLVideoElement, caption: Caption, file: string): Promise<boolean> {
  const { videoWidth: w, videoHeight: h } = video;
  if (w === 0 || h === 0) return false;
  const bar = Math.max(28, Math.round(h * 0.06));
  const canvas = document.createElement("canvas");
  canvas.width = w;
  canvas.height = h + bar;
  const g = canvas.getContext("2d");
  if (!g) return false;
  g.drawImage(video, 0, 0, w, h);
  g.fillStyle = "#000";
  g.fillRect(0, h, w, bar);
  g.fillStyle = "#fff";
  g.font = `${Math.round(bar * 0.5)}px "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif`;
  g.textBaseline = "middle";
  g.fillText(`${caption.title}   ${caption.time}`, bar * 0.3, h + bar / 2, w * 0.7);
  g.textAlign = "right";
  g.fillText(caption.note, w - bar * 0.3, h + bar / 2, w * 0.28);
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/png"));
  if (!blob) return false;
  const url = URL.createObjectURL(blob);
  const link = Object.assign(document.createElement("a"), { href: url, download: file });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
  return true;
}

/** A file name of camera and time that every file system takes. */
export function fileName(camera: string, time: string, ending: string): string {
  return `${camera}_${time.replace(/[^0-9]+/g, "")}.${ending}`;
}
