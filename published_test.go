package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"skein/edge/status"
	"skein/recorder/fmp4"
)

// TestPublishSplit proves that a gateway beside edges takes publications itself: a phone by WHIP and a body camera by
// RTSP are cameras like any other, seen and recorded, also when the gateway is killed.
func TestPublishSplit(t *testing.T) {
	beside(t, 1, 28*time.Second)
	tool(t, "ffmpeg")
	tool(t, "ffprobe")
	s := startPhones(t)
	g := s.gateway
	s.costsNothing(t)

	began := time.Now()
	p := g.publish(t, "phone")
	stop := s.bodyCamera(t)
	g.awaitState(t, status.Live, 20*time.Second, "phone", "body", "street")
	s.refusals(t, p)
	s.seenAndRecorded(t, p)

	onDisk := s.killed(t)
	stop()
	s.comesBack(t, began, onDisk)
	s.drains(t, began)
}

// costsNothing proves that a gateway without a camera that publishes has no spool and does nothing for one, and that a
// reload of the inventory brings it in.
func (s *phones) costsNothing(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(s.spool()); !os.IsNotExist(err) {
		t.Errorf("a gateway without a camera that publishes has a spool: %v", err)
	}
	if _, err := s.gateway.metric("skein_spool_bytes"); err == nil {
		t.Error("a gateway without a camera that publishes has the metrics of a spool")
	}
	resp, body, err := s.gateway.send(http.MethodPost, "/v1/whip/phone", "application/sdp", "v=0")
	if err != nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("before the inventory has it: %v %s", err, body)
	}
	s.reload(t)
}

// reload makes the gateway take the inventory with the cameras that publish over.
func (s *phones) reload(t *testing.T) {
	t.Helper()
	s.take(t, s.inventory)
	if err := s.gateway.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	poll(t, "reload", 10*time.Second, func() error {
		all, err := s.gateway.cameras()
		if c, ok := all["phone"]; err == nil && (!ok || !strings.Contains(c.Detail, "has not begun to publish")) {
			err = fmt.Errorf("phone is %q: %s", c.State, c.Detail)
		}
		return err
	})
}

