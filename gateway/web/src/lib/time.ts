/** Times are kept as epoch milliseconds (UTC) and shown in one zone, Asia/Shanghai unless the viewer chose another. */
import { zone as chosen } from "./zone";

const formats = new Map<string, Intl.DateTimeFormat>();

function format(zone: string): Intl.DateTimeFormat {
  let f = formats.get(zone);
  if (!f) {
    f = new Intl.DateTimeFormat("en-GB", {
      timeZone: zone,
      hourCycle: "h23",
      year: "numeric",
      month: "2-digit",
      day: "2-digit",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
    });
    formats.set(zone, f);
  }
  return f;
}

interface Fields {
  year: string;
  month: string;
  day: string;
  hour: string;
  minute: string;
  second: string;
}

function fields(ms: number, zone: string): Fields {
  const out: Record<string, string> = {};
  for (const part of format(zone).formatToParts(ms)) out[part.type] = part.value;
  return out as unknown as Fields;
}

/** hh:mm:ss */
export function clock(ms: number, zone = chosen()): string {
  const f = fields(ms, zone);
  return `${f.hour}:${f.minute}:${f.second}`;
}

/** yyyy-mm-dd */
export function day(ms: number, zone = chosen()): string {
  const f = fields(ms, zone);
  return `${f.year}-${f.month}-${f.day}`;
}

/** yyyy-mm-dd hh:mm:ss */
export function stamp(ms: number, zone = chosen()): string {
  return `${day(ms, zone)} ${clock(ms, zone)}`;
}

/** yyyy-mm-dd hh:mm:ss.mmm: of one picture, which seconds do not tell from its neighbours. */
export function stampMs(ms: number, zone = chosen()): string {
  const whole = Math.floor(ms);
  return `${stamp(whole, zone)}.${String(((whole % 1000) + 1000) % 1000).padStart(3, "0")}`;
}

/** hh:mm:ss if it is today in the zone, else with the date: a stale picture must not look like a minute old. */
export function since(ms: number, now: number, zone = chosen()): string {
  return day(ms, zone) === day(now, zone) ? clock(ms, zone) : stamp(ms, zone);
}

/** The same, short: hh:mm:ss today, mm-dd hh:mm before. */
export function sinceShort(ms: number, now: number, zone = chosen()): string {
  return day(ms, zone) === day(now, zone) ? clock(ms, zone) : stamp(ms, zone).slice(5, 16);
}

/** The value of an <input type="datetime-local"> for an instant. */
export function toInput(ms: number, zone = chosen()): string {
  const f = fields(ms, zone);
  return `${f.year}-${f.month}-${f.day}T${f.hour}:${f.minute}:${f.second}`;
}

/** Zone offset in ms (zone minus UTC) at an instant. */
function offset(ms: number, zone: string): number {
  const f = fields(ms, zone);
  return Date.UTC(+f.year, +f.month - 1, +f.day, +f.hour, +f.minute, +f.second) - Math.floor(ms / 1000) * 1000;
}

/**
 * The instant of a wall-clock time in a zone; NaN if malformed. A time that a clock change repeats means its first
 * occurrence; one that it skips is moved on by the size of the skip.
 */
export function fromInput(text: string, zone = chosen()): number {
  const m = /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d))?$/.exec(text.trim());
  if (!m) return Number.NaN;
  const n = (i: number) => Number(m[i] ?? 0);
  const local = Date.UTC(n(1), n(2) - 1, n(3), n(4), n(5), n(6));
  const before = offset(local - 86_400_000, zone);
  const first = local - before;
  if (offset(first, zone) === before) return first;
  const second = local - offset(local + 86_400_000, zone);
  return offset(second, zone) === local - second ? second : first;
}

/** A short length of time: 0.4 s, 12 s, 3 min 05 s, 2 h 10 min, 3 d 4 h. Units are the same in both languages. */
export function length(ms: number): string {
  const s = Math.max(0, ms) / 1000;
  const two = (v: number) => String(Math.floor(v)).padStart(2, "0");
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 60) return `${Math.floor(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${two(s % 60)} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${two((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}

/** Signed, for clock offsets: +120 ms, −3.4 s. */
export function signed(ms: number): string {
  const sign = ms < 0 ? "−" : "+";
  const abs = Math.abs(ms);
  return abs < 1000 ? `${sign}${Math.round(abs)} ms` : `${sign}${length(abs)}`;
}

/** RFC 3339 UTC with milliseconds, as the API wants it. */
export function rfc3339(ms: number): string {
  return new Date(ms).toISOString();
}

/** Parses an RFC 3339 time; undefined for absent, malformed or Go's zero time. */
export function parse(text: string | undefined | null): number | undefined {
  if (!text || text.startsWith("0001-")) return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}
