package rtsp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"

	"skein/edge/status"
)

// Errors that callbacks of a Server may return, alone or wrapped, to choose the RTSP status of the answer.
var (
	// ErrUnauthorized asks for (other) credentials: 401.
	ErrUnauthorized = errors.New("rtsp: wrong or missing credentials")
	// ErrForbidden refuses known credentials: 403.
	ErrForbidden = errors.New("rtsp: not permitted")
	// ErrNotFound tells that there is no such stream: 404.
	ErrNotFound = errors.New("rtsp: no such stream")
	// ErrUnavailable tells that it cannot be done now, for a reason of our own: 503.
	ErrUnavailable = errors.New("rtsp: not now")
	// ErrBusy tells that a limit is reached or the path is being published already: 453.
	ErrBusy = errors.New("rtsp: no capacity")
)

// Refusal is an error of a callback that tells the client why, in one line in place of the status's usual words.
type Refusal struct {
	Err    error // chooses the status
	Reason string
}

func (r *Refusal) Error() string { return r.Reason + ": " + r.Err.Error() }

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Err }

// Reasons found by this package rather than by the RTSP library.
var (
	errNotRTSP     = errors.New("the server does not speak RTSP: check the port")
	errHTTP        = errors.New("an HTTP server answers: check the port (RTSP is usually 554)")
	errGarbage     = errors.New("the answer is neither RTSP nor text: check the port, or whether TLS (rtsps) is needed")
	errSilent      = errors.New("PLAY was accepted, but no bytes arrive")
	errNoRTP       = errors.New("bytes arrive, but no RTP of this session")
	errNoKeyFrame  = errors.New("RTP arrives, but no decodable picture")
	errNoFirstKey  = errors.New("pictures arrive, but no decodable key frame to begin with")
	errRenew       = errors.New("no key frame for too long: a new session makes the camera send one")
	errNoUDP       = errors.New("no UDP packet arrives: a firewall between? use transport tcp")
	errNoMulticast = errors.New("no multicast packet arrives: switches or routers between may not forward the group")
	errBye         = errors.New("the camera took leave (RTCP BYE), and nothing came after it")
	errNoAnswer    = errors.New("no answer within the connect timeout")
	errFingerprint = errors.New("the certificate is not the pinned one")
	errUnsupported = errors.New("no track with a codec we can take")
)

// Error is why a pull or a publication ended. Its text never holds credentials.
type Error struct {
	Camera string        // id given in the configuration, may be empty
	Op     string        // "url", "dial", "describe", "setup", "play", "receive", "announce" or "send"
	Remote string        // host:port
	Reason status.Reason // never empty
	Err    error
}

// Error returns one line for the operator.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("rtsp")
	if e.Camera != "" {
		b.WriteString(" " + e.Camera)
	}
	b.WriteString(": " + e.Op)
	if e.Remote != "" {
		b.WriteString(" " + e.Remote)
	}
	b.WriteString(": ")
	if e.Err != nil {
		b.WriteString(e.Err.Error())
	} else {
		b.WriteString(string(e.Reason))
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ReasonOf returns the reason of err if an *Error is in its chain, and ReasonProtocol otherwise; ReasonNone for nil.
func ReasonOf(err error) status.Reason {
	if err == nil {
		return status.ReasonNone
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return status.ReasonProtocol
}

// redacted hides the text of an error that holds a secret; it does not unwrap, so that the text cannot come back.
type redacted string

func (r redacted) Error() string { return string(r) }

// classify names the reason of a failure of the RTSP library, the connection or this package.
func classify(err error) status.Reason {
	var hs *handshakeError
	if errors.As(err, &hs) {
		return status.ReasonTLS // also if nothing was answered: then the server speaks no TLS
	}
	for _, c := range []struct {
		err    error
		reason status.Reason
	}{
		{errHTTP, status.ReasonNotRTSP}, {errNotRTSP, status.ReasonNotRTSP}, {errGarbage, status.ReasonGarbage},
		{errSilent, status.ReasonSilent}, {errBye, status.ReasonClosed}, {errNoUDP, status.ReasonSilent},
		{errNoMulticast, status.ReasonSilent}, {errNoRTP, status.ReasonNoRTP},
		{errNoKeyFrame, status.ReasonNoKeyFrame}, {errNoFirstKey, status.ReasonNoKeyFrame},
		{errRenew, status.ReasonNoKeyFrame}, {errNoAnswer, status.ReasonTimeout},
		{errFingerprint, status.ReasonTLS}, {errUnsupported, status.ReasonUnsupportedCodec},
		{syscall.ECONNREFUSED, status.ReasonRefused},
		{syscall.EHOSTUNREACH, status.ReasonUnreachable}, {syscall.ENETUNREACH, status.ReasonUnreachable},
		{syscall.EHOSTDOWN, status.ReasonUnreachable}, {syscall.ENETDOWN, status.ReasonUnreachable},
		{syscall.ECONNRESET, status.ReasonClosed}, {syscall.EPIPE, status.ReasonClosed},
		{io.EOF, status.ReasonClosed}, {io.ErrUnexpectedEOF, status.ReasonClosed}, {net.ErrClosed, status.ReasonClosed},
		{context.DeadlineExceeded, status.ReasonTimeout}, {os.ErrDeadlineExceeded, status.ReasonTimeout},
	} {
		if errors.Is(err, c.err) {
			return c.reason
		}
	}
	return classifyTyped(err)
}

func classifyTyped(err error) status.Reason {
	var (
		code      liberrors.ErrClientBadStatusCode
		authSetup liberrors.ErrClientAuthSetup
		reqTime   liberrors.ErrClientRequestTimedOut
		tcpTime   liberrors.ErrClientTCPTimeout
		udpTime   liberrors.ErrClientUDPTimeout
		dns       *net.DNSError
		netErr    net.Error
	)
	switch {
	case errors.As(err, &code):
		return classifyStatus(code.Code)
	case errors.As(err, &authSetup):
		return status.ReasonAuth
	case errors.As(err, &reqTime):
		return status.ReasonTimeout
	case errors.As(err, &tcpTime), errors.As(err, &udpTime):
		return status.ReasonSilent
	case isTLS(err):
		return status.ReasonTLS
	case errors.As(err, &dns):
		return status.ReasonUnreachable
	case errors.As(err, &netErr) && netErr.Timeout():
		return status.ReasonTimeout
	}
	return status.ReasonProtocol
}

func classifyStatus(code base.StatusCode) status.Reason {
	switch code {
	case base.StatusUnauthorized, base.StatusForbidden:
		return status.ReasonAuth
	case base.StatusNotFound, base.StatusGone:
		return status.ReasonNotFound
	}
	return status.ReasonProtocol
}

func isTLS(err error) bool {
	var (
		cert   *tls.CertificateVerificationError
		record tls.RecordHeaderError
		alert  tls.AlertError
		auth   x509.UnknownAuthorityError
		host   x509.HostnameError
		inv    x509.CertificateInvalidError
	)
	return errors.As(err, &cert) || errors.As(err, &record) || errors.As(err, &alert) || errors.As(err, &auth) ||
		errors.As(err, &host) || errors.As(err, &inv)
}
