package main

import (
	"bytes"
	"fmt"
	"image/jpeg"
	"os/exec"
	"strings"
	"testing"
	"time"

	"skein/edge/media"
	"skein/edge/rtsp/rtsptest"
	"skein/edge/status"
)

// oddCamera is a camera as the field has them, and what is to be seen of it.
type oddCamera struct {
	id        string
	o         rtsptest.Options
	transport string
	away      time.Duration // how long it is away at a time
	states    string        // that may be shown once it was live
	cam       *rtsptest.Camera
}

// TestOddCameras runs cameras that each do one thing as they should not, and reads the archive back: of what they sent,
// every picture is there once, but those that were lost on the way, and their states tell what is the matter.
func TestOddCameras(t *testing.T) {
	beside(t, 2, 60*time.Second)
	every := func(k int) func(int) bool { return func(n int) bool { return n > 100 && n%k == 17 } }
	odd := []*oddCamera{
		{id: "new-ssrc", o: rtsptest.Options{NewSSRC: 110}, states: "live"},
		{id: "new-ssrc-udp", o: rtsptest.Options{NewSSRC: 110, Audio: media.G711A}, transport: "udp", states: "live"},
		{id: "fast-clock", o: rtsptest.Options{Rate: 1.04}, states: "live"},
		{id: "reboots", o: rtsptest.Options{Away: rtsptest.Away{Every: 18 * time.Second, For: 6 * time.Second}},
			away: 6 * time.Second, states: "live frozen"},
		{id: "pauses", o: rtsptest.Options{Away: rtsptest.Away{Every: 18 * time.Second, For: 8 * time.Second, Silent: true}},
			away: 8 * time.Second, states: "live frozen"},
		{id: "loses-udp", o: rtsptest.Options{Bulk: 3000, Lose: every(50)}, transport: "udp", states: "live"},
		{id: "loses-frames", o: rtsptest.Options{Bulk: 3000, Lose: every(200)}, states: "live"},
		{id: "cuts-frames", o: rtsptest.Options{Bulk: 3000, Cut: func(n int) int {
			if every(200)(n) {
				return 900
			}
			return 0
		}}, states: "live"},
		{id: "jpeg", o: rtsptest.Options{Video: media.MJPEG, FPS: 10}, states: "live"},
		{id: "loudspeaker", o: rtsptest.Options{OnlyAudio: true, Audio: media.G711A}, states: "sound_only"},
	}
	n := newNode(t, "all")
	var b strings.Builder
	fmt.Fprintf(&b, "%s%sspool: {segment: 4s}\ncameras:\n", oneUnit, access)
	for _, c := range odd {
		c.o.Padding = 20
		c.cam = rtsptest.Start(t, c.o)
		if c.transport == "" {
			c.transport = "tcp"
		}
		fmt.Fprintf(&b, "  - {id: %s, name: A, unit: yf, main: %q, transport: %s, record: main}\n", c.id, c.cam.URL(), c.transport)
	}
	n.configure(t, b.String())
	n.start(t)
	began := time.Now()
	n.awaitState(t, status.SoundOnly, 20*time.Second, "loudspeaker")
	n.awaitState(t, status.Live, 20*time.Second, "jpeg")
	n.liveThough(t)
	reasons := n.statesOf(t, odd, began.Add(45*time.Second))
	end := time.Now()
	for _, c := range odd {
		if c.away > 0 {
			end = end.Add(-c.away)
			break
		}
	}
	for _, c := range odd {
		n.awaitArchive(t, began, end.Add(-10*time.Second), 60*time.Second, c.id)
		if c.id == "jpeg" || c.id == "loudspeaker" { // not numbered
			continue
		}
		n.complete(t, c, began, time.Now())
		if c.o.Lose != nil || c.o.Cut != nil {
			if !reasons[c.id+" "+string(status.ReasonCameraLoss)] {
				t.Errorf("%s: the loss was never shown", c.id)
			}
		}
	}
}

// liveThough proves that a loudspeaker unit can be listened to, and a camera of JPEG pictures be seen.
func (n *node) liveThough(t *testing.T) {
	t.Helper()
	e := n.hear(t, "/v1/whep/loudspeaker?profile=main")
	poll(t, "the loudspeaker's sound", 20*time.Second, func() error {
		if sound, _ := e.heard(); sound < 50 {
			return fmt.Errorf("%d packets", sound)
		}
		return nil
	})
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Log("JPEG is not seen live without ffmpeg:", err)
		return
	}
	e = n.hear(t, "/v1/whep/jpeg?profile=main")
	if fmt.Sprint(e.warned) != "[transcoded]" {
		t.Errorf("the viewer of JPEG pictures is warned of %q", e.warned)
	}
	poll(t, "pictures of the JPEG camera", 20*time.Second, func() error {
		if _, video := e.heard(); video < 50 {
			return fmt.Errorf("%d packets", video)
		}
		return nil
	})
	_, body, err := n.get("/v1/snapshots/jpeg.jpg")
	if img, e := jpeg.Decode(bytes.NewReader(body)); err != nil || e != nil || img.Bounds().Dx() == 0 {
		t.Errorf("snapshot: %v, %v", err, e)
	}
}

// heard returns how many packets of sound and of pictures came.
func (e *ears) heard() (sound, video int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.sound), e.video
}

// statesOf watches the cameras until a moment. It returns all "camera reason" seen.
func (n *node) statesOf(t *testing.T, odd []*oddCamera, until time.Time) map[string]bool {
	t.Helper()
	was := map[string]bool{}
	seen := map[string]bool{}
	for time.Now().Before(until) {
		all, err := n.cameras()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range odd {
			s := all[c.id]
			was[c.id] = was[c.id] || s.State == status.Live || s.State == status.SoundOnly
			if was[c.id] && !strings.Contains(c.states, string(s.State)) {
				t.Errorf("%s: %s %s %s, want one of %s", c.id, s.State, s.Reason, s.Detail, c.states)
			}
			seen[c.id+" "+string(s.Reason)] = true
		}
		time.Sleep(300 * time.Millisecond)
	}
	return seen
}

// complete checks the footage of a camera against what it sent.
func (n *node) complete(t *testing.T, c *oddCamera, from, to time.Time) {
	t.Helper()
	_, body, err := n.get("/v1/clips/" + c.id + ".mp4?" + rangeQuery(from, to))
	if err != nil {
		t.Fatal(err)
	}
	got, first, last := map[int]int{}, -1, -1
	for rest := body; ; {
		i := bytes.Index(rest, []byte(rtsptest.Mark))
		if i < 0 {
			break
		}
		number, _ := rtsptest.Number([][]byte{rest[i:]})
		got[number]++
		if first < 0 {
			first = number
		}
		last = max(last, number)
		rest = rest[i+len(rtsptest.Mark):]
	}
	missing, twice, sent := 0, 0, c.cam.Sent()
	for i, s := range sent {
		if s.Number < first || s.Number > last {
			continue
		}
		switch n := got[s.Number]; {
		case n > 1:
			twice++
		case n == 0 && s.Began:
			missing++
		}
		if i == 0 {
			continue
		}
		if d := s.At.Sub(sent[i-1].At) - c.away; d > 2*time.Second { // a second, and a busy machine
			t.Errorf("%s: dialled %v after its return", c.id, d)
		}
	}
	if missing > 0 || twice > 0 || last-first < 400 {
		t.Errorf("%s: of %d pictures %d are missing, %d are there twice", c.id, last-first+1, missing, twice)
	}
	t.Logf("%s: %d pictures, %d of them there", c.id, last-first+1, len(got))
}
