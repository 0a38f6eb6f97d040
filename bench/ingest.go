package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// benchIngest measures ingest of all cameras with recording into the directory store.
func benchIngest(ctx context.Context, o options, t *table) (err error) {
	r, err := newRig(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := pause(ctx, 5*time.Second, r.skein); err != nil { // the start is not what is measured
		return err
	}
	a, err := usageOf(r.skein.pid())
	if err != nil {
		return err
	}
	s0, err := usageOf(r.sim.pid())
	if err != nil {
		return err
	}
	// Segments are 30 s: a measurement shorter than that would miss the sealing and shipping.
	if err := pause(ctx, max(o.duration, 35*time.Second), r.skein); err != nil {
		return err
	}
	b, err := usageOf(r.skein.pid())
	if err != nil {
		return err
	}
	s1, err := usageOf(r.sim.pid())
	if err != nil {
		return err
	}
	cpu, rss := cores(a, b)*100, float64(b.rss)/1e6
	what := fmt.Sprintf("ingest and record %d cameras at %.1f Mbit/s", o.cameras, float64(o.bitrate)/1e6)
	t.add(what+": CPU of one core", fmt.Sprintf("%.1f %%", cpu), "<= 15 %", cpu <= 15)
	t.add(what+": memory", fmt.Sprintf("%.0f MB", rss), "<= 120 MB", rss <= 120)
	t.add("the simulated cameras themselves: CPU of one core", fmt.Sprintf("%.1f %%", cores(s0, s1)*100), "", true)
	return nil
}
