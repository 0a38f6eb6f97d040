/**
 * Exponential back-off with full jitter over the upper half: the n-th wait is between half and all of
 * `firstMs * 2^n`, at most `maxMs`. `reset` after something worked for long enough.
 */
export class Backoff {
  private n = 0;

  constructor(
    private readonly firstMs = 500,
    private readonly maxMs = 15_000,
    private readonly random: () => number = Math.random,
  ) {}

  next(): number {
    const full = Math.min(this.maxMs, this.firstMs * 2 ** this.n);
    this.n = Math.min(this.n + 1, 16);
    return full / 2 + (this.random() * full) / 2;
  }

  reset(): void {
    this.n = 0;
  }
}
