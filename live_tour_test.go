package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"skein/bench/sim"
	"skein/edge/media"
	"skein/edge/status"
)

// TestTourInChromium tours a live, a dead and another live camera: the page must say that the dead one was passed by and
// why, go on, say so for as long as it is dead, and show it when it is back.
func TestTourInChromium(t *testing.T) {
	beside(t, 2, 28*time.Second)
	names := map[string]string{"street": "青松路 东口", "gone": "职教中心 北门", "square": "市民广场"}
	ids := []string{"street", "gone", "square"}
	cfg := sim.Config{}
	for _, id := range ids {
		cfg.Cameras = append(cfg.Cameras, sim.Camera{ID: id, Video: small(media.H264)})
	}
	cams := startSim(t, cfg)
	n := newNode(t, "all")
	more := oneUnit + access + "pull: {bytes_timeout: 2s, retry_min: 200ms, retry_max: 1s}\ncameras:\n"
	for _, id := range ids {
		more += fmt.Sprintf("  - {id: %s, name: %s, unit: yf, main: %q, transport: tcp}\n", id, names[id],
			cams.URL(id, media.Main))
	}
	cams.Camera("gone").Stop()
	n.configure(t, more)
	n.start(t)
	n.awaitState(t, status.Live, 30*time.Second, "street", "square")

	c := openConsole(t, n)
	c.ask(`{"do":"login"}`)
	c.ask(`{"do":"layout","n":4}`)
	c.ask(`{"do":"tour","cameras":["street","gone","square"],"dwell":5}`)
	c.ask(`{"do":"shows","camera":"street"}`)
	said := c.ask(`{"do":"passed","shot":"tour-passed"}`)
	t.Logf("%q, in the header %q: %q", said.Note, said.Count, said.Hint)
	for _, text := range []string{said.Note, said.Hint} {
		if !strings.Contains(text, names["gone"]) || !strings.Contains(text, "无信号") {
			t.Errorf("%q does not say who was passed by and why", text)
		}
	}
	c.ask(`{"do":"shows","camera":"square","shot":"tour-on"}`)
	c.ask(`{"do":"shows","camera":"street"}`)
	if err := cams.Camera("gone").Start(); err != nil {
		t.Fatal(err)
	}
	c.ask(`{"do":"shows","camera":"gone"}`)
	c.ask(`{"do":"none","id":"tour-passed"}`)
}
