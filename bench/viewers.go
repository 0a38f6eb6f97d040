package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// realViewers is how many viewers of a crowd are real; the rest are sinks.
const realViewers = 16

// windows is how many measurements of the given duration are made of each crowd; the table shows their median.
const windows = 3

// benchViewers measures WHEP viewers of all cameras, which are recorded meanwhile.
func benchViewers(ctx context.Context, o options, t *table) (err error) {
	r, err := newLiveRig(ctx, o, stage{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := pause(ctx, 5*time.Second, r.skein); err != nil { // the start is not what is measured
		return err
	}
	o.whep, o.pid, o.token = "http://"+r.http+"/v1/whep/%s?profile=main", r.skein.pid(), benchToken
	return crowds(ctx, o, t)
}

// crowds measures crowds of whatever serves o.whep, one after the other in one process.
func crowds(ctx context.Context, o options, t *table) error {
	all := map[int]crowdResult{}
	var sizes []int
	for s := range strings.SplitSeq(o.viewers, ",") {
		n, err := strconv.Atoi(s)
		if err != nil {
			return fmt.Errorf("-viewers: %w", err)
		}
		if all[n], err = measureCrowd(ctx, o, n); err != nil {
			return fmt.Errorf("%d viewers: %w", n, err)
		}
		sizes = append(sizes, n)
		crowdRows(t, n, all[n])
	}
	if a, b := all[16], all[128]; a.packets > 0 && b.packets > a.packets {
		us := (b.cpu - a.cpu) * 1e6 / (b.packets - a.packets)
		t.add("marginal CPU of a delivered packet, 16 to 128 viewers", fmt.Sprintf("%.2f us", us), "<= 6 us", us <= 6)
	}
	if n := len(sizes); n > 1 {
		first, last := sizes[min(1, n-2)], sizes[n-1]
		mb := float64(all[last].rss-all[first].rss) / 1e6 / float64(last-first)
		t.add(fmt.Sprintf("memory of a viewer (RSS, %d to %d viewers)", first, last), fmt.Sprintf("%.3f MB", mb),
			"<= 0.4 MB", mb <= 0.4)
	}
	return nil
}

// crowdRows adds what was measured of n viewers.
func crowdRows(t *table, n int, r crowdResult) {
	what := fmt.Sprintf("%d viewers: ", n)
	p50, p99 := at(r.delays, 0.5), at(r.delays, 0.99)
	cpu, cpuGoal, cpuMet := fmt.Sprintf("%.1f %% (%.1f-%.1f)", r.cpu*100, r.cpuLow*100, r.cpuHigh*100), "", true
	goal, met, whole := "", true, ""
	switch n {
	case 64:
		cpuGoal, cpuMet = "<= 28 %", r.cpu <= 0.28
		goal, met = "<= 1 / 10 ms", p50 <= time.Millisecond && p99 <= 10*time.Millisecond
		whole = "0 / 0"
	case 128:
		goal, met, whole = "p99 <= 30 ms", p99 <= 30*time.Millisecond, "0 / 0"
	case 256:
		goal, met, whole = "p99 <= 100 ms", p99 <= 100*time.Millisecond, "0 / 0"
	}
	t.add(what+"CPU of one core, ingest and recording included", cpu, cpuGoal, cpuMet)
	fps := fmt.Sprintf("%.1f", r.fps)
	t.add(what+"frames a second of each", fps, strings.Repeat("25", min(1, len(whole))), whole == "" || r.fps >= 24.9)
	t.add(what+"frames missing / packets lost", fmt.Sprintf("%d / %d", r.missing, r.lost), whole,
		r.missing == 0 && r.lost == 0)
	t.add(what+"sent by the camera to whole at the viewer, p50 / p99", pair(r.delays, 0.5, 0.99), goal, met)
	t.add(what+"packets a second", fmt.Sprintf("%.0f", r.packets), "", true)
	t.add(what+"memory of the process", fmt.Sprintf("%.0f MB", float64(r.rss)/1e6), "", true)
}

// crowdResult is what was measured of a crowd: medians of the windows, sums of the losses.
type crowdResult struct {
	cpu, cpuLow, cpuHigh float64 // share of one core
	packets              float64 // a second, all viewers
	fps                  float64
	rss                  int64
	missing              uint64
	lost                 int
	delays               []time.Duration
}

// crowd is viewers of all cameras: real ones first, then sinks.
type crowd struct {
	real  []*viewer
	sinks *sinks
}

func (c *crowd) close() error { return errors.Join(leave(c.real), c.sinks.close()) }

// newCrowd lets n viewers join one after the other.
func newCrowd(ctx context.Context, o options, n, real int) (c *crowd, err error) {
	c = &crowd{sinks: newSinks()}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
			c = nil
		}
	}()
	api, err := realAPI("lo")
	if err != nil {
		return c, err
	}
	client := newClient()
	for i := range n {
		url := o.whepOf(i)
		if i >= real {
			if err := c.sinks.add(ctx, client, url, o.token); err != nil {
				return c, err
			}
			continue
		}
		v, err := watch(ctx, api, client, url, o.token)
		if err != nil {
			return c, err
		}
		c.real = append(c.real, v)
		if err := pause(ctx, 30*time.Millisecond); err != nil {
			return c, err
		}
	}
	return c, nil
}

