// Package status is the vocabulary in which Skein tells people how a camera is.
//
// It is a leaf: the edge fills it from its data plane, the control link carries it, the gateway shows it. The words are
// few and honest; "unknown" is never drawn green.
package status

import "time"

// State is what a tile shows.
type State string

// The states shown to people.
const (
	Live         State = "live"          // pictures arrive and can be decoded
	Delayed      State = "delayed"       // pictures arrive late
	Frozen       State = "frozen"        // no decodable picture lately: the camera went silent, or just went away
	SoundOnly    State = "sound_only"    // sound arrives, and the camera offers no picture
	NoSignal     State = "no_signal"     // the camera answers, but delivers no media
	Offline      State = "offline"       // the camera cannot be reached or refuses us
	EdgeSilent   State = "edge_silent"   // the edge agent itself cannot be reached
	NotPermitted State = "not_permitted" // the viewer may not see it
	Paused       State = "paused"        // paused for privacy
	Connecting   State = "connecting"    // first attempt, nothing known yet
)

// Reason is the machine-readable cause behind a state other than Live, or what is wrong although it is Live.
type Reason string

// The reasons. Each has a text of its own in the console.
const (
	ReasonNone             Reason = ""
	ReasonRefused          Reason = "refused"           // TCP connection refused
	ReasonUnreachable      Reason = "unreachable"       // no route, name not found
	ReasonTimeout          Reason = "timeout"           // no answer within the timeout
	ReasonAuth             Reason = "auth_failed"       // wrong user or password
	ReasonNotFound         Reason = "not_found"         // the server knows no such stream
	ReasonNotRTSP          Reason = "not_rtsp"          // something else answers on that port
	ReasonGarbage          Reason = "garbage"           // bytes that are no RTSP
	ReasonTLS              Reason = "tls"               // certificate not accepted
	ReasonSilent           Reason = "silent"            // PLAY accepted, then no bytes
	ReasonNotPublished     Reason = "not_published"     // a camera that publishes itself has not begun
	ReasonNoRTP            Reason = "no_rtp"            // bytes, but no RTP of our session
	ReasonNoKeyFrame       Reason = "no_key_frame"      // RTP, but no key frame to begin with, or no decodable picture
	ReasonUnsupportedCodec Reason = "unsupported_codec" // nothing we can take
	ReasonClosed           Reason = "closed"            // the camera ended the session
	ReasonProtocol         Reason = "protocol"          // any other RTSP error
	ReasonLink             Reason = "link"              // the link to the edge is down
	// ReasonCameraLoss stands beside Live: pictures arrive, but packets are lost on the way from the camera to the edge.
	ReasonCameraLoss Reason = "camera_loss"
	// ReasonBadStamps stands beside Live: the camera's timestamps stand still, repeat or go back, and those of arrival are
	// taken in their place.
	ReasonBadStamps Reason = "bad_timestamps"
	// ReasonGradual stands beside Live: the camera sends no key frames, its pictures become whole bit by bit.
	ReasonGradual Reason = "gradual_refresh"
)

// Refresh is how a camera lets decoders begin in the middle of its stream.
type Refresh string

// The kinds of refresh.
const (
	RefreshIDR     Refresh = "idr"     // key frames after which nothing needs what came before
	RefreshOpen    Refresh = "open"    // recovery points or CRA pictures: what is shown before may need what came before
	RefreshGradual Refresh = "gradual" // pictures become whole bit by bit; there need be no key frame at all
)

// Profile is how one profile of a camera is right now. Times are UTC.
type Profile struct {
	State   State     `json:"state"`
	Reason  Reason    `json:"reason,omitempty"`
	Detail  string    `json:"detail,omitempty"` // one line for the operator, without credentials
	Since   time.Time `json:"since"`            // when State was entered
	Retry   time.Time `json:"retry,omitzero"`   // next connection attempt
	Codec   string    `json:"codec,omitempty"`
	Audio   string    `json:"audio,omitempty"`
	Width   int       `json:"width,omitempty"`
	Height  int       `json:"height,omitempty"`
	FPS     float64   `json:"fps,omitempty"`  // measured over the last seconds
	Kbps    int       `json:"kbps,omitempty"` // measured over the last seconds
	DelayMS int64     `json:"delay_ms,omitempty"`

	LastFrame   time.Time `json:"last_frame,omitzero"`
	LastKey     time.Time `json:"last_key,omitzero"`
	KeyEveryMS  int64     `json:"key_every_ms,omitempty"` // time between the two newest key frames
	Refresh     Refresh   `json:"refresh,omitempty"`      // how decoding begins at one
	Transport   string    `json:"transport,omitempty"`    // "tcp", "udp" or "multicast"
	Reconnects  uint64    `json:"reconnects,omitempty"`
	LostPackets uint64    `json:"lost_packets,omitempty" doc:"RTP packets lost between the camera and the edge"`
	LossPercent float64   `json:"loss_percent,omitempty" doc:"share of them lost over about the last ten seconds"`
	Damaged     uint64    `json:"damaged,omitempty" doc:"pictures that lost a part of themselves; recorded as they are"`

	ClockOffsetMS *int64 `json:"clock_offset_ms,omitempty"` // camera minus edge, from RTCP; nil if not measured
}

// Camera is how one camera is right now.
type Camera struct {
	ID        string             `json:"id"`
	Profiles  map[string]Profile `json:"profiles"` // "main", "sub"
	Recording Recording          `json:"recording"`
}

// Recording tells whether a camera's footage reaches the spool.
type Recording struct {
	Wanted    bool      `json:"wanted"`
	Active    bool      `json:"active"`              // a fragment was written lately
	LastWrite time.Time `json:"last_write,omitzero"` // newest fragment made durable
	Backlog   int       `json:"backlog,omitempty"`   // sealed segments without a receipt
	Detail    string    `json:"detail,omitempty"`    // why it is not active
	// Loss tells that footage is being lost right now, and why. While Active is true, it is the oldest that goes and the
	// newest is kept; otherwise nothing is.
	Loss *Loss `json:"loss,omitempty"`
	// Held is where the footage begins that waits here for the archive; it reaches to LastWrite, or to now while Active.
	// Zero: none waits.
	Held time.Time `json:"held,omitzero"`
}

// Alike reports whether two looks at a recording tell people the same. Figures that are never twice the same do not
// count.
func (r Recording) Alike(o Recording) bool {
	if r.Loss == nil || o.Loss == nil {
		return r.Loss == o.Loss && r.Wanted == o.Wanted && r.Active == o.Active && r.Detail == o.Detail
	}
	return *r.Loss == *o.Loss && r.Wanted == o.Wanted && r.Active == o.Active && r.Detail == o.Detail
}

// Loss is footage of a camera that is being lost.
type Loss struct {
	Cause string    `json:"cause"` // as in a gap, such as "spool_full"
	Since time.Time `json:"since"` // of the first picture lost
}
