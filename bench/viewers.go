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

// benchViewers measures WHEP viewers of all cameras.
func benchViewers(ctx context.Context, o options, t *table) (err error) {
	r, err := newRig(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	o.whep, o.pid, o.token = "http://"+r.http+"/v1/whep/%s?profile=main", r.skein.pid(), benchToken
	return viewersOfPeer(ctx, o, t)
}

// viewersOfPeer measures viewers of whatever serves o.whep.
func viewersOfPeer(ctx context.Context, o options, t *table) error {
	var prev struct{ cpu, packets float64 }
	for _, s := range strings.Split(o.viewers, ",") {
		n, err := strconv.Atoi(s)
		if err != nil {
			return fmt.Errorf("-viewers: %w", err)
		}
		res, err := viewOnce(ctx, o, n)
		if err != nil {
			return err
		}
		what := fmt.Sprintf("%d WHEP viewers", n)
		if n == 64 {
			t.add(what+": CPU of one core, ingest included", fmt.Sprintf("%.1f %%", res.cpu*100), "<= 77 %", res.cpu <= 0.77)
			t.add(what+": frames missing", fmt.Sprint(res.missing), "0", res.missing == 0)
		} else {
			t.add(what+": CPU of one core, ingest included", fmt.Sprintf("%.1f %%", res.cpu*100), "", true)
			t.add(what+": frames missing", fmt.Sprint(res.missing), "", true)
		}
		t.add(what+": frames a second and viewer", fmt.Sprintf("%.1f", res.fps), "", true)
		t.add(what+": memory", fmt.Sprintf("%.0f MB", float64(res.rss)/1e6), "", true)
		t.add(what+": first picture p50 / p95", pair(res.first, 0.5, 0.95), "", true)
		t.add(what+": capture to viewer p50 / p99", pair(res.delays, 0.5, 0.99), "", true)
		if prev.packets > 0 && res.packets > prev.packets {
			us := (res.cpu - prev.cpu) * 1e6 / (res.packets - prev.packets)
			t.add("marginal CPU of a delivered packet", fmt.Sprintf("%.1f us", us), "", true)
		}
		prev.cpu, prev.packets = res.cpu, res.packets
	}
	return nil
}

type viewResult struct {
	cpu, fps, packets float64 // packets a second, all viewers
	rss               int64
	missing           uint64
	first, delays     []time.Duration
}

// viewOnce lets n viewers join, one every few milliseconds, and measures them for the duration.
func viewOnce(ctx context.Context, o options, n int) (res viewResult, err error) {
	api, err := newAPI()
	if err != nil {
		return res, err
	}
	var vs []*viewer
	defer func() {
		for _, v := range vs {
			err = errors.Join(err, v.pc.Close())
		}
	}()
	for i := range n {
		v, err := watch(ctx, api, fmt.Sprintf(o.whep, fmt.Sprintf("cam%d", i%o.cameras)), o.token)
		if err != nil {
			return res, err
		}
		vs = append(vs, v)
		if err := pause(ctx, 30*time.Millisecond); err != nil {
			return res, err
		}
	}
	if err := pause(ctx, 4*time.Second); err != nil {
		return res, err
	}
	for _, v := range vs {
		v.count(true)
	}
	packets := total(vs)
	a, err := usageOf(o.pid)
	if err != nil {
		return res, fmt.Errorf("process %d: %w", o.pid, err)
	}
	if err := pause(ctx, o.duration); err != nil {
		return res, err
	}
	b, err := usageOf(o.pid)
	if err != nil {
		return res, err
	}
	res.packets = float64(total(vs)-packets) / b.at.Sub(a.at).Seconds()
	res.cpu, res.rss = cores(a, b), b.rss
	frames := 0
	for _, v := range vs {
		v.count(false)
		frames += v.frames
		res.missing += v.missing
		res.first = append(res.first, v.first)
		res.delays = append(res.delays, v.delays...)
	}
	res.fps = float64(frames) / float64(n) / b.at.Sub(a.at).Seconds()
	return res, nil
}

func total(vs []*viewer) (n int) {
	for _, v := range vs {
		v.mu.Lock()
		n += v.packets
		v.mu.Unlock()
	}
	return n
}

func pair(d []time.Duration, p, q float64) string {
	slices.Sort(d)
	at := func(p float64) string {
		if len(d) == 0 {
			return "-"
		}
		return fmt.Sprintf("%.1f", float64(d[min(len(d)-1, int(p*float64(len(d))))].Microseconds())/1000)
	}
	return at(p) + " / " + at(q) + " ms"
}
