/**
 * The one way this console talks to /v1. The session is the cookie `skein_session`, so no token is ever held by a
 * script. Every failure is an ApiError: `kind` is what callers branch on, `message` is for people.
 */

export type Failure = "network" | "unauthorized" | "forbidden" | "retrieval" | "limited" | "missing" | "problem";

export interface Problem {
  type?: string;
  title?: string;
  status?: number;
  detail?: string;
}

export class ApiError extends Error {
  constructor(
    readonly kind: Failure,
    readonly status: number,
    readonly problem: Problem,
    readonly retryAfter?: number,
  ) {
    super(problem.detail || problem.title || (status ? `HTTP ${status}` : "network"));
    this.name = "ApiError";
  }
}

export interface RequestOptions {
  method?: string;
  json?: unknown;
  body?: string;
  type?: string;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** For the whole answer; 0: none. */
  timeoutMs?: number;
  keepalive?: boolean;
}

/** Told about every outcome, so that one place can show "gateway away" and one can go back to the login page. */
export interface Observer {
  reached(): void;
  unreachable(): void;
  unauthorized(): void;
}

let observer: Observer | undefined;

export function observe(o: Observer | undefined): void {
  observer = o;
}

/** Classifies an error answer: RFC 9457 problem types may be URIs or plain words, so only their last part counts. */
export function classify(status: number, problem: Problem): Failure {
  const type = (problem.type ?? "").toLowerCase();
  if (status === 401) return "unauthorized";
  if (status === 403 && type.includes("retrieval")) return "retrieval";
  if (status === 403) return "forbidden";
  if (status === 404) return "missing";
  if (status === 429) return "limited";
  return "problem";
}

async function problemOf(response: Response): Promise<Problem> {
  try {
    const body: unknown = await response.json();
    if (body && typeof body === "object") return body as Problem;
  } catch {
    // not JSON: the status alone has to do
  }
  return { status: response.status, title: response.statusText };
}

/** Sends one request. Resolves for 2xx only; rejects with ApiError otherwise, or AbortError if `signal` fired. */
export async function request(path: string, o: RequestOptions = {}): Promise<Response> {
  const headers: Record<string, string> = { Accept: "application/json, application/problem+json", ...o.headers };
  let body = o.body;
  if (o.json !== undefined) {
    body = JSON.stringify(o.json);
    headers["Content-Type"] = "application/json";
  } else if (o.type) {
    headers["Content-Type"] = o.type;
  }
  const limits = o.timeoutMs === 0 ? [] : [AbortSignal.timeout(o.timeoutMs ?? 10_000)];
  const signal = AbortSignal.any(o.signal ? [o.signal, ...limits] : limits);
  let response: Response;
  try {
    response = await fetch(path, {
      method: o.method ?? "GET",
      headers,
      body,
      signal,
      credentials: "same-origin",
      cache: "no-store",
      keepalive: o.keepalive,
    });
  } catch (e) {
    if (o.signal?.aborted) throw e;
    observer?.unreachable();
    throw new ApiError("network", 0, { title: String(e) });
  }
  // A proxy answering for a gateway that is away is as good as no answer.
  if (response.status === 502 || response.status === 504) observer?.unreachable();
  else observer?.reached();
  if (response.ok) return response;
  const problem = await problemOf(response);
  const kind = classify(response.status, problem);
  if (kind === "unauthorized") observer?.unauthorized();
  const after = Number(response.headers.get("Retry-After"));
  throw new ApiError(kind, response.status, problem, Number.isFinite(after) && after > 0 ? after : undefined);
}

export async function getJSON<T>(path: string, o: RequestOptions = {}): Promise<T> {
  return (await (await request(path, o)).json()) as T;
}

export async function postJSON<T>(path: string, json: unknown, o: RequestOptions = {}): Promise<T> {
  const response = await request(path, { ...o, method: "POST", json });
  return (response.status === 204 ? undefined : await response.json()) as T;
}