// measureCrowd lets n viewers join and measures them in several windows.
func measureCrowd(ctx context.Context, o options, n int) (res crowdResult, err error) {
	c, err := newCrowd(ctx, o, n, min(n, realViewers))
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if _, err := gather(ctx, c.real, 20*time.Second); err != nil {
		return res, err
	}
	if err := pause(ctx, 4*time.Second); err != nil { // catch-up is over, the collector has settled
		return res, err
	}
	var cpu, packets, fps []float64
	for range windows {
		w, err := measureWindow(ctx, o, c)
		if err != nil {
			return res, err
		}
		cpu, packets, fps = append(cpu, w.cpu), append(packets, w.packets), append(fps, w.fps)
		res.missing += w.missing
		res.lost += w.lost
		res.delays = append(res.delays, w.delays...)
		res.rss = w.rss
	}
	res.cpu, res.packets, res.fps = median(cpu), median(packets), median(fps)
	res.cpuLow, res.cpuHigh = slices.Min(cpu), slices.Max(cpu)
	return res, nil
}

// measureWindow measures a crowd for the duration.
func measureWindow(ctx context.Context, o options, c *crowd) (w crowdResult, err error) {
	for _, v := range c.real {
		v.count(true)
	}
	p0, l0 := c.sinks.totals()
	a, err := usageOf(o.pid)
	if err != nil {
		return w, fmt.Errorf("process %d: %w", o.pid, err)
	}
	if err := pause(ctx, o.duration); err != nil {
		return w, err
	}
	b, err := usageOf(o.pid)
	if err != nil {
		return w, err
	}
	p1, l1 := c.sinks.totals()
	seconds := b.at.Sub(a.at).Seconds()
	packets, frames := int(p1-p0), 0
	w.lost = int(l1 - l0)
	for _, v := range c.real {
		got := v.count(false)
		packets += got.packets
		frames += got.frames
		w.missing += got.missing
		w.lost += got.lost
		w.delays = append(w.delays, got.delays...)
	}
	w.cpu, w.rss = cores(a, b), b.rss
	w.packets, w.fps = float64(packets)/seconds, float64(frames)/float64(len(c.real))/seconds
	return w, nil
}

func median(f []float64) float64 {
	s := slices.Sorted(slices.Values(f))
	return s[len(s)/2]
}

// at returns the p-quantile of d, which it sorts; 0 if there is none.
func at(d []time.Duration, p float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[min(len(d)-1, int(p*float64(len(d))))]
}

func pair(d []time.Duration, p, q float64) string {
	if len(d) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f / %.1f ms", ms(at(d, p)), ms(at(d, q)))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
