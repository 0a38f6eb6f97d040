package relay

import (
	"context"
	"time"

	"skein/edge/media"
	"skein/edge/stream"
)

// Streams hands out the live stream of a camera. It may start it first; release tells that this user is done.
// Unknown cameras and profiles are errors that wrap ErrUnknownCamera.
type Streams interface {
	Open(ctx context.Context, camera string, p media.Profile) (s *stream.Stream, release func(), err error)
}

// Viewer is who looks. The caller's middleware has authenticated it.
type Viewer struct {
	Name string // for logs, and whose sessions are counted together
	Key  string // the same for all sessions of one login; only that login may change or end them
	// Allow tells whether the viewer may see a camera. It is asked for every camera shown and again every second while
	// it is shown, from several goroutines, so it must be quick; what it no longer allows ends. nil allows none.
	Allow func(camera string) bool
	// Replay tells whether the viewer may see the last minute of a camera. It is asked once for each replay, from any
	// goroutine, and may take a moment. nil allows none.
	Replay func(camera string) bool
	// Acting returns a context that names the viewer to the archive, which shows nothing to nobody. nil: ctx itself.
	Acting func(ctx context.Context) context.Context
}

func (v Viewer) allowed(camera string) bool { return v.Allow != nil && v.Allow(camera) }

// Offer asks for one camera (WHEP).
type Offer struct {
	SDP     string
	Camera  string
	Profile media.Profile
	Viewer  Viewer
}

// WallOffer asks for a wall: an offer with receive-only video slots and a data channel.
type WallOffer struct {
	SDP    string
	Viewer Viewer
}

// Session is the answer to an offer.
type Session struct {
	ID   string
	SDP  string
	ETag string // of the ICE session, without quotes
	// Warning says why the picture may not play well although it is sent, such as CodeBFrames; usually empty.
	Warning Code
	// Sound says why the sound of a WHEP session is not as the camera sends it, or is missing although the camera has some
	// and it was asked for; usually empty.
	Sound Code
}

// Fragment is a trickle ICE fragment (RFC 8840), from the client or back to it.
type Fragment struct {
	Ufrag, Pwd string
	Candidates []Candidate
}

// Candidate is one ICE candidate as in an SDP attribute, without "a=".
type Candidate struct {
	Mid  string
	Line string // "candidate:…"
}

// Patch is a change to a session's ICE. ETag is the value of If-Match without quotes; "*" asks for an ICE restart.
type Patch struct {
	Session  string
	ETag     string
	Viewer   Viewer
	Fragment Fragment
}

// PatchResult answers a Patch. Fragment and ETag are set after an ICE restart only.
type PatchResult struct {
	Restarted bool
	ETag      string
	Fragment  Fragment
}

// Parts are what a relay can do besides watching; each may be nil.
type Parts struct {
	Publishers Publishers // takes what WHIP clients publish
	Archive    Archive    // where tiles that go back in time get their footage
	Transcoder Transcoder // for codecs that a browser has not; see Config.Transcodes
}

// Transcoder makes of a stream what a browser can decode.
type Transcoder interface {
	// H264 returns in's pictures in H.264, small. The result ends with in or ctx; stop ends it and waits for that.
	H264(ctx context.Context, in *stream.Stream) (out *stream.Stream, stop func(), err error)
	// Opus returns in's AAC sound as Opus, with its times. The result ends with in or ctx, or when it cannot go on; stop
	// ends it and waits for that.
	Opus(ctx context.Context, in *stream.Stream) (out *stream.Stream, stop func())
}

// Archive reads recorded footage back.
type Archive interface {
	// Units returns the pictures of a camera captured in [from, to), in decoding order and beginning with a key frame, if
	// need be one from before from, and the sound between them, by capture time. Their Desc has one picture and at most
	// one sound, their Wall is the capture time, and PTS counts from any moment, but one for all units of a track. No
	// footage is an empty result. What is still on its way into the archive is waited for, within reason.
	Units(ctx context.Context, camera string, from, to time.Time) ([]*media.AccessUnit, error)
}

// Publishers takes publications.
type Publishers interface {
	// Accept begins the publication of a camera's profile. Errors wrap ErrUnknownCamera if it may not be published and
	// ErrBusy if it is being published; the client is told the detail of an *Error.
	Accept(camera string, p media.Profile, tracks []PublishedTrack) (Receiver, error)
}

// PublishedTrack is one RTP stream of a publication.
type PublishedTrack struct {
	Codec    media.Codec
	Payload  uint8 // RTP payload type
	Channels int   // audio only
}

// Receiver takes the packets of a publication. RTP and RTCP of one track come from one goroutine each; what they are
// given is valid during the call only.
type Receiver interface {
	RTP(track int, b []byte, arrival time.Time)
	RTCP(track int, b []byte, arrival time.Time)
	// Damaged counts the pictures that lost a part of themselves.
	Damaged() uint64
	// Withdrawn is closed when nobody takes the publication any more, such as for a camera that was removed. May be nil.
	Withdrawn() <-chan struct{}
	// Close ends the publication; err nil: the sender left.
	Close(err error)
}

// PublishOffer asks to publish a camera (WHIP). The viewer's Allow says whether it may; it is asked every second.
type PublishOffer struct {
	SDP     string
	Camera  string
	Profile media.Profile
	Viewer  Viewer
}
