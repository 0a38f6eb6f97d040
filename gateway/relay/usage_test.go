package relay_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skein/gateway/relay"
)

// TestStreamFigures checks what is told of a stream and its viewers, and that nothing is told once they left.
func TestStreamFigures(t *testing.T) {
	t.Parallel()
	c := newCamera()
	go c.run(t.Context(), 25)
	cs := &cameras{byID: map[string]*camera{"gate/main": c}}
	reg := prometheus.NewRegistry()
	r, err := relay.New(relay.Config{UDP: "127.0.0.1:0"}, cs, nil, reg)
	must(t, err)
	launch(t, r, cs)
	one, two := newPlayer(t, playerOptions{}).play(r, "gate"), newPlayer(t, playerOptions{}).play(r, "gate")
	one.slice()
	two.slice()
	within(t, "figures of two viewers", func() bool {
		all := r.Streams()
		return len(all) == 1 && all[0].Viewers == 2 && all[0].Packets > 20 && all[0].Bytes > 20_000
	})
	if s := r.Streams()[0]; s.Camera != "gate" || s.Profile != "main" || s.FirstFrameMS <= 0 || s.FirstFrameMS > 10_000 {
		t.Errorf("%+v", s)
	}
	all, err := reg.Gather()
	must(t, err)
	got := map[string]float64{}
	for _, f := range all {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "camera" && l.GetValue() == "gate" {
					got[f.GetName()] = m.GetGauge().GetValue() + float64(m.GetSummary().GetSampleCount())
				}
			}
		}
	}
	if got["skein_relay_stream_viewers"] != 2 || got["skein_relay_stream_first_frame_seconds"] < 1 || len(got) < 6 {
		t.Errorf("metrics %v", got)
	}
	must(t, r.End(t.Context(), one.session.ID, everything("tester")))
	must(t, r.End(t.Context(), two.session.ID, everything("tester")))
	within(t, "no stream", func() bool { return len(r.Streams()) == 0 })
}

// TestStreamFiguresOfASlotThatChanges turns a slot between a stream of small packets and one of large ones several times
// between two readings: nothing of the one may be told of the other.
func TestStreamFiguresOfASlotThatChanges(t *testing.T) {
	t.Parallel()
	small, big := sizedCamera(700), sizedCamera(8000)
	r, _ := start(t, relay.Config{}, map[string]*camera{"small/sub": small, "big/sub": big})
	for _, c := range []*camera{small, big} {
		c.publish()
		go c.run(t.Context(), 50)
	}
	w := newWall(t, r, 3, everything("duty"))
	w.tell(`{"type":"show","slot":1,"camera":"small","profile":"sub"}`) // keep both streams in the list
	w.tell(`{"type":"show","slot":2,"camera":"big","profile":"sub"}`)
	for end := time.Now().Add(2500 * time.Millisecond); time.Now().Before(end); {
		for _, c := range []string{"small", "big"} {
			w.tell(`{"type":"show","slot":0,"camera":%q,"profile":"sub"}`, c)
			w.state(is(0, c, "live"))
			<-time.After(150 * time.Millisecond)
		}
	}
	all := r.Streams()
	if len(all) != 2 || all[1].Camera != "small" || all[0].Packets == 0 || all[1].Packets == 0 {
		t.Fatalf("%+v", all)
	}
	// 700 bytes go in one packet and 2,800 in three; 8,000 and 32,000 in packets of over 1,100.
	if mean := all[1].Bytes / all[1].Packets; mean > 940 {
		t.Errorf("a packet of the small stream has %d bytes on average: some are the other's", mean)
	}
	if mean := all[0].Bytes / all[0].Packets; mean < 1090 {
		t.Errorf("a packet of the large stream has %d bytes on average: some are the other's", mean)
	}
}
