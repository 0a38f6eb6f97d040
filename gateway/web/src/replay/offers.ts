/** Parts of the archive a gateway may or may not have, found out by asking once. */
import { ApiError, request } from "../api/client";

/** What the console does with an answer of something it may have to do without. */
export function absent(e: unknown): boolean {
  return e instanceof ApiError && (e.status === 404 || e.status === 501 || e.status === 403 || e.status === 405);
}

/** Whether something is there. Asked once; a gateway that did not answer is asked again. */
export class Offer {
  private answer: Promise<boolean> | undefined;

  constructor(private readonly ask: () => Promise<unknown>) {}

  there(): Promise<boolean> {
    this.answer ??= this.ask().then(
      () => true,
      (e: unknown) => {
        if (!(e instanceof ApiError) || e.status === 0) this.answer = undefined;
        // A path that is there for POST alone answers 405 to a GET: it is there.
        return e instanceof ApiError && e.status !== 0 && (e.status === 405 || !absent(e));
      },
    );
    return this.answer;
  }

  /** It turned out not to be there after all. */
  gone(): void {
    this.answer = Promise.resolve(false);
  }
}

export const locks = new Offer(() => request("/v1/locks", { timeoutMs: 5000 }));

export const thumbnailURL = (camera: string, at: string, retrieval?: string) =>
  `/v1/thumbnails/${encodeURIComponent(camera)}.jpg?${new URLSearchParams(retrieval ? { at, retrieval } : { at })}`;
