package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	peerJoins  = 32              // viewers that join one by one
	peerSpread = 2 * time.Second // as long as a group of pictures
)

// peer is a server that relays the same cameras: Skein or another.
type peer struct {
	name string
	pid  int
	whep string // URL with %s for the camera
}

// addPeer reads a -peer flag.
func (o *options) addPeer(text string) error {
	name, rest, _ := strings.Cut(text, "=")
	pid, url, ok := strings.Cut(rest, "=")
	n, err := strconv.Atoi(pid)
	if !ok || err != nil || name == "" || strings.Count(url, "%s") != 1 {
		return errors.New("want NAME=PID=URL with one %s for the camera")
	}
	o.peers = append(o.peers, peer{name: name, pid: n, whep: url})
	return nil
}

// whepOf returns the WHEP URL of camera i.
func (o *options) whepOf(i int) string { return fmt.Sprintf(o.whep, fmt.Sprintf("cam%d", i%o.cameras)) }

// benchPeers measures Skein and peers in turn, while all of them pull the same cameras. Only Skein records.
func benchPeers(ctx context.Context, o options, t *table) (err error) {
	if o.sim == "" {
		return errors.New("peers want -sim: start `skein sim --stamp --cameras 16`, which peers pull too")
	}
	r, err := newLiveRig(ctx, o, stage{sim: o.sim})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := pause(ctx, 5*time.Second, r.skein); err != nil {
		return err
	}
	all := append([]peer{{"Skein", r.skein.pid(), "http://" + r.http + "/v1/whep/%s?profile=main"}}, o.peers...)
	for _, p := range all {
		o.whep, o.pid, o.token = p.whep, p.pid, benchToken
		if err := firstFrames(ctx, o, p, t); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	for s := range strings.SplitSeq(o.viewers, ",") {
		n, err := strconv.Atoi(s)
		if err != nil {
			return fmt.Errorf("-viewers: %w", err)
		}
		for _, p := range all {
			o.whep, o.pid, o.token = p.whep, p.pid, benchToken
			res, err := measureCrowd(ctx, o, n)
			if err != nil {
				t.add(fmt.Sprintf("%d viewers, %s", n, p.name), "failed: "+err.Error(), "", true)
				continue
			}
			what := "CPU of a core; frames a second; frames missing; delay p50 / p99; memory"
			t.add(fmt.Sprintf("%d viewers, %s: %s", n, p.name, what),
				fmt.Sprintf("%.1f %%; %.1f; %d; %s; %.0f MB", res.cpu*100, res.fps, res.missing, pair(res.delays, 0.5, 0.99),
					float64(res.rss)/1e6), "", true)
		}
	}
	return nil
}

// firstFrames measures how soon viewers have a picture while somebody watches every camera.
func firstFrames(ctx context.Context, o options, p peer, t *table) (err error) {
	base, err := newCrowd(ctx, o, o.cameras, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, base.close()) }()
	if err := pause(ctx, 3*time.Second); err != nil {
		return err
	}
	joins, err := joinOneByOne(ctx, o, peerJoins, peerSpread)
	if err != nil {
		return err
	}
	first := between(joins, func(s steps) (time.Time, time.Time) { return s.asked, s.picture })
	t.add("first frame, warm, "+p.name+", p50 / p95", pair(first, 0.5, 0.95), "", true)
	return nil
}
