package rtsp

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"strings"
)

// TLS says which server certificate an rtsps URL accepts. The zero value accepts what the system's roots accept.
type TLS struct {
	// CAFile is a PEM file of the only roots to trust.
	CAFile string
	// Fingerprint pins the SHA-256 of the server's certificate (hex, colons allowed); nothing else is then checked,
	// which suits a camera's self-signed certificate.
	Fingerprint string
	// Insecure accepts any certificate.
	Insecure bool
}

// handshakeError marks a failed TLS handshake whose cause has no type of its own.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return "TLS handshake: " + e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

func (t TLS) config(host string) (*tls.Config, error) {
	c := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	switch {
	case t.Fingerprint != "":
		want, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(t.Fingerprint), ":", ""))
		if err != nil || len(want) != sha256.Size {
			return nil, fmt.Errorf("fingerprint: want the 64 hex digits of a SHA-256")
		}
		c.InsecureSkipVerify = true // the pin below is the whole check
		c.VerifyConnection = func(s tls.ConnectionState) error {
			got := sha256.Sum256(s.PeerCertificates[0].Raw)
			if subtle.ConstantTimeCompare(got[:], want) != 1 {
				return fmt.Errorf("%w: it is %s", errFingerprint, hex.EncodeToString(got[:]))
			}
			return nil
		}
	case t.Insecure:
		c.InsecureSkipVerify = true
	case t.CAFile != "":
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read CA file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CA file %s holds no PEM certificate", t.CAFile)
		}
	}
	return c, nil
}

// handshake turns conn into a TLS connection; it closes conn on failure.
func (t TLS) handshake(ctx context.Context, conn net.Conn, host string) (net.Conn, error) {
	cfg, err := t.config(host)
	if err != nil {
		_ = conn.Close()
		return nil, &handshakeError{err}
	}
	c := tls.Client(conn, cfg)
	if err := c.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &handshakeError{err}
	}
	return c, nil
}
