/**
 * Pictures without a gateway, for `npm run mock` only: the build drops this file's body otherwise. One hidden video (or
 * a drawn scene) feeds a canvas per slot.
 */
import { Tours } from "./tour";
import { type LiveTransport, SoundBox, type SlotRequest, type SlotStats, SlotTable } from "./transport";

interface Drawing {
  camera: string;
  canvas: HTMLCanvasElement;
  timer: ReturnType<typeof setInterval>;
}

export class FakeTransport implements LiveTransport {
  readonly kind = "fake";
  private readonly table = new SlotTable();
  private readonly drawings = new Map<number, Drawing>();
  private readonly film = document.createElement("video");

  constructor() {
    Object.assign(this.film, { muted: true, loop: true, src: "/mock/street.mp4" });
    this.film.play().catch(() => undefined);
  }

  private readonly sounds = new SoundBox();
  private readonly tours = new Tours(this.table, (slot, r) => this.put(slot, r));

  show(slot: number, r: SlotRequest): void {
    if (!this.tours.show(slot, r)) this.put(slot, r);
  }

  private put(slot: number, r: SlotRequest): void {
    const old = this.drawings.get(slot);
    const profile = r.profile === "main" ? "main" : "sub";
    if (old?.camera === r.camera) {
      this.table.patch(slot, { profile });
      return;
    }
    this.stop(slot);
    const dead = /dead/.test(r.camera);
    if (dead) {
      this.table.patch(slot, { camera: r.camera, phase: "waiting", reason: "source_away", stream: null }, true);
      return;
    }
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width: 640, height: 360 });
    const seed = [...r.camera].reduce((n, c) => (n * 31 + c.charCodeAt(0)) % 997, 7);
    const began = Date.now();
    const draw = () => {
      if (/freeze/.test(r.camera) && Date.now() - began > 4000) return;
      const g = canvas.getContext("2d");
      if (!g) return;
      g.filter = `hue-rotate(${(seed % 9) * 6 - 24}deg) brightness(${0.75 + (seed % 5) / 12})`;
      const zoom = 0.62 + (seed % 4) / 10;
      const { videoWidth: w, videoHeight: h } = this.film;
      if (w > 0)
        g.drawImage(
          this.film,
          (w * (1 - zoom) * (seed % 7)) / 7,
          (h * (1 - zoom) * (seed % 3)) / 3,
          w * zoom,
          h * zoom,
          0,
          0,
          640,
          360,
        );
      else g.fillRect(0, 0, 640, 360);
    };
    draw();
    const timer = setInterval(draw, 80 + (seed % 4) * 10);
    this.drawings.set(slot, { camera: r.camera, canvas, timer });
    const stream = canvas.captureStream();
    this.table.patch(slot, { camera: r.camera, profile, phase: "playing", stream, reason: undefined }, true);
  }

  hide(slot: number): void {
    this.tours.end(slot);
    this.stop(slot);
    this.table.clear(slot);
  }

  private stop(slot: number): void {
    clearInterval(this.drawings.get(slot)?.timer);
    this.drawings.delete(slot);
  }

  nudge(): void {}
  wake(): void {}
  readonly view = (slot: number) => this.table.get(slot);
  readonly subscribe = (slot: number, listener: () => void) => this.table.subscribe(slot, listener);

  async stats(): Promise<SlotStats> {
    return { codec: "H264", width: 640, height: 360, fps: 12, kbps: 480, dropped: 0, lost: 0, roundTripMs: 3 };
  }

  listen(slot: number | undefined): void {
    this.sounds.set({ slot, stream: null });
  }
  readonly sound = this.sounds.get;
  readonly subscribeSound = this.sounds.subscribe;
  async soundStats() {
    return { packets: Math.round(Date.now() / 20), level: Math.random() / 3 };
  }
  async replay(): Promise<boolean> {
    return false;
  }
  live(): void {}
  tourPause(slot: number, paused: boolean): void {
    this.tours.pause(slot, paused);
  }
  tourNext(slot: number): void {
    this.tours.next(slot);
  }

  close(): void {
    for (const slot of [...this.drawings.keys()]) this.hide(slot);
    this.film.removeAttribute("src");
  }
}
