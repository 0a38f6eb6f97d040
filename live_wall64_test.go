package main

import (
	"fmt"
	"testing"
	"time"

	"skein/bench/sim"
	"skein/edge/media"
	"skein/edge/status"
)

// TestWallOf64InChromium fills the largest wall: all of its 64 slots, negotiated at once, must show a picture. How many
// pictures a second depends on the machine, and is not asked.
func TestWallOf64InChromium(t *testing.T) {
	beside(t, 6, 40*time.Second)
	const tiles = 64
	cfg := sim.Config{}
	var ids []string
	for i := range tiles {
		ids = append(ids, fmt.Sprintf("cam%d", i))
		cfg.Cameras = append(cfg.Cameras, sim.Camera{
			ID: ids[i], Video: sim.Video{Width: 640, Height: 352, FPS: 5, GOP: 5, Bitrate: 100_000},
		})
	}
	cams := startSim(t, cfg)
	n := newNode(t, "all")
	more := oneUnit + access + "cameras:\n"
	for _, id := range ids {
		more += fmt.Sprintf("  - {id: %s, name: %s, unit: yf, main: %q, transport: tcp}\n", id, id,
			cams.URL(id, media.Main))
	}
	n.configure(t, more)
	n.start(t)
	n.awaitState(t, status.Live, time.Minute, ids...)

	c := openConsole(t, n, "TIMEOUT_MS=150000")
	c.ask(`{"do":"login"}`)
	c.ask(`{"do":"layout","n":%d}`, tiles)
	began := time.Now()
	seen := map[string]bool{}
	for len(seen) < tiles {
		all := c.ask(`{"do":"moving","n":1}`)
		for _, tile := range all.Tiles {
			if tile.Moves && tile.Width == 640 && tile.Transport == "wall" {
				seen[tile.Camera] = true
			}
		}
		if time.Since(began) > 2*time.Minute {
			t.Fatalf("only %d of %d tiles ever moved: %+v", len(seen), tiles, all.Tiles)
		}
	}
	counts := c.ask(`{"do":"counts","shot":"wall-64"}`)
	if counts.Open != 1 || counts.Slots < tiles {
		t.Errorf("%d connections with %d sections", counts.Open, counts.Slots)
	}
	t.Logf("all %d tiles have moved after %v, in one connection of %d sections", tiles,
		time.Since(began).Round(100*time.Millisecond), counts.Slots)
	c.ask(`{"do":"layout","n":16}`)
	c.ask(`{"do":"moving","n":12}`)
}
