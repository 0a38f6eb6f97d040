package main

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"skein/bench/sim"
	"skein/edge/media"
	"skein/edge/rtsp/rtsptest"
	"skein/edge/status"
)

// TestBrokenCameras runs every kind of broken camera beside good ones: each shows its own state and reason within its
// timeout, and the good ones lose nothing.
func TestBrokenCameras(t *testing.T) {
	beside(t, 1, 25*time.Second)
	s := startSim(t, sim.Config{Cameras: []sim.Camera{
		{ID: "good-1", Video: small(media.H264), Audio: media.G711A}, {ID: "good-2", Video: small(media.H265)},
	}})
	locked := rtsptest.Start(t, rtsptest.Options{User: "root", Password: "right-" + password})
	wrong, err := url.Parse(locked.URL())
	if err != nil {
		t.Fatal(err)
	}
	wrong.User = url.UserPassword("root", password)
	faulty := func(f rtsptest.Fault) string { return rtsptest.Start(t, rtsptest.Options{Fault: f}).URL() }
	const connect, silent, rtp, key = 2 * time.Second, 1500 * time.Millisecond, 2500 * time.Millisecond, 4 * time.Second
	broken := []struct {
		id, url string
		state   status.State
		reason  status.Reason
		within  time.Duration
	}{
		{"wrong-password", wrong.String(), status.Offline, status.ReasonAuth, connect},
		{"web-server", faulty(rtsptest.HTTPServer), status.Offline, status.ReasonNotRTSP, connect},
		{"noise", faulty(rtsptest.RandomBytes), status.Offline, status.ReasonGarbage, connect},
		{"nobody", "rtsp://" + freePort(t) + "/x", status.Offline, status.ReasonRefused, connect},
		{"deaf", faulty(rtsptest.NoAnswer), status.Offline, status.ReasonTimeout, connect},
		{"no-such-path", faulty(rtsptest.NotFound), status.NoSignal, status.ReasonNotFound, connect},
		{"mute", faulty(rtsptest.SilentAfterPlay), status.NoSignal, status.ReasonSilent, silent},
		{"foreign", faulty(rtsptest.ForeignRTP), status.NoSignal, status.ReasonNoRTP, rtp},
		{"no-key-frame", faulty(rtsptest.NoKeyFrames), status.NoSignal, status.ReasonNoKeyFrame, key},
	}
	n := newNode(t, "all")
	var b strings.Builder
	fmt.Fprintf(&b, "%s%sspool: {segment: 4s}\npull: {connect_timeout: %v, bytes_timeout: %v, rtp_timeout: %v, "+
		"key_timeout: %v, retry_min: 200ms, retry_max: 1s}\ncameras:\n", oneUnit, access, connect, silent, rtp, key)
	for _, id := range []string{"good-1", "good-2"} {
		fmt.Fprintf(&b, "  - {id: %s, name: A, unit: yf, main: %q, transport: tcp, record: main}\n",
			id, s.URL(id, media.Main))
	}
	for _, c := range broken {
		fmt.Fprintf(&b, "  - {id: %s, name: B, unit: yf, main: %q, transport: tcp, record: main}\n", c.id, c.url)
	}
	n.configure(t, b.String())
	n.start(t)
	up := time.Now()
	const spare = 2 * time.Second // for the way to the API on a busy machine
	for _, c := range broken {
		poll(t, c.id, time.Until(up.Add(c.within+spare)), func() error {
			all, err := n.cameras()
			if err != nil {
				return err
			}
			if got := all[c.id]; got.State != c.state || got.Reason != c.reason || got.Detail == "" {
				return fmt.Errorf("%q %q %q, want %q %q", got.State, got.Reason, got.Detail, c.state, c.reason)
			}
			return nil
		})
	}
	n.awaitState(t, status.Live, 30*time.Second, "good-1", "good-2")
	before, err := n.cameras() // the simulation draws its first pictures when it is asked, which may be longer than bytes_timeout
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	end := began.Add(12 * time.Second)
	n.awaitArchive(t, began, end, 40*time.Second, "good-1", "good-2")
	all, err := n.cameras()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"good-1", "good-2"} {
		c := n.fetch(t, id, began, end)
		if h := holes(numbers(c.frames)); len(h) > 0 || len(c.shown()) < 300 {
			t.Errorf("%s: %d frames, holes %v", id, len(c.shown()), h)
		}
		if r := all[id].Profiles["main"].Reconnects - before[id].Profiles["main"].Reconnects; r != 0 {
			t.Errorf("%s: %d reconnects", id, r)
		}
	}
	_, body, err := n.get("/v1/cameras")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(body)+n.out.String(), password) {
		t.Error("a camera's password is in the log or in the API")
	}
}
