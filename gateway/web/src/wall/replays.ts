import type { SlotTable } from "../live/transport";
import type { Command, Refusal, SlotState } from "./protocol";

/** A gateway that can go back in time says so within this: footage on its way into the archive is waited for. */
const answerMs = 6000;

interface Asked {
  timer: ReturnType<typeof setTimeout>;
  settle(can: boolean): void;
}

/** Which slots of a wall show the past. The gateway's word counts, asked for or not. */
export class Replays {
  private readonly asked = new Map<number, Asked>();
  /** Until the next connection: this gateway said it cannot. */
  private cannot = false;

  constructor(
    private readonly table: SlotTable,
    private readonly send: (c: Command) => void,
  ) {}

  /** Asks the gateway; false if it says no or nothing. */
  ask(slot: number, backS: number): Promise<boolean> {
    if (this.cannot) return Promise.resolve(false);
    this.drop(slot);
    this.table.patch(slot, { replay: { backS } });
    this.send({ type: "replay", slot, back_s: backS });
    return new Promise((resolve) => {
      const settle = (can: boolean) => {
        clearTimeout(this.asked.get(slot)?.timer);
        this.asked.delete(slot);
        if (!can) this.live(slot);
        resolve(can);
      };
      this.asked.set(slot, { settle, timer: setTimeout(() => settle(false), answerMs) });
    });
  }

  live(slot: number): void {
    const { replay } = this.table.get(slot);
    if (!replay) return;
    this.send({ type: "live", slot });
    // Pictures of the past may still be on their way: the tile stays veiled until the gateway's next word.
    if (replay.since === undefined) this.table.patch(slot, { replay: undefined });
    else this.table.patch(slot, { replay: undefined, phase: "connecting", report: undefined }, true);
  }

  /** Takes in a state of the slot's camera. */
  state(m: SlotState): void {
    const { replay } = this.table.get(m.slot);
    if (m.replay) {
      const backS = replay?.backS ?? Math.round((m.behind_ms ?? 0) / 1000);
      const since = replay?.since ?? Date.now();
      this.table.patch(m.slot, { replay: { backS, since, behindMs: m.behind_ms } }, replay?.since === undefined);
      this.asked.get(m.slot)?.settle(true);
    } else if (replay?.since !== undefined) this.table.patch(m.slot, { replay: undefined }, true);
  }

  /** An error of the gateway; false if nothing was asked that it could be about. */
  refused(m: Refusal): boolean {
    if (this.asked.size === 0) return false;
    this.cannot = m.slot === undefined;
    for (const [slot, a] of [...this.asked]) if (m.slot === undefined || m.slot === slot) a.settle(false);
    return true;
  }

  /** The slot has another camera or none: what was asked for it is void. */
  drop(slot: number): void {
    this.asked.get(slot)?.settle(false);
  }

  /** The connection is gone: all slots are live again once there is another. */
  reset(): void {
    for (const a of [...this.asked.values()]) a.settle(false);
    this.cannot = false;
  }
}
