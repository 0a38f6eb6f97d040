import { postJSON } from "../api/client";
import type { Retrieval } from "../api/types";
import { rfc3339 } from "../lib/time";
import type { Range } from "./bar";

interface Registered extends Range {
  camera: string;
  id: string;
}

/** Retrievals registered since the page was loaded: one entry serves every look inside its range. */
export class Register {
  private readonly entries: Registered[] = [];

  find(camera: string, r: Range): string | undefined {
    return this.entries.find((e) => e.camera === camera && e.from <= r.from && e.to >= r.to)?.id;
  }

  add(entry: Registered): void {
    this.entries.unshift(entry);
  }
}

export const register = new Register();

/** Registers why a range is looked at; throws ApiError. */
export async function registerRetrieval(camera: string, r: Range, reason: string, document: string): Promise<string> {
  const from = rfc3339(r.from);
  const to = rfc3339(r.to);
  const { id } = await postJSON<Retrieval>("/v1/retrievals", { reason, cameras: [camera], from, to, document });
  register.add({ camera, ...r, id });
  return id;
}

export function clipURL(camera: string, r: Range, kind: "mp4" | "m3u8" | "json", retrieval?: string): string {
  const query = new URLSearchParams({ from: rfc3339(r.from), to: rfc3339(r.to) });
  if (retrieval) query.set("retrieval", retrieval);
  return `/v1/clips/${encodeURIComponent(camera)}.${kind}?${query}`;
}
