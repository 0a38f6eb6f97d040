package main

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"skein/bench/sim"
)

// slotState is what the gateway last said of a wall's slot.
type slotState struct {
	Type, Camera, Profile, State, Reason string
	Slot, Kbps, FPS                      int
}

// steered is a wall of large automatic tiles.
type steered struct {
	*repairing
	mu     sync.Mutex // guards the field below
	states map[int]slotState
}

// steer opens a wall that shows each of the cameras in a tile large enough for its main stream, the last the largest.
func (n *node) steer(t *testing.T, address, profile string, cameras ...string) *steered {
	t.Helper()
	v, err := newRepairing(address, 4<<20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.close)
	w := &steered{repairing: v, states: map[int]slotState{}}
	for range len(cameras) - 1 { // negotiate adds one
		if _, err := v.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo,
			webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			t.Fatal(err)
		}
	}
	d, err := v.pc.CreateDataChannel("wall", nil)
	if err != nil {
		t.Fatal(err)
	}
	d.OnMessage(func(m webrtc.DataChannelMessage) {
		var s slotState
		if json.Unmarshal(m.Data, &s) == nil && s.Type == "state" {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.states[s.Slot] = s
		}
	})
	d.OnOpen(func() {
		for i, c := range cameras {
			_ = d.SendText(fmt.Sprintf(
				`{"type":"show","slot":%d,"camera":%q,"profile":%q,"width":%d,"height":720}`, i, c, profile, 1280+i))
		}
	})
	if err := v.negotiate(n, "/v1/walls"); err != nil {
		t.Fatal(err)
	}
	return w
}

// profiles waits until the tiles show these profiles and returns how long that took.
func (w *steered) profiles(t *testing.T, limit time.Duration, want ...string) time.Duration {
	t.Helper()
	began := time.Now()
	poll(t, fmt.Sprintf("tiles show %v", want), limit, func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		for i, p := range want {
			if s := w.states[i]; s.Profile != p || s.State != "live" {
				return fmt.Errorf("%+v", w.states)
			}
		}
		return nil
	})
	return time.Since(began)
}

// TestSlowLinkOfAViewer puts a narrow link between gateway and viewers. A wall's smaller tile goes down to its sub stream
// and both stay current; it goes up again when the link is wider. A viewer that asks for more than the link bears gets
// fewer pictures, but no old ones.
func TestSlowLinkOfAViewer(t *testing.T) {
	beside(t, 5, 50*time.Second)
	s := newSpace(t)
	camera := func(id string, bitrate int) sim.Camera {
		return sim.Camera{ID: id, Video: sim.Video{Bitrate: bitrate}, Sub: &sim.Video{Bitrate: 300_000}}
	}
	n := behindSpace(t, s, camera("cam0", 3_000_000), camera("cam1", 3_000_000))
	s.narrow(t, 20_000)
	w := n.steer(t, s.outside+":0", "auto", "cam0", "cam1")
	w.profiles(t, time.Minute, "main", "main") // a busy machine may begin with sub
	s.narrow(t, 5000)
	took := w.profiles(t, 30*time.Second, "sub", "main")
	w.mu.Lock()
	reason := w.states[0].Reason
	w.mu.Unlock()
	if reason != "link-slow" {
		t.Errorf("the lowered tile's reason is %q", reason)
	}
	<-time.After(2 * time.Second) // what queued
	w.forget()
	<-time.After(4 * time.Second)
	_, delays, _ := w.seen()
	p50, p99 := quantile(delays, 0.5), quantile(delays, 0.99)
	t.Logf("two main streams of 3 Mbit/s over 5 Mbit/s: the smaller is sub after %v; then %d pictures, delay p50 %v, p99 %v",
		took.Round(100*time.Millisecond), len(delays), p50.Round(time.Millisecond), p99.Round(time.Millisecond))
	if len(delays) < 100 || p50 > 500*time.Millisecond {
		t.Errorf("%d pictures, delay p50 %v", len(delays), p50)
	}
	s.narrow(t, 40_000)
	t.Logf("main again %v after the link was widened", w.profiles(t, 60*time.Second, "main", "main").Round(100*time.Millisecond))
	w.close()

	v := n.follow(t, "cam0", s.outside+":0", 4<<20)
	poll(t, "pictures", 20*time.Second, func() error {
		if f, _, _ := v.seen(); len(f) < 50 {
			return fmt.Errorf("%d pictures", len(f))
		}
		return nil
	})
	s.narrow(t, 1500)
	<-time.After(5 * time.Second)
	v.forget()
	<-time.After(8 * time.Second)
	frames, delays, lost := v.seen()
	dropped, err := n.metric(`skein_relay_drops_total{reason="link_slow"}`)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("3 Mbit/s over 1.5: %d pictures in 8 s, %d packets lost, delay p50 %v, worst %v; dropped to the next key frame %v times",
		len(frames), lost, quantile(delays, 0.5).Round(time.Millisecond), quantile(delays, 1).Round(time.Millisecond), dropped)
	if len(frames) < 12 || quantile(delays, 1) > 3*time.Second {
		t.Errorf("%d pictures, the latest %v late", len(frames), quantile(delays, 1))
	}
	if dropped == 0 {
		t.Error("nothing was dropped")
	}
}

// TestSlowLinkOfASubWall puts a link between gateway and viewer that does not bear even the sub streams of a wall: the
// smaller tiles become slide shows, which they say, so that the larger ones move.
func TestSlowLinkOfASubWall(t *testing.T) {
	beside(t, 5, 40*time.Second)
	const tiles = 6
	s := newSpace(t)
	var cameras []sim.Camera
	var ids []string
	for i := range tiles {
		ids = append(ids, fmt.Sprintf("cam%d", i))
		cameras = append(cameras, sim.Camera{
			ID: ids[i], Video: sim.Video{Width: 640, Height: 360, FPS: 15, Bitrate: 300_000}, Sub: &sim.Video{Bitrate: 400_000},
		})
	}
	n := behindSpace(t, s, cameras...)
	s.narrow(t, 20_000)
	w := n.steer(t, s.outside+":0", "sub", ids...)
	w.profiles(t, 20*time.Second, "sub", "sub", "sub", "sub", "sub", "sub")
	s.narrow(t, 2000) // of 2,600
	<-time.After(10 * time.Second)
	w.forget()
	const seconds = 12
	moving, still := [tiles]int{}, 0
	for range seconds {
		<-time.After(time.Second)
		some := false
		w.mu.Lock()
		for i := range tiles {
			if w.states[i].FPS >= 10 {
				moving[i]++
				some = true
			}
		}
		w.mu.Unlock()
		if !some {
			still++
		}
	}
	_, delays, lost := w.seen()
	t.Logf("6 sub streams over three quarters of what they need: seconds that each tile moved, of %d: %v; all stood still for %d; "+
		"delay p50 %v, p99 %v, %d packets lost", seconds, moving, still, quantile(delays, 0.5).Round(time.Millisecond),
		quantile(delays, 0.99).Round(time.Millisecond), lost)
	w.mu.Lock()
	defer w.mu.Unlock()
	if still > 2 || moving[tiles-1] < seconds*2/3 {
		t.Errorf("seconds that each tile moved, of %d: %v; all stood still for %d", seconds, moving, still)
	}
	for i := range tiles {
		if s := w.states[i]; moving[i] == 0 && s.Reason != "link-slow" {
			t.Errorf("tile %d stands still and says %q", i, s.Reason)
		}
	}
}
