package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// benchDemo measures the whole demonstration in one process: 77 sources, simulators included.
func benchDemo(ctx context.Context, o options, t *table) (err error) {
	dir, err := os.MkdirTemp("", "skein-bench-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ports, err := freePorts(4)
	if err != nil {
		return err
	}
	at := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	c, err := start(ctx, nil, o.skein, "demo", "--data", filepath.Join(dir, "data"), "--listen", at(0),
		"--webrtc", at(1), "--rtsp", at(2), "--sim", at(3))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	if err := pause(ctx, 20*time.Second, c); err != nil {
		return err
	}
	a, err := usageOf(c.pid())
	if err != nil {
		return err
	}
	if err := pause(ctx, max(o.duration, 35*time.Second), c); err != nil {
		return err
	}
	b, err := usageOf(c.pid())
	if err != nil {
		return err
	}
	cpu := cores(a, b)
	t.add("demo, 53 terminals and 24 cameras, simulators included: cores", fmt.Sprintf("%.2f", cpu), "<= 1.5", cpu <= 1.5)
	t.add("demo: memory", fmt.Sprintf("%.0f MB", float64(b.rss)/1e6), "", true)
	return nil
}
