package main

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"

	"skein/bench/sim"
	"skein/edge/media"
	"skein/edge/status"
)

// attacked is a node that strangers and officers do their worst to.
type attacked struct {
	*node
	tcp  string // of ICE-TCP
	wall string // an offer for a wall of 64 pictures, as a browser makes it
}

// officerToken may see the cameras, and is in the wrong hands.
const officerToken = "end-to-end-token-of-an-officer"

// mostGrown is how many bytes of memory all attacks together may cost. Each of the first took a gigabyte.
const mostGrown = 256 << 20

// TestNodeUnderAttackGoesOnRecording: whatever strangers send to its ports, and officers offer it, the process keeps
// its memory and every picture, and those who are right get in.
func TestNodeUnderAttackGoesOnRecording(t *testing.T) {
	beside(t, 3, 35*time.Second)
	cam := startSim(t, sim.Config{Cameras: []sim.Camera{{ID: "gate", Video: small(media.H264)}}})
	a := &attacked{node: newNode(t, "all"), tcp: freePort(t), wall: browserWall(t)}
	config := fmt.Sprintf("data_dir: %q\nlisten: %q\nwebrtc: {udp: %q, tcp: %q}\nrtsp: {listen: %q}\n%s"+
		`access:
  tokens:
    - {name: bench, token: {env: SKEIN_TEST_TOKEN}, role: admin, unit: yf}
    - {name: officer, token: %s, role: officer, unit: yf}
spool: {segment: 4s}
cameras: [{id: gate, name: G, unit: yf, main: %q, transport: tcp, record: main}]
`, filepath.Join(a.dir, "data"), a.http, freePort(t), a.tcp, a.rtsp, oneUnit, officerToken, cam.URL("gate", media.Main))
	if err := os.WriteFile(a.file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	a.start(t)
	a.awaitState(t, status.Live, 30*time.Second, "gate")
	began := time.Now().Add(time.Second)
	a.watch(t, "gate").await(t, 25, 20*time.Second) // what a right operator costs is no attack's
	before := a.peak(t)
	for _, attack := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"a message of a terabyte at the RTSP port", func(t *testing.T) {
			a.bomb(t, a.rtsp, "GET /x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
				"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"+
				"Sec-WebSocket-Protocol: rtsp.onvif.org\r\n\r\n\x82\xff\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00")
		}},
		{"a header without end at the RTSP port", func(t *testing.T) { a.bomb(t, a.rtsp, "GET /x HTTP/1.1\r\nX: ") }},
		{"a header without end at the HTTP port", func(t *testing.T) { a.bomb(t, a.http, "GET /healthz HTTP/1.1\r\nX: ") }},
		{"idle connections at the RTSP port", a.idleRTSP},
		{"candidates of others", a.candidates},
		{"walls that never connect", a.halfOpen},
		{"data channels", a.channels},
		{"connections of nobody at the ICE-TCP port", a.idleTCP},
		{"idle connections at the HTTP port", a.idleHTTP},
	} {
		t.Run(attack.name, func(t *testing.T) {
			at := time.Now()
			attack.run(t)
			if err := a.describe(); err != nil {
				t.Errorf("an operator at the RTSP port: %v", err)
			}
			v := a.watch(t, "gate")
			v.await(t, 5, 10*time.Second)
			v.leave(t, a.node)
			t.Logf("%.1f s, memory %d MB", time.Since(at).Seconds(), a.peak(t)>>20)
		})
	}
	if grown := a.peak(t) - before; grown > mostGrown {
		t.Errorf("memory has grown by %d MB", grown>>20)
	}
	end := time.Now()
	a.awaitArchive(t, began, end, 30*time.Second, "gate")
	frames := numbers(a.fetch(t, "gate", began, end).shown())
	if h, want := holes(frames), int(end.Sub(began)/frameTime); len(h) > 0 || len(frames) < want-2 || len(frames) > want+2 {
		t.Errorf("%d pictures in %v, want %d; holes %v", len(frames), end.Sub(began), want, h)
	}
	t.Logf("%d pictures without a hole over %.0f s, memory grew by %d MB", len(frames), end.Sub(began).Seconds(),
		(a.peak(t)-before)>>20)
}

