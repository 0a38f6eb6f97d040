package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"skein/bench/sim"
	"skein/edge/media"
	"skein/edge/status"
)

const (
	wallSoakCameras = 6
	wallSoakPages   = 12
	wallSoakSlots   = 4
	wallSoakTime    = 15 * time.Second // SKEIN_SOAK sets another
)

// restless is a page whose wall is told something new all the time.
type restless struct {
	*repairing
	channel *webrtc.DataChannel
	open    chan struct{}
	seen    *wallSeen
}

// wallSeen is what all pages saw together.
type wallSeen struct {
	pages, commands, pictures, sound      atomic.Int64
	live, replay, skipped, refused, error atomic.Int64 // states and errors
}

// wall opens a wall on a socket of its own.
func (n *node) wall(seen *wallSeen) (*restless, error) {
	v, err := newRepairing("127.0.0.1:0", 1<<20)
	if err != nil {
		return nil, err
	}
	w := &restless{repairing: v, open: make(chan struct{}), seen: seen}
	v.pc.OnTrack(w.count)
	receive := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
	for range wallSoakSlots - 1 { // negotiate adds one
		_, e := v.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, receive)
		err = errors.Join(err, e)
	}
	_, e := v.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, receive)
	err = errors.Join(err, e)
	if w.channel, e = v.pc.CreateDataChannel("wall", nil); e == nil {
		w.channel.OnOpen(func() { close(w.open) })
		w.channel.OnMessage(func(m webrtc.DataChannelMessage) { w.hear(m.Data) })
	}
	if err = errors.Join(err, e); err == nil {
		err = v.negotiate(n, "/v1/walls")
	}
	if err != nil {
		v.close()
		return nil, err
	}
	return w, nil
}

func (w *restless) count(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
	for {
		p, _, err := track.ReadRTP()
		switch {
		case err != nil:
			return
		case track.Kind() == webrtc.RTPCodecTypeAudio:
			w.seen.sound.Add(1)
		case p.Marker:
			w.seen.pictures.Add(1)
		}
	}
}

func (w *restless) hear(message []byte) {
	var m struct {
		Type, State string
		Skipped     bool
	}
	if json.Unmarshal(message, &m) != nil {
		return
	}
	switch {
	case m.Type == "error":
		w.seen.error.Add(1)
	case m.Skipped:
		w.seen.skipped.Add(1)
	case m.State == "live":
		w.seen.live.Add(1)
	case m.State == "replay":
		w.seen.replay.Add(1)
	case m.State == "no_signal", m.State == "not_permitted":
		w.seen.refused.Add(1)
	}
}

// whim makes up something to tell the wall.
func whim() string {
	slot, last := rand.IntN(wallSoakSlots-1), wallSoakSlots-1 // the last is left alone long enough for a replay to come
	camera := func() string {                                 // now and then one that is dead or unknown
		return fmt.Sprintf("cam%d", rand.IntN(wallSoakCameras+2))
	}
	profile := []string{"main", "sub", "auto"}[rand.IntN(3)]
	switch rand.IntN(14) {
	case 0, 1, 2, 3:
		return fmt.Sprintf(`{"type":"show","slot":%d,"camera":%q,"profile":%q,"width":%d,"height":%d}`, slot, camera(), profile,
			rand.IntN(2000), rand.IntN(1200))
	case 4:
		return fmt.Sprintf(`{"type":"hide","slot":%d}`, slot)
	case 5:
		return fmt.Sprintf(`{"type":"listen","slot":%d}`, rand.IntN(wallSoakSlots+1)-1)
	case 6, 7:
		return fmt.Sprintf(`{"type":"tour","slot":%d,"cameras":[%q,%q,%q],"dwell_s":2,"profile":%q}`, slot, camera(), camera(),
			camera(), profile)
	case 8:
		return fmt.Sprintf(`{"type":"tour_pause","slot":%d,"paused":%v}`, slot, rand.IntN(2) == 0)
	case 9:
		return fmt.Sprintf(`{"type":"tour_next","slot":%d}`, slot)
	case 10:
		return fmt.Sprintf(`{"type":"replay","slot":%d,"back_s":10}`, []int{slot, last}[rand.IntN(2)])
	case 11:
		return fmt.Sprintf(`{"type":"live","slot":%d}`, []int{slot, last}[rand.IntN(2)])
	case 12:
		return fmt.Sprintf(`{"type":"show","slot":%d,"camera":"cam%d","profile":"main"}`, last, rand.IntN(wallSoakCameras))
	}
	return []string{"{", `{"type":"show","slot":99,"camera":"x"}`, `{"type":"stats","slots":[{"slot":0,"decoded":5}]}`}[rand.IntN(3)]
}

