package relay

import (
	"errors"
	"fmt"
)

// ErrUnknownCamera is what a Streams implementation returns, possibly wrapped, for a camera or profile it does not
// have.
var ErrUnknownCamera = errors.New("unknown camera or profile")

// ErrBusy is what a Publishers implementation returns, possibly wrapped, for a camera that is being published already.
var ErrBusy = errors.New("this camera is being published already")

// Code is the machine-readable kind of an Error. It ends the problem type shown to clients.
type Code string

// The codes.
const (
	CodeBadOffer        Code = "bad-offer"         // the SDP cannot be used
	CodeUnknownCamera   Code = "unknown-camera"    // no such camera or profile
	CodeForbidden       Code = "not-permitted"     // the viewer may not see that camera
	CodeNoSignal        Code = "no-signal"         // the camera delivered nothing in time
	CodeNotOffered      Code = "codec-not-offered" // the source's codec is not in the offer
	CodeUnsupported     Code = "unsupported-codec" // the source's codec cannot be sent over WebRTC at all
	CodeTooMany         Code = "too-many-sessions" // a limit is reached
	CodeTooFast         Code = "too-fast"          // more is begun in a moment than one person may
	CodeStopped         Code = "stopped"           // the relay is not running
	CodeUnknownSession  Code = "unknown-session"   // no such session, or another viewer's
	CodeStale           Code = "stale-ice"         // the entity tag names an earlier ICE session
	CodeBadFragment     Code = "bad-fragment"      // a trickle fragment that cannot be used
	CodeInternal        Code = "internal"
	CodeNoIDR           Code = "no-idr"           // a stream of H.264 with which no browser can begin
	CodeBFrames         Code = "b-frames"         // state only: sent, but browsers may stutter
	CodeBadMessage      Code = "bad-message"      // data channel: not understood
	CodeWaiting         Code = "waiting-for-key"  // state only: no key frame yet
	CodeLinkSlow        Code = "link-slow"        // state only: the way to the viewer does not bear more
	CodeCameraSilent    Code = "camera-silent"    // state only: no unit lately
	CodeBusy            Code = "busy"             // the camera is being published already
	CodeTranscoded      Code = "transcoded"       // state only: sent small and in H.264, the browser lacks the codec
	CodeTranscodesBusy  Code = "transcodes-busy"  // the browser lacks the codec, and no more streams can be transcoded
	CodeNoFootage       Code = "no-footage"       // nothing is recorded of that time
	CodeNothingShown    Code = "nothing-shown"    // data channel: the slot shows no camera
	CodeNotHere         Code = "not-here"         // this gateway does not have this part
	CodeCameraWithdrawn Code = "camera-withdrawn" // the stream was closed under the viewer
)

// Error is what the relay returns for everything a client can do something about.
type Error struct {
	Code   Code
	Detail string // one sentence for people, without credentials
	Err    error  // cause, may be nil
}

func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%s: %s", e.Code, e.Detail)
	}
	return fmt.Sprintf("%s: %s: %v", e.Code, e.Detail, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// codeOf returns the code of an error, CodeInternal if it has none.
func codeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}

func fail(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}