// refusals proves that whoever may not publish is told why.
func (s *phones) refusals(t *testing.T, p *phone) {
	t.Helper()
	offer := p.pc.LocalDescription().SDP
	for _, c := range []struct {
		what, token, path, want string
		status                  int
	}{
		{"a wrong token", "wrong", "phone", "credential", 401},
		{"no token", "", "phone", "credential", 401},
		{"another phone", "token-of-a-second-phone", "phone", "published already, by bench since ", 409},
		{"in the place of a body camera", "token-of-a-second-phone", "body", "published already", 409},
		{"a pulled camera", testToken, "street", "is pulled; only one whose address is", 404},
		{"another profile", testToken, "phone?profile=sub", "no profile sub", 404},
		{"an unknown camera", testToken, "nobody", "no such camera", 404},
	} {
		req, err := http.NewRequest(http.MethodPost, "http://"+s.gateway.http+"/v1/whip/"+c.path, strings.NewReader(offer))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/sdp")
		if c.token != "" {
			req.Header.Set("Authorization", "Bearer "+c.token)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != c.status || !strings.Contains(string(body), c.want) {
			t.Errorf("%s: %s: %s", c.what, resp.Status, body)
		}
	}
	for path, want := range map[string]string{
		"phone/main": "453 camera phone is being published already", "street/main": "404 camera street is pulled",
	} {
		_, errs, err := command(t, tool(t, "ffmpeg"), "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=64x64",
			"-t", "1", "-c:v", "libx264", "-f", "rtsp", "-rtsp_transport", "tcp",
			"rtsp://bench:"+testToken+"@"+s.gateway.rtsp+"/"+path)
		if err == nil || !strings.Contains(errs, want) {
			t.Errorf("RTSP to %s: %v: %s", path, err, errs)
		}
	}
}

// seenAndRecorded proves that cameras that publish and pulled ones are alike to whoever looks.
func (s *phones) seenAndRecorded(t *testing.T, p *phone) {
	t.Helper()
	g := s.gateway
	from := time.Now()
	var viewers []*viewer
	ids := []string{"phone", "body", "street"}
	for _, id := range ids {
		viewers = append(viewers, g.watch(t, id))
	}
	for i, id := range ids {
		viewers[i].await(t, 50, 30*time.Second)
		g.watched(t, id)
	}
	g.snapshot(t, "phone")
	for _, transport := range []string{"tcp", "udp"} {
		out := probe(t, "-rtsp_transport", transport, "-read_intervals", "%+2",
			"rtsp://bench:"+testToken+"@"+g.rtsp+"/phone/main")
		if !strings.Contains(out.codecs(), "h264") {
			t.Errorf("RTSP out over %s: %s", transport, out.codecs())
		}
	}
	p.turn("phone")
	viewers[0].await(t, 175, 30*time.Second)
	to := time.Now()
	for _, id := range ids {
		c := g.fetch(t, id, from, to)
		frames := c.shown()
		want := int(to.Sub(from) / frameTime)
		// What ffmpeg holds back at its start comes in a burst, closer together.
		if h := holes(numbers(frames)); len(h) > 0 || len(frames) < want-4 || len(frames) > want+6 {
			t.Errorf("%s: %d frames in %v, want %d; holes %v", id, len(frames), to.Sub(from), want, h)
		}
		t.Logf("%s: %d frames in a clip of %v that ends now", id, len(frames), c.duration.Round(time.Millisecond))
		if id == "phone" {
			decode(t, "-i", c.file)
			continue
		}
		probe(t, c.file)
	}
	for _, v := range viewers {
		v.leave(t, g)
	}
	g.readBack(t, "phone", from, from.Add(4*time.Second))
	for _, m := range []string{
		`skein_edge_stream_state{camera="phone",profile="main",state="live"}`, "skein_spool_bytes",
	} {
		if _, err := g.metric(m); err != nil {
			t.Error(err)
		}
	}
}

// killed kills the gateway and returns what is on its disk then.
func (s *phones) killed(t *testing.T) map[string][]uint64 {
	t.Helper()
	await(t, time.Now().Add(4*time.Second)) // something is in an open segment
	s.gateway.kill()
	out := map[string][]uint64{}
	for _, id := range []string{"phone", "body"} {
		files, err := filepath.Glob(filepath.Join(s.spool(), publishedFolder, "cameras", id, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if ext := filepath.Ext(f); ext == ".part" || ext == ".mp4" {
				out[id] = append(out[id], numbers(wholeFragments(t, f))...)
			}
		}
		if len(out[id]) < 50 {
			t.Errorf("%s: %d frames on the disk of a gateway that was killed: %v", id, len(out[id]), files)
		}
	}
	return out
}

// wholeFragments reads a segment file up to where it was torn.
func wholeFragments(t *testing.T, file string) []frame {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	_, end, err := fmp4.Scan(f, st.Size())
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	data, err := io.ReadAll(io.NewSectionReader(f, 0, end))
	if err != nil {
		t.Fatal(err)
	}
	m, err := parseMP4(data)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return m.frames
}

// comesBack starts the gateway again and proves that what was on its disk is in the archive, once.
func (s *phones) comesBack(t *testing.T, began time.Time, onDisk map[string][]uint64) {
	t.Helper()
	down := time.Now()
	s.gateway.start(t)
	s.gateway.publish(t, "phone")
	s.bodyCamera(t)
	s.gateway.awaitState(t, status.Live, 20*time.Second, "phone", "body")
	for id, want := range onDisk {
		poll(t, "what was on disk of "+id, 30*time.Second, func() error {
			count := map[uint64]int{}
			for _, f := range s.archived(t, id) {
				count[f.Frame]++
			}
			for _, n := range want {
				if count[n] != 1 {
					return fmt.Errorf("frame %d of %d to %d is in the archive %d times", n, want[0], want[len(want)-1], count[n])
				}
			}
			return nil
		})
	}
	await(t, time.Now().Add(3*time.Second))
	s.gateway.fetch(t, "phone", began, time.Now()) // ends the open segment, and so the gap
	poll(t, "gap", 20*time.Second, func() error {
		_, gaps, err := s.gateway.coverage("phone", began, time.Now())
		if err == nil && !slices.ContainsFunc(gaps, func(g span) bool {
			return g.Cause == "edge_down" && g.From.Before(down) && g.To.After(down)
		}) {
			err = fmt.Errorf("gaps %v, want one around %v", gaps, down)
		}
		return err
	})
}

// drains ends the gateway with footage that is not shipped, and proves that it is after the restart, without any camera
// that publishes in the inventory.
func (s *phones) drains(t *testing.T, began time.Time) {
	t.Helper()
	await(t, time.Now().Add(2*time.Second))
	end := time.Now()
	s.gateway.stop()
	spooled := func(pattern string) []string {
		list, err := filepath.Glob(filepath.Join(s.spool(), publishedFolder, "cameras", "*", pattern))
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	if left, open := spooled("*.mp4"), spooled("*.part"); len(left) < 2 || len(open) > 0 {
		t.Errorf("after SIGTERM the spool holds %v and open segments %v", left, open)
	}
	s.take(t, s.pulled)
	s.gateway.start(t)
	poll(t, "shipping", 20*time.Second, func() error {
		if left := spooled("*.mp4"); len(left) > 0 {
			return fmt.Errorf("not shipped: %v", left)
		}
		return nil
	})
	s.reload(t)
	s.gateway.awaitArchive(t, began, end.Add(-2*frameTime), 30*time.Second, "phone", "body")
	s.check(t, "--deep")
}
