package relay_test

import (
	"testing"

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
