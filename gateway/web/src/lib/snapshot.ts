/** What is written under a snapshot, so that it never travels without saying what it shows. */
export interface Caption {
  title: string;
  time: string;
  note: string;
}

/** One picture of a video, held. */
export interface Picture {
  image: CanvasImageSource;
  width: number;
  height: number;
  /** Its own place in the film, seconds, where the browser tells it: the video may have gone on since. */
  mediaTime?: number;
  /** Of a live stream: its RTP timestamp, where the browser tells it. */
  rtp?: number;
  close(): void;
}

/** How long a live picture is waited for. */
const nextMs = 500;

/** The next picture that a live video presents, which alone says what it is; the present one if none comes. Close it. */
export function takeNext(video: HTMLVideoElement): Promise<Picture | undefined> {
  if (!("requestVideoFrameCallback" in video)) return Promise.resolve(takePicture(video));
  return new Promise((resolve) => {
    const handle = video.requestVideoFrameCallback((_, meta) => {
      clearTimeout(timer);
      const picture = takePicture(video);
      resolve(picture && { ...picture, rtp: meta.rtpTimestamp });
    });
    const timer = setTimeout(() => {
      video.cancelVideoFrameCallback(handle);
      resolve(takePicture(video));
    }, nextMs);
  });
}

/** The present picture of a video; undefined if there is none. Close it. */
export function takePicture(video: HTMLVideoElement): Picture | undefined {
  const { videoWidth: width, videoHeight: height } = video;
  if (width === 0 || height === 0) return undefined;
  if (typeof VideoFrame === "function") {
    try {
      const f = new VideoFrame(video);
      const mediaTime = f.timestamp / 1_000_000;
      return { image: f, width: f.displayWidth, height: f.displayHeight, mediaTime, close: () => f.close() };
    } catch {
      // no frame to hold: the element itself can still be drawn
    }
  }
  return { image: video, width, height, close: () => undefined };
}

/** Draws a picture with its caption below and saves it as PNG. False if there is no picture. */
export async function saveSnapshot(
  picture: Picture | undefined,
  caption: Caption,
  file: string,
): Promise<boolean> {
  if (!picture) return false;
  const canvas = draw(picture, caption);
  picture.close();
  const blob = canvas && (await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/png")));
  if (!blob) return false;
  const url = URL.createObjectURL(blob);
  const link = Object.assign(document.createElement("a"), { href: url, download: file });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
  return true;
}

function draw({ image, width: w, height: h }: Picture, caption: Caption): HTMLCanvasElement | undefined {
  const bar = Math.max(28, Math.round(h * 0.06));
  const canvas = document.createElement("canvas");
  canvas.width = w;
  canvas.height = h + bar;
  const g = canvas.getContext("2d");
  if (!g) return undefined;
  g.drawImage(image, 0, 0, w, h);
  g.fillStyle = "#000";
  g.fillRect(0, h, w, bar);
  g.fillStyle = "#fff";
  g.font = `${Math.round(bar * 0.5)}px "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif`;
  g.textBaseline = "middle";
  g.fillText(`${caption.title}   ${caption.time}`, bar * 0.3, h + bar / 2, w * 0.7);
  g.textAlign = "right";
  g.fillText(caption.note, w - bar * 0.3, h + bar / 2, w * 0.28);
  return canvas;
}

/** A file name of camera and time that every file system takes. */
export function fileName(camera: string, time: string, ending: string): string {
  return `${camera}_${time.replace(/[^0-9]+/g, "")}.${ending}`;
}
