package rtsp_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"skein/edge/media"
	"skein/edge/rtsp"
	"skein/edge/rtsp/rtsptest"
)

// numbered returns the pictures that arrived by their number.
func numbered(t *testing.T, units []*media.AccessUnit) map[int]*media.AccessUnit {
	t.Helper()
	out := map[int]*media.AccessUnit{}
	for _, u := range units {
		if n, ok := rtsptest.Number(u.NALUs); ok {
			if out[n] != nil {
				t.Errorf("picture %d arrived twice", n)
			}
			out[n] = u
		}
	}
	return out
}

// complete checks that each picture sent arrived as far as it can: those of which something was lost are marked, and
// missing only if their beginning was lost.
func complete(t *testing.T, cam *rtsptest.Camera, units []*media.AccessUnit) (damaged int) {
	t.Helper()
	got := numbered(t, units)
	last, ok := rtsptest.Number(units[len(units)-1].NALUs)
	if !ok {
		t.Fatal("the last unit is no picture with a number")
	}
	for _, s := range cam.Sent()[:last] {
		u := got[s.Number]
		switch {
		case u == nil && s.Began:
			t.Errorf("picture %d (whole: %v) is missing", s.Number, s.Whole)
		case u != nil && u.Damaged == s.Whole:
			t.Errorf("picture %d: whole %v, marked as damaged %v", s.Number, s.Whole, u.Damaged)
		case u != nil && u.Damaged:
			damaged++
		}
	}
	return damaged
}

// A source that changes its SSRC, and with it its sequence numbers and timestamps, goes on: no picture is missing, and
// media time is continuous.
func TestPullSourceChangesInMidStream(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{rtsp.TransportTCP, rtsp.TransportUDP} {
		for name, o := range map[string]rtsptest.Options{
			"announced": {}, "not announced": {HideSSRC: true}, "h265": {Video: media.H265}, "with sound": {Audio: media.G711A},
		} {
			t.Run(transport+"/"+name, func(t *testing.T) {
				t.Parallel()
				o.Padding, o.Bulk, o.NewSSRC = 20, 3000, 60
				cam := rtsptest.Start(t, o)
				var stats rtsp.Stats
				units := pull(t, rtsp.PullConfig{URL: cam.URL(), Transport: transport, Stats: &stats}, collect(pictures(200)))
				var last *media.AccessUnit
				for _, u := range units {
					if !u.IsVideo() {
						continue
					}
					if last != nil {
						// How long the change took is known by the arrivals only, and this machine may be busy.
						if d := u.PTS - last.PTS; d < 1800 || d > 90000 {
							t.Errorf("PTS went on by %d, want about 3600", d)
						}
						if d := u.Wall.Sub(last.Wall); d < 20*time.Millisecond || d > time.Second {
							t.Errorf("wall time went on by %v", d)
						}
					}
					last = u
				}
				for last = units[len(units)-1]; !last.IsVideo(); last = units[len(units)-1] {
					units = units[:len(units)-1]
				}
				if n := complete(t, cam, units); n > 0 || stats.Snapshot().Lost > 0 {
					t.Errorf("%d damaged, %d packets lost on a clean line", n, stats.Snapshot().Lost)
				}
				if last.Epoch != 1 {
					t.Errorf("epoch %d, want 1", last.Epoch)
				}
			})
		}
	}
}

// What is lost on the way costs the pictures it belonged to, which are kept and marked as far as they can be decoded.
func TestPullLossyLine(t *testing.T) {
	t.Parallel()
	every := func(k, at int) func(int) bool { return func(n int) bool { return n > 30 && n%k == at } }
	for name, c := range map[string]struct {
		transport string
		o         rtsptest.Options
	}{
		"udp, 2 percent":         {rtsp.TransportUDP, rtsptest.Options{Padding: 20, Bulk: 6000, Lose: every(50, 17)}},
		"udp, h265":              {rtsp.TransportUDP, rtsptest.Options{Padding: 20, Bulk: 6000, Video: media.H265, Lose: every(47, 3)}},
		"udp, one packet each":   {rtsp.TransportUDP, rtsptest.Options{Padding: 200, Lose: every(50, 17)}},
		"tcp, frames left out":   {rtsp.TransportTCP, rtsptest.Options{Padding: 20, Bulk: 6000, Lose: every(200, 17)}},
		"tcp, frames cut short":  {rtsp.TransportTCP, rtsptest.Options{Padding: 20, Bulk: 6000, Cut: cut(every(200, 17), 300)}},
		"tcp, all but the start": {rtsp.TransportTCP, rtsptest.Options{Padding: 20, Bulk: 6000, Cut: cut(every(200, 11), 1200)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cam := rtsptest.Start(t, c.o)
			var stats rtsp.Stats
			units := pull(t, rtsp.PullConfig{URL: cam.URL(), Transport: c.transport, Stats: &stats}, collect(pictures(150)))
			damaged := complete(t, cam, units)
			s := stats.Snapshot()
			if s.Lost == 0 || int(s.Damaged) < damaged || damaged == 0 && c.o.Bulk > 0 {
				t.Errorf("%d packets lost, %d pictures damaged by the counter, %d seen", s.Lost, s.Damaged, damaged)
			}
			if s.Loss == 0 {
				t.Error("no loss was measured")
			}
			for _, u := range units {
				if u.Epoch != 1 {
					t.Fatalf("epoch %d", u.Epoch)
				}
			}
		})
	}
}

func cut(when func(int) bool, bytes int) func(int) int {
	return func(n int) int {
		if when(n) {
			return bytes
		}
		return 0
	}
}

// A camera that offers its pictures to a multicast group only is pulled: by name, and after it refused all else.
func TestPullMulticast(t *testing.T) {
	t.Parallel()
	loopback(t)
	for _, transport := range []string{rtsp.TransportMulticast, rtsp.TransportAuto, rtsp.TransportAutoUDP} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			cam := rtsptest.Start(t, rtsptest.Options{Fault: rtsptest.MulticastOnly, Padding: 3000, Audio: media.G711A})
			var stats rtsp.Stats
			units := pull(t, rtsp.PullConfig{URL: cam.URL(), Transport: transport, Stats: &stats}, collect(pictures(40)))
			for last := units[len(units)-1]; !last.IsVideo(); last = units[len(units)-1] {
				units = units[:len(units)-1]
			}
			if n := complete(t, cam, units); n > 0 || stats.Snapshot().Transport != rtsp.TransportMulticast {
				t.Errorf("%d damaged, transport %s", n, stats.Snapshot().Transport)
			}
		})
	}
}

// loopback skips a test where the loopback interface takes no multicast.
func loopback(t *testing.T) {
	t.Helper()
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Skip("no interface lo:", err)
	}
	group := &net.UDPAddr{IP: net.IPv4(239, 255, 77, 77), Port: 29999}
	in, err := net.ListenMulticastUDP("udp4", lo, group)
	if err != nil {
		t.Skip("the loopback interface takes no multicast:", err)
	}
	defer in.Close()
	out, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, group)
	if err == nil {
		defer out.Close()
		_, err = out.Write([]byte{1})
	}
	_ = in.SetReadDeadline(time.Now().Add(2 * time.Second))
	if _, _, e := in.ReadFromUDP(make([]byte, 8)); err != nil || e != nil {
		t.Skip("the loopback interface carries no multicast:", errors.Join(err, e))
	}
}
