package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// benchClips measures the first byte of 20 s clips out of a minute of footage.
func benchClips(ctx context.Context, o options, t *table) (err error) {
	r, err := newRig(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	began := time.Now()
	if err := pause(ctx, 75*time.Second, r.skein); err != nil {
		return err
	}
	var first, whole []time.Duration
	for i := range 40 {
		from := began.Add(time.Duration(5+i%15) * time.Second)
		f, w, err := r.clip(ctx, fmt.Sprintf("cam%d", i%o.cameras), from, from.Add(20*time.Second))
		if err != nil {
			return err
		}
		first, whole = append(first, f), append(whole, w)
	}
	t.add("20 s clip from the directory store: first byte p50 / p95", pair(first, 0.5, 0.95), "p50 <= 15 ms",
		first[len(first)/2] <= 15*time.Millisecond)
	t.add("20 s clip from the directory store: whole p50 / p95", pair(whole, 0.5, 0.95), "", true)
	return nil
}

// clip fetches a clip and returns the time to its first byte and to its last.
func (r *rig) clip(ctx context.Context, camera string, from, to time.Time) (first, whole time.Duration, err error) {
	q := url.Values{"from": {from.UTC().Format(time.RFC3339Nano)}, "to": {to.UTC().Format(time.RFC3339Nano)}}
	start := time.Now()
	resp, err := r.get(ctx, "/v1/clips/"+camera+".mp4?"+q.Encode())
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return 0, 0, fmt.Errorf("clip of %s: %s: %s", camera, resp.Status, b)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 1)); err != nil {
		return 0, 0, err
	}
	first = time.Since(start)
	_, err = io.Copy(io.Discard, resp.Body)
	return first, time.Since(start), err
}
