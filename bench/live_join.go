package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	warmJoins  = 96 // viewers that join one by one
	joinSpread = 80 * time.Millisecond
	burstJoins = 64 // viewers that join at once
	burstTime  = 100 * time.Millisecond
	bursts     = 3
	coldRounds = 3
)

// benchJoins measures how soon a viewer has a picture while others watch: one by one, and many at once.
func benchJoins(ctx context.Context, o options, t *table) (err error) {
	r, err := newLiveRig(ctx, o, stage{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	o.whep, o.token = "http://"+r.http+"/v1/whep/%s?profile=main", benchToken
	base, err := newCrowd(ctx, o, o.cameras, 0) // somebody looks at every camera
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, base.close()) }()
	if err := pause(ctx, 5*time.Second, r.skein); err != nil {
		return err
	}
	all, err := joinOneByOne(ctx, o, warmJoins, joinSpread)
	if err != nil {
		return err
	}
	first := between(all, func(s steps) (time.Time, time.Time) { return s.asked, s.picture })
	t.add("first frame, warm: offer sent to first whole key frame, p50 / p95", pair(first, 0.5, 0.95), "<= 220 / 300 ms",
		at(first, 0.5) <= 220*time.Millisecond && at(first, 0.95) <= 300*time.Millisecond)
	t.add("  of it p50: answer, ICE, DTLS, first packet, rest of the key frame", whereItGoes(all), "", true)
	return burst(ctx, o, r, t)
}

// joinOneByOne lets n viewers of o.whep join, each for itself, at any moment of a group of pictures if spread is as
// long as one: a server that lets them wait for a key frame would else have all join just after one.
func joinOneByOne(ctx context.Context, o options, n int, spread time.Duration) ([]steps, error) {
	api, err := realAPI("lo")
	if err != nil {
		return nil, err
	}
	client := newClient()
	var all []steps
	for i := range n {
		v, err := watch(ctx, api, client, o.whepOf(i), o.token)
		if err != nil {
			return nil, err
		}
		s, err := gather(ctx, []*viewer{v}, 10*time.Second)
		if err := errors.Join(err, v.pc.Close(), pause(ctx, 100*time.Millisecond+rand.N(spread))); err != nil {
			return nil, err
		}
		all = append(all, s...)
	}
	return all, nil
}

// whereItGoes says what the parts of a beginning take.
func whereItGoes(all []steps) string {
	part := func(f func(steps) (time.Time, time.Time)) float64 { return ms(at(between(all, f), 0.5)) }
	return fmt.Sprintf("%.1f, %.1f, %.1f, %.1f, %.1f ms",
		part(func(s steps) (time.Time, time.Time) { return s.asked, s.answered }),
		part(func(s steps) (time.Time, time.Time) { return s.answered, s.ice }),
		part(func(s steps) (time.Time, time.Time) { return s.ice, s.connected }),
		part(func(s steps) (time.Time, time.Time) { return s.connected, s.packet }),
		part(func(s steps) (time.Time, time.Time) { return s.packet, s.picture }))
}

func between(all []steps, f func(steps) (from, to time.Time)) []time.Duration {
	out := make([]time.Duration, len(all))
	for i, s := range all {
		from, to := f(s)
		out[i] = to.Sub(from)
	}
	return out
}

// burst lets many viewers join within a tenth of a second, several times.
func burst(ctx context.Context, o options, r *liveRig, t *table) error {
	var worst, median []time.Duration
	var missing uint64
	lost := 0
	for range bursts {
		b, err := joinAtOnce(ctx, o, r)
		if err != nil {
			return err
		}
		worst, median = append(worst, b.last), append(median, b.median)
		missing += b.missing
		lost += b.lost
		if err := pause(ctx, 3*time.Second, r.skein); err != nil {
			return err
		}
	}
	what := fmt.Sprintf("%d viewers joining within %v: ", burstJoins, burstTime)
	t.add(what+"all have a picture after (median / worst of 3)", pair(worst, 0.5, 1), "<= 900 ms",
		at(worst, 1) <= 900*time.Millisecond)
	t.add(what+"half have one after", fmt.Sprintf("%.1f ms", ms(at(median, 0.5))), "", true)
	t.add(what+"frames missing / packets lost", fmt.Sprintf("%d / %d", missing, lost), "0 / 0", missing == 0 && lost == 0)
	return nil
}

