package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"skein/bench/sim"
)

const (
	wallScript  = "bench/wall.mjs"
	wallModules = "gateway/web/node_modules/playwright-core"
)

// wallRun is what wall.mjs measured in one page, in milliseconds.
type wallRun struct {
	First   float64   `json:"first"` // tile
	All     float64   `json:"all"`
	Start   float64   `json:"all_from_start"`
	Ready   float64   `json:"ready"` // data channel open
	FPS     float64   `json:"fps"`   // of the slowest tile
	Lost    int       `json:"lost"`
	Freezes int       `json:"freezes"`
	Sub     []float64 `json:"sub"`
	Main    []float64 `json:"main"`
	Back    []float64 `json:"back"`
	Ack     []float64 `json:"ack"`
}

// benchWall measures a wall of 16 sub streams in Chromium, and how soon a slot shows another camera.
func benchWall(ctx context.Context, o options, t *table) (err error) {
	const what = "16-tile wall in Chromium: "
	browser, err := exec.LookPath("chromium")
	if err == nil {
		_, err = os.Stat(wallModules)
	}
	if err != nil {
		t.add(what+"not measured", err.Error(), "", true)
		return nil
	}
	var cfg sim.Config
	for i := range 16 {
		v := sim.Video{} // the sizes tell the cameras apart
		if i%2 == 1 {
			v.Width, v.Height = 704, 576
		}
		cfg.Cameras = append(cfg.Cameras, sim.Camera{
			ID: fmt.Sprintf("cam%d", i), Video: sim.Video{Bitrate: o.bitrate}, Sub: &v,
		})
	}
	o.cameras = len(cfg.Cameras)
	cams, err := sim.New(cfg)
	if err != nil {
		return err
	}
	simulated, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- cams.Run(simulated) }()
	defer func() {
		stop()
		err = errors.Join(err, <-ended)
	}()
	r, err := newLiveRig(ctx, o, stage{sub: true, sim: cams.Addr().String()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := pause(ctx, 4*time.Second, r.skein); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "node", wallScript)
	cmd.Env = append(os.Environ(), "BASE_URL=http://"+r.http, "TOKEN="+benchToken, "CHROMIUM="+browser)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", wallScript, err, out)
	}
	var runs []wallRun
	if err := json.Unmarshal(out, &runs); err != nil {
		return fmt.Errorf("%s: %w: %s", wallScript, err, out)
	}
	wallRows(t, what, runs)
	return nil
}

func wallRows(t *table, what string, runs []wallRun) {
	var first, all, start, sub, main, back, ack []time.Duration
	lost, freezes, fps := 0, 0, 0.0
	for i, r := range runs {
		first, all, start = append(first, inMS(r.First)), append(all, inMS(r.All)), append(start, inMS(r.Start))
		for _, m := range []struct {
			to   *[]time.Duration
			from []float64
		}{{&sub, r.Sub}, {&main, r.Main}, {&back, r.Back}, {&ack, r.Ack}} {
			for _, v := range m.from {
				*m.to = append(*m.to, inMS(v))
			}
		}
		lost, freezes = lost+r.Lost, freezes+r.Freezes
		if i == 0 || r.FPS < fps {
			fps = r.FPS
		}
	}
	t.add(what+fmt.Sprintf("offer to all tiles moving, median / worst of %d", len(runs)), pair(all, 0.5, 1), "<= 1 s",
		at(all, 0.5) <= time.Second)
	t.add(what+"the same from making the connection in the page", pair(start, 0.5, 1), "", true)
	t.add(what+"first tile", pair(first, 0.5, 1), "", true)
	t.add(what+"frames a second of the slowest tile (of 15)", fmt.Sprintf("%.1f", fps), "", true)
	t.add(what+"packets lost / freezes", fmt.Sprintf("%d / %d", lost, freezes), "", true)
	t.add(what+"slot shows another camera's sub stream, p50 / p95", pair(sub, 0.5, 0.95), "<= 100 ms",
		at(sub, 0.5) <= 100*time.Millisecond)
	t.add(what+"slot shows another camera's main stream, p50 / p95", pair(main, 0.5, 0.95), "<= 250 ms",
		at(main, 0.5) <= 250*time.Millisecond)
	t.add(what+"main back to sub, p50 / p95", pair(back, 0.5, 0.95), "<= 100 ms", at(back, 0.5) <= 100*time.Millisecond)
	t.add(what+"gateway acknowledges, p50 / p95", pair(ack, 0.5, 0.95), "", true)
}

func inMS(v float64) time.Duration { return time.Duration(v * float64(time.Millisecond)) }
