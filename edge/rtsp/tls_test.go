package rtsp_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"skein/edge/media"
	"skein/edge/rtsp"
	"skein/edge/rtsp/rtsptest"
	"skein/edge/status"
)

// selfSigned makes a certificate for 127.0.0.1; it returns its PEM file and its fingerprint.
func selfSigned(t *testing.T) (cfg *tls.Config, file, fingerprint string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "camera"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, file, hex.EncodeToString(sum[:])
}

func TestPullTLS(t *testing.T) {
	t.Parallel()
	cfg, file, pin := selfSigned(t)
	_, otherFile, otherPin := selfSigned(t)
	cam := rtsptest.Start(t, rtsptest.Options{TLS: cfg, User: "u", Password: "p"})
	for _, c := range []struct {
		name string
		tls  rtsp.TLS
		ok   bool
	}{
		{"ca", rtsp.TLS{CAFile: file}, true},
		{"pin", rtsp.TLS{Fingerprint: pin}, true},
		{"insecure", rtsp.TLS{Insecure: true}, true},
		{"system roots", rtsp.TLS{}, false},
		{"other ca", rtsp.TLS{CAFile: otherFile}, false},
		{"other pin", rtsp.TLS{Fingerprint: otherPin}, false},
		{"bad pin", rtsp.TLS{Fingerprint: "abc"}, false},
		{"no ca file", rtsp.TLS{CAFile: "/nonexistent"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.ok {
				pull(t, rtsp.PullConfig{URL: cam.URL(), TLS: c.tls}, collect(pictures(5)))
				return
			}
			err := rtsp.Pull(context.Background(), rtsp.PullConfig{URL: cam.URL(), TLS: c.tls, Timeouts: quick}, collect(nil))
			if rtsp.ReasonOf(err) != status.ReasonTLS {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestTLSChain publishes and plays over RTSPS; our server offers SRTP inside it, as the RTSP library wants.
func TestTLSChain(t *testing.T) {
	t.Parallel()
	cfg, _, pin := selfSigned(t)
	h := startHub(t, func(c *rtsp.ServerConfig) { c.TLS = cfg })
	s := audioStream(t)
	url := "rtsps" + h.url("x")[4:]
	background(t, func(ctx context.Context) error {
		return rtsp.Publish(ctx, rtsp.PublishConfig{URL: url, TLS: rtsp.TLS{Fingerprint: pin}}, s)
	})
	units := pull(t, rtsp.PullConfig{URL: url, TLS: rtsp.TLS{Fingerprint: pin}}, collect(pictures(20)))
	if units[0].Desc.Tracks[0].Codec != media.G711A {
		t.Errorf("%+v", units[0].Desc)
	}
}

// TestServerTLS: what strangers may not do in clear they may not do inside TLS; who signs in is served.
func TestServerTLS(t *testing.T) {
	t.Parallel()
	cfg, _, pin := selfSigned(t)
	h := startHub(t, func(c *rtsp.ServerConfig) { c.TLS, c.UDP = cfg, "" })
	c, err := tls.Dial("tcp", h.Addr().String(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // its own certificate
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Write([]byte("GET /x HTTP/1.1\r\n")); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("a tunnel is answered with %d bytes", n)
	} else if timeout, ok := err.(net.Error); ok && timeout.Timeout() { //nolint:errorlint // as it comes
		t.Error("a tunnel stays open")
	}
	s := audioStream(t)
	background(t, func(ctx context.Context) error {
		return rtsp.Publish(ctx, rtsp.PublishConfig{
			URL: "rtsps://u:p@ss/w0rd@" + h.Addr().String() + "/x", TLS: rtsp.TLS{Fingerprint: pin},
		}, s)
	})
	waitFor(t, func() bool { return h.stream("x").Description() != nil })
}
