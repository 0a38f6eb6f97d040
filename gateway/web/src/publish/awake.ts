/** Keeps the screen on while wanted: a phone whose screen goes dark stops its camera. */
export class Awake {
  private lock: WakeLockSentinel | undefined;
  private wanted = false;

  /** Reports whether the browser can do it. */
  static get possible(): boolean {
    return "wakeLock" in navigator;
  }

  private readonly again = () => {
    if (document.visibilityState === "visible") void this.take();
  };

  on(): void {
    if (this.wanted) return;
    this.wanted = true;
    document.addEventListener("visibilitychange", this.again); // a hidden page loses it
    void this.take();
  }

  off(): void {
    this.wanted = false;
    document.removeEventListener("visibilitychange", this.again);
    this.lock?.release().catch(() => undefined);
    this.lock = undefined;
  }

  private async take(): Promise<void> {
    try {
      const lock = await navigator.wakeLock.request("screen");
      if (this.wanted) this.lock = lock;
      else await lock.release();
    } catch {
      // not allowed now, such as in power saving mode: the page says what to do
    }
  }
}
