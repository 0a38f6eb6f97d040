package main

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"skein/bench/sim"
)

// TestWallOverTCPInChromium stands the gateway behind a link that drops every UDP packet, as many office and guest networks
// do: a wall of 16 tiles must move over ICE-TCP, change cameras and profiles in the same connection, and be listed with its
// way. Before that, a wall that began over UDP loses it and must go on over TCP.
func TestWallOverTCPInChromium(t *testing.T) {
	beside(t, 6, 40*time.Second)
	const tiles = 16
	tool(t, "nft")
	s := newSpace(t)
	s.tcp = true
	var cameras []sim.Camera
	for i := range tiles + 1 {
		cameras = append(cameras, sim.Camera{
			ID: fmt.Sprintf("cam%d", i), Video: sim.Video{Width: 1280, Height: 720, FPS: 15, GOP: 15, Bitrate: 800_000},
			Sub: &sim.Video{FPS: 10, GOP: 10, Bitrate: 200_000},
		})
	}
	n := behindSpace(t, s, cameras...)

	c := openConsole(t, n)
	c.ask(`{"do":"login"}`)
	c.ask(`{"do":"layout","n":%d}`, tiles)
	c.ask(`{"do":"moving","n":%d}`, tiles)
	if seen := c.ask(`{"do":"viewers","n":%d}`, tiles); seen.Way != "UDP" {
		t.Fatalf("without a fault the viewers' page shows %q: the test proves nothing", seen.Way)
	}
	s.lose(t, 100)
	lost := time.Now()
	c.ask(`{"do":"stopped"}`)
	noticed := time.Since(lost)
	c.ask(`{"do":"moving","n":%d}`, tiles)
	t.Logf("a wall that loses UDP was seen to stand still after %v, and moves again %v after the loss",
		noticed.Round(100*time.Millisecond), time.Since(lost).Round(100*time.Millisecond))
	c.overTCP(tiles)

	c.ask(`{"do":"reload"}`)
	all := c.overTCP(tiles)
	t.Logf("a wall without UDP moves after %d ms", all.MS)
	one := c.ask(`{"do":"counts"}`)
	if one.Open != 1 || one.Slots < tiles {
		t.Fatalf("%d connections with %d slots, want one with at least %d", one.Open, one.Slots, tiles)
	}
	shown := map[string]bool{}
	for _, tile := range all.Tiles {
		shown[tile.Camera] = true
		if tile.Transport != "wall" {
			t.Errorf("%s comes by %q", tile.Camera, tile.Transport)
		}
	}
	other := slices.IndexFunc(cameras, func(c sim.Camera) bool { return !shown[c.ID] })
	if other < 0 {
		t.Fatalf("no camera is off the wall: %v", slices.Collect(maps.Keys(shown)))
	}
	c.ask(`{"do":"pick","camera":%q}`, cameras[other].ID)
	c.ask(`{"do":"layout","n":1}`)
	c.ask(`{"do":"width","n":1,"low":1280,"high":1280}`) // the tile is large: main
	c.ask(`{"do":"layout","n":%d}`, tiles)
	c.ask(`{"do":"width","n":%d,"low":640,"high":640}`, tiles)
	if now := c.ask(`{"do":"counts"}`); now.Peers != one.Peers || now.Negotiations != one.Negotiations {
		t.Errorf("%d connections and %d negotiations after the changes, before %d and %d", now.Peers, now.Negotiations,
			one.Peers, one.Negotiations)
	}
	in, out := s.dropped(t)
	t.Logf("UDP packets dropped: %d to the gateway, %d from it", in, out)
	if in == 0 || out == 0 {
		t.Error("no UDP was dropped in one of the directions: the test proves nothing")
	}
}

// overTCP waits until all tiles move and the viewers' page says that they come by TCP.
func (c *console) overTCP(tiles int) answer {
	c.t.Helper()
	all := c.ask(`{"do":"moving","n":%d}`, tiles)
	if seen := c.ask(`{"do":"viewers","n":%d,"way":"TCP"}`, tiles); seen.Way != "TCP" {
		c.t.Errorf("the viewers' page says %q of a wall without UDP", seen.Way)
	}
	return all
}
