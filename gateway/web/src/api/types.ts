/** The shapes of /v1 this console reads. Times are RFC 3339 UTC strings as the server sends them. */

export type State =
  | "live"
  | "delayed"
  | "frozen"
  | "sound_only"
  | "no_signal"
  | "offline"
  | "edge_silent"
  | "not_permitted"
  | "paused"
  | "connecting";

export interface Profile {
  state: State;
  reason?: string;
  detail?: string;
  since?: string;
  retry?: string;
  codec?: string;
  audio?: string;
  width?: number;
  height?: number;
  fps?: number;
  kbps?: number;
  delay_ms?: number;
  last_frame?: string;
  last_key?: string;
  transport?: string;
  reconnects?: number;
  lost_packets?: number;
  loss_percent?: number;
  damaged?: number;
  clock_offset_ms?: number;
}

export interface Recording {
  wanted: boolean;
  active: boolean;
  last_write?: string;
  backlog?: number;
  detail?: string;
  /** Footage that is being lost right now: the oldest while `active`, otherwise everything. */
  loss?: { cause: string; since?: string };
}

export interface Location {
  lat: number;
  lon: number;
  direction?: number;
  angle?: number;
  range?: number;
}

export interface Camera {
  id: string;
  name: string;
  kind?: "camera" | "terminal";
  unit: string;
  grid?: string;
  location?: Location | null;
  edge?: string;
  /** It publishes itself: this device could be it. */
  pushed?: boolean;
  state: State;
  reason?: string;
  detail?: string;
  since?: string;
  profiles?: Partial<Record<ProfileName, Profile>> | null;
  recording?: Recording | null;
  retention_days?: number;
}

export type ProfileName = "main" | "sub";

export interface CameraList {
  now?: string;
  /** From here on GET /v1/changes tells what changes. */
  version?: string;
  cameras: Camera[];
  next?: string;
}

/** A message of GET /v1/changes. */
export interface Change {
  version?: string;
  now?: string;
  cameras?: Camera[];
  /** The feed ends: units and cameras are to be read anew. */
  reload?: boolean;
}

export type Tier = "district" | "town" | "community";

export interface Unit {
  id: string;
  name: string;
  tier: Tier;
  parent?: string;
  grids?: { id: string; name: string }[];
}

export interface Me {
  name: string;
  role: string;
  unit: string;
  /** The actions that the role allows, as the gateway names them. */
  may?: readonly string[];
  kind?: string;
  expires?: string;
  now?: string;
}

export interface Span {
  from: string;
  to: string;
}

export interface Gap extends Span {
  cause: string;
}

export interface Coverage {
  from: string;
  to: string;
  cameras: { camera: string; spans: Span[] | null; gaps: Gap[] | null }[];
}

export interface Retrieval {
  id: string;
}
