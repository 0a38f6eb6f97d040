package main

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"skein/bench/sim"
	"skein/edge/media"
	"skein/edge/status"
	"skein/gateway/relay"
)

// TestSingleStreamsInChromiumTellHowTheyFare opens the console with a connection for each tile, as against a gateway that
// serves no walls: each must be known to operators with the viewer's own figures, as a wall's tiles are.
func TestSingleStreamsInChromiumTellHowTheyFare(t *testing.T) {
	beside(t, 2, 20*time.Second)
	cfg := sim.Config{}
	var ids []string
	for i := range 4 {
		ids = append(ids, fmt.Sprintf("cam%d", i))
		cfg.Cameras = append(cfg.Cameras, sim.Camera{ID: ids[i], Video: small(media.H264)})
	}
	cams := startSim(t, cfg)
	n := newNode(t, "all")
	more := oneUnit + access + "cameras:\n"
	for _, id := range ids {
		more += fmt.Sprintf("  - {id: %s, name: %s, unit: yf, main: %q, transport: tcp}\n", id, id, cams.URL(id, media.Main))
	}
	n.configure(t, more)
	n.start(t)
	n.awaitState(t, status.Live, 30*time.Second, ids...)

	c := openConsole(t, n)
	c.ask(`{"do":"login","transport":"whep"}`)
	c.ask(`{"do":"layout","n":4}`)
	for _, tile := range c.ask(`{"do":"moving","n":4}`).Tiles {
		if tile.Transport != "whep" {
			t.Fatalf("%s comes by %q", tile.Camera, tile.Transport)
		}
	}
	poll(t, "figures of all four", 30*time.Second, func() error {
		_, body, err := n.get("/v1/live/sessions")
		if err != nil {
			return err
		}
		var list struct{ Sessions []relay.SessionStats }
		if err := json.Unmarshal(body, &list); err != nil {
			return err
		}
		told := map[string]bool{}
		for _, s := range list.Sessions {
			for _, sl := range s.Slots {
				if v := sl.Viewer; !s.Wall && v != nil && v.Decoded > 0 && v.FPS > 1 {
					told[sl.Camera] = true
				}
			}
		}
		if len(told) != len(ids) {
			return fmt.Errorf("only of %v: %s", told, body)
		}
		return nil
	})
}