// stay tells a wall this and that for a while and leaves in one of three ways.
func (n *node) stay(length time.Duration, seen *wallSeen) error {
	w, err := n.wall(seen)
	if err != nil {
		return err
	}
	seen.pages.Add(1)
	end := time.After(length)
	left := false
	select {
	case <-w.open:
	case <-end: // before it began
		left = true
	}
	for !left {
		if w.channel.ReadyState() == webrtc.DataChannelStateOpen {
			if err := w.channel.SendText(whim()); err != nil {
				return fmt.Errorf("tell the wall: %w", err)
			}
			seen.commands.Add(1)
		}
		select {
		case <-time.After(rand.N(400 * time.Millisecond)):
		case <-end:
			left = true
		}
	}
	switch rand.IntN(3) {
	case 0:
		w.vanish()
	case 1:
		err = w.end(n)
		w.close()
	default:
		w.close()
	}
	return err
}

// pages keeps walls coming and going for a while.
func (n *node) pages(t *testing.T, length time.Duration, seen *wallSeen) {
	t.Helper()
	end := time.Now().Add(length)
	var mu sync.Mutex // guards errs
	var errs []error
	var wg sync.WaitGroup
	for range wallSoakPages {
		wg.Go(func() {
			for time.Now().Before(end) {
				err := n.stay(rand.N(7*time.Second), seen)
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}

// TestWallSoak has walls come and go, steered at random: cameras live, dead and unknown, tours, replays, sound, nonsense.
// Nothing may stay behind: sessions, feeds, goroutines, memory.
func TestWallSoak(t *testing.T) {
	beside(t, 2, 75*time.Second)
	length := soakLength(t, wallSoakTime)
	cfg := sim.Config{}
	var ids []string
	for i := range wallSoakCameras + 1 { // the last one is dead, and there is one more in the commands
		sub := small(media.H264)
		ids = append(ids, fmt.Sprintf("cam%d", i))
		cfg.Cameras = append(cfg.Cameras, sim.Camera{ID: ids[i], Video: small(media.H264), Sub: &sub, Audio: media.G711A})
	}
	cams := startSim(t, cfg)
	n := newNode(t, "all")
	more := oneUnit + access + "cameras:\n"
	for _, id := range ids {
		more += fmt.Sprintf("  - {id: %s, name: A, unit: yf, main: %q, sub: %q, transport: tcp, record: main}\n", id,
			cams.URL(id, media.Main), cams.URL(id, media.Sub))
	}
	cams.Camera(ids[wallSoakCameras]).Stop()
	n.configure(t, more)
	n.start(t)
	n.awaitState(t, status.Live, 30*time.Second, ids[:wallSoakCameras]...)
	<-time.After(12 * time.Second) // so that there is something to replay

	n.pages(t, 6*time.Second, &wallSeen{}) // what is made once is made now
	base := n.awaitIdle(t, 40*time.Second, nil)
	var seen wallSeen
	n.pages(t, length, &seen)
	for tries := 0; seen.missing() != "" && tries < 4; tries++ { // what is told at random to a busy machine
		t.Logf("no %s so far", seen.missing())
		n.pages(t, length, &seen)
	}
	after := n.awaitIdle(t, 60*time.Second, &weight{goroutines: base.goroutines + 4, heap: base.heap + 8e6})
	t.Logf("%d walls, %d commands in %v: %d pictures, %d packets of sound, %d states live, %d replay, %d dead, %d skipped, "+
		"%d errors; goroutines %v before, %v after; heap %.1f MB before, %.1f MB after", seen.pages.Load(), seen.commands.Load(),
		length, seen.pictures.Load(), seen.sound.Load(), seen.live.Load(), seen.replay.Load(), seen.refused.Load(),
		seen.skipped.Load(), seen.error.Load(), base.goroutines, after.goroutines, base.heap/1e6, after.heap/1e6)
	if what := seen.missing(); what != "" {
		t.Errorf("no %s: the test proves nothing", what)
	}
}

// missing names something that no page has seen; "" if there is nothing.
func (s *wallSeen) missing() string {
	for what, n := range map[string]int64{
		"pictures": s.pictures.Load(), "sound": s.sound.Load(), "states live": s.live.Load(), "replays": s.replay.Load(),
		"dead cameras": s.refused.Load(), "cameras skipped": s.skipped.Load(), "errors": s.error.Load(),
	} {
		if n == 0 {
			return what
		}
	}
	return ""
}