// browserWall is what Chromium offers for a wall of 64 tiles in every codec it has.
func browserWall(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("gateway/relay/testdata/chromium-two-tiles.sdp")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(text), "\r\nm=") // session, two pictures, sound, data
	mids, sections := "", ""
	for i := range 65 {
		part := parts[1]
		if i == 64 {
			part = strings.TrimSuffix(parts[4], "\r\n")
		}
		mids += fmt.Sprintf(" %d", i)
		part = strings.NewReplacer("\r\na=mid:0\r\n", fmt.Sprintf("\r\na=mid:%d\r\n", i),
			"\r\na=mid:3\r\n", fmt.Sprintf("\r\na=mid:%d\r\n", i)).Replace(part)
		sections += "\r\nm=" + part
	}
	return strings.Replace(parts[0], "BUNDLE 0 1 2 3", "BUNDLE"+mids, 1) + sections + "\r\n"
}

// peak is the most memory the node has had.
func (a *attacked) peak(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
	if err != nil {
		t.Skip("no /proc to measure memory by:", err)
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	n, err := strconv.ParseInt(strings.Fields(rest + " x")[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}

// dial connects to a port and says something.
func (a *attacked) dial(t *testing.T, address, say string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	_, _ = io.WriteString(c, say) // it may be closed already
	return c
}

// bomb sends a beginning and then without end, over two connections that must be closed before a gigabyte is through.
func (a *attacked) bomb(t *testing.T, address, begin string) {
	t.Helper()
	sent := make(chan int, 2)
	for range cap(sent) {
		c := a.dial(t, address, begin)
		go func() { _, _ = io.Copy(io.Discard, c) }()
		go func() {
			n, zeros := 0, []byte(strings.Repeat("0", 1<<20))
			for n < 500<<20 {
				m, err := c.Write(zeros)
				n += m
				if err != nil {
					break
				}
			}
			sent <- n
		}()
	}
	for range cap(sent) {
		if n := <-sent; n > 32<<20 {
			t.Errorf("%d MB are taken", n>>20)
		}
	}
}

// describe is what a right player asks first.
func (a *attacked) describe() error {
	c, err := net.DialTimeout("tcp", a.rtsp, 10*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	_, err = fmt.Fprintf(c, "DESCRIBE rtsp://%s/gate/main RTSP/1.0\r\nCSeq: 1\r\nAuthorization: Basic %s\r\n\r\n", a.rtsp,
		base64.StdEncoding.EncodeToString([]byte("bench:"+testToken)))
	if err != nil {
		return err
	}
	b := make([]byte, 4096)
	n, err := c.Read(b)
	if err != nil || !strings.HasPrefix(string(b[:n]), "RTSP/1.0 200 ") {
		return fmt.Errorf("%q, %w", b[:n], err)
	}
	return nil
}

// idleRTSP leaves seventy connections open while operators come.
func (a *attacked) idleRTSP(t *testing.T) {
	for range 70 {
		a.dial(t, a.rtsp, "")
	}
	for i := range 20 {
		if err := a.describe(); err != nil {
			t.Errorf("operator %d: %v", i, err)
		}
	}
}

// offer posts an offer with the officer's token.
func (a *attacked) offer(path, sdp string) (code int, body string, err error) {
	req, err := http.NewRequest(http.MethodPost, "http://"+a.http+path, strings.NewReader(sdp))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/sdp")
	req.Header.Set("Authorization", "Bearer "+officerToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// candidates has the gateway send to whom the caller likes.
func (a *attacked) candidates(t *testing.T) {
	sink, err := net.ListenPacket("udp4", "0.0.0.0:0") // all of 127.0.0.0/8
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	var got atomic.Int64
	go func() {
		for b := make([]byte, 1500); ; got.Add(1) {
			if _, _, err := sink.ReadFrom(b); err != nil {
				return
			}
		}
	}()
	pc := newPeer(t)
	if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo); err != nil {
		t.Fatal(err)
	}
	o, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{4000, 600} {
		var b strings.Builder
		b.WriteString(o.SDP)
		for i := range n {
			fmt.Fprintf(&b, "a=candidate:%d 1 udp 2130706431 127.1.%d.%d %d typ host\r\n", i, i/250, 1+i%250,
				sink.LocalAddr().(*net.UDPAddr).Port)
		}
		code, body, err := a.offer("/v1/whep/gate", b.String())
		if want := map[int]int{4000: http.StatusBadRequest, 600: http.StatusCreated}[n]; err != nil || code != want {
			t.Errorf("%d candidates: %d %s, %v", n, code, body, err)
		}
	}
	// Checks are sent every 200 ms, up to eight to an address.
	for last := int64(-1); got.Load() != last; time.Sleep(time.Second) {
		last = got.Load()
	}
	if n := got.Load(); n == 0 || n > 200 {
		t.Errorf("%d packets were sent, want up to eight to each of 20 addresses", n)
	}
}

// halfOpen posts walls that never connect.
func (a *attacked) halfOpen(t *testing.T) {
	codes := map[int]int{}
	for range 200 {
		code, body, err := a.offer("/v1/walls", a.wall)
		if err != nil || code != http.StatusCreated && code != http.StatusTooManyRequests {
			t.Fatalf("%d %s, %v", code, body, err)
		}
		codes[code]++
	}
	t.Logf("answers: %v", codes)
}

// channels opens data channels without end.
func (a *attacked) channels(t *testing.T) {
	pc := newPeer(t)
	first, err := pc.CreateDataChannel("wall", nil)
	if err != nil {
		t.Fatal(err)
	}
	open := make(chan struct{})
	first.OnOpen(func() { close(open) })
	v := &viewer{pc: pc}
	if err := v.negotiate(a.node, "/v1/walls"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-open:
	case <-time.After(20 * time.Second):
		t.Fatal("the first data channel does not open")
	}
	for i := range 3000 {
		if _, err := pc.CreateDataChannel(strconv.Itoa(i), nil); err != nil {
			break // the gateway has ended it
		}
	}
	poll(t, "the session ends", 10*time.Second, func() error {
		if req, err := http.NewRequest(http.MethodDelete, "http://"+a.http+v.resource, http.NoBody); err == nil {
			req.Header.Set("Authorization", "Bearer "+testToken)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusNotFound {
				return nil
			}
		}
		return errors.New("it is there")
	})
}

// idleTCP leaves connections at the ICE-TCP port that say nothing, or name a session that is none, while an operator
// comes who has no UDP.
func (a *attacked) idleTCP(t *testing.T) {
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername("nobody:x"), stun.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	hello := string(binary.BigEndian.AppendUint16(nil, uint16(len(m.Raw)))) + string(m.Raw)
	for range 300 {
		a.dial(t, a.tcp, "")
		c := a.dial(t, a.tcp, hello)
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("a connection to no session: %v", err)
		}
	}
	s := webrtc.SettingEngine{}
	s.SetIncludeLoopbackCandidate(true)
	s.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4})
	codecs := &webrtc.MediaEngine{}
	if err := codecs.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(codecs), webrtc.WithSettingEngine(s)).
		NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.Close() })
	v := &viewer{pc: pc}
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { v.read(track) })
	if err := v.negotiate(a.node, "/v1/whep/gate?profile=main"); err != nil {
		t.Fatal(err)
	}
	v.await(t, 5, 15*time.Second)
	v.leave(t, a.node)
}

// idleHTTP leaves connections open that say nothing, or begin to.
func (a *attacked) idleHTTP(t *testing.T) {
	for range 300 {
		a.dial(t, a.http, "")
		a.dial(t, a.http, "GET /v1/link HTTP/1.1\r\nConnection: Upgrade\r\n")
	}
	if _, _, err := a.get("/v1/cameras"); err != nil {
		t.Errorf("an operator: %v", err)
	}
}