type burstResult struct {
	last, median time.Duration // since the first offer
	missing      uint64
	lost         int
}

// joinAtOnce sends the offers of some real viewers and of sinks, in turn, and follows them for five seconds.
func joinAtOnce(ctx context.Context, o options, r *liveRig) (b burstResult, err error) {
	api, err := realAPI("lo")
	if err != nil {
		return b, err
	}
	client := newClient()
	c := &crowd{sinks: newSinks()}
	defer func() { err = errors.Join(err, c.close()) }()
	joins := make([]func(url string) error, burstJoins)
	for i := range joins {
		if i%(burstJoins/realViewers) != 0 {
			k, err := c.sinks.prepare()
			if err != nil {
				return b, err
			}
			joins[i] = func(url string) error { return k.join(ctx, client, url, o.token) }
			continue
		}
		v, err := prepare(api, client, o.token)
		if err != nil {
			return b, err
		}
		v.count(true)
		c.real = append(c.real, v)
		joins[i] = func(url string) error { return v.join(ctx, url) }
	}
	errs := make([]error, len(joins))
	began := time.Now()
	var wg sync.WaitGroup
	for i, join := range joins {
		wg.Go(func() {
			errs[i] = pause(ctx, time.Duration(i)*burstTime/burstJoins)
			// Of every four neighbours one is real: each camera has one.
			errs[i] = errors.Join(errs[i], join(r.whep(o, i%4*(burstJoins/4)+i/4)))
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return b, err
	}
	all, err := gather(ctx, c.real, 20*time.Second)
	if err != nil {
		return b, err
	}
	since := between(all, func(s steps) (time.Time, time.Time) { return began, s.picture })
	for _, k := range c.sinks.all {
		at, err := k.firstPicture(ctx)
		if err != nil {
			return b, err
		}
		since = append(since, at.Sub(began))
	}
	b.last, b.median = at(since, 1), at(since, 0.5)
	if err := pause(ctx, 5*time.Second, r.skein); err != nil {
		return b, err
	}
	for _, v := range c.real {
		got := v.count(false)
		b.missing += got.missing
		b.lost += got.lost
	}
	_, lost := c.sinks.totals()
	b.lost += int(lost)
	return b, nil
}

// benchCold measures the first picture of streams that the edge does not publish yet, with all roles apart. Between
// rounds it waits until the edge has stopped publishing.
func benchCold(ctx context.Context, o options, t *table) (err error) {
	r, err := newLiveRig(ctx, o, stage{split: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	o.whep, o.token = "http://"+r.http+"/v1/whep/%s?profile=main", benchToken
	var all []steps
	for i := range coldRounds {
		wait := 5 * time.Second
		if i > 0 {
			wait = 14 * time.Second // longer than a stream lingers
		}
		if err := pause(ctx, wait, r.skein); err != nil {
			return err
		}
		s, err := joinOneByOne(ctx, o, o.cameras, joinSpread)
		if err != nil {
			return err
		}
		all = append(all, s...)
	}
	first := between(all, func(s steps) (time.Time, time.Time) { return s.asked, s.picture })
	t.add("first frame, cold (roles apart, edge not publishing), p50 / p95", pair(first, 0.5, 0.95), "p95 <= 500 ms",
		at(first, 0.95) <= 500*time.Millisecond)
	t.add("  of it p50: answer, ICE, DTLS, first packet, rest of the key frame", whereItGoes(all), "", true)
	return nil
}
