package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"skein/config"
	"skein/internal/repeats"
)

// drainTimeout bounds how long a stopping process lets requests finish.
const drainTimeout = 10 * time.Second

// process is what every role needs from its process: a log, a registry of metrics, readiness, and tasks that end
// together.
type process struct {
	cfg   *config.Config
	log   *slog.Logger
	reg   *prometheus.Registry
	ready atomic.Bool

	group *errgroup.Group
	ctx   context.Context

	metricsAt net.Listener // nil: metrics are behind a credential
}

func newProcess(ctx context.Context, cfg *config.Config) *process {
	p := &process{cfg: cfg, log: newLogger(cfg.Log), reg: prometheus.NewRegistry()}
	limitMemory(p.log)
	p.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	p.group, p.ctx = errgroup.WithContext(ctx)
	for _, w := range cfg.Warnings() {
		p.log.Warn("configuration", "look_at", w)
	}
	return p
}

// picturesGCPercent trades a little CPU for memory where nearly all of the heap is pictures, which the collector need
// not scan. With 16 cameras recording, 100 gives 160 MB, 25 about 110, for less than one percent of a core. A recorder
// keeps no pictures: its heap is small, so that 25 would collect every few queries and save a megabyte.
const picturesGCPercent = 25

// holdsPictures is called by roles that keep pictures in memory. GOGC in the environment is obeyed instead.
func (p *process) holdsPictures() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(picturesGCPercent)
	}
}

func newLogger(c config.Log) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo
	}
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(repeats.Thin(slog.NewJSONHandler(os.Stderr, o)))
	}
	return slog.New(repeats.Thin(slog.NewTextHandler(os.Stderr, o)))
}

// task runs f until the process ends; a failing task ends the process and is named.
func (p *process) task(name string, f func(context.Context) error) {
	p.group.Go(func() error {
		err := f(p.ctx)
		if err != nil && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
}

// wait blocks until every task has ended. SIGTERM is no error.
func (p *process) wait() error {
	if p.metricsAt != nil {
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", p.metrics())
		p.serve("metrics", p.metricsAt, mux)
	}
	p.ready.Store(true)
	p.log.Info("skein is up", "version", version)
	err := p.group.Wait()
	p.log.Info("skein has stopped", "error", err)
	return err
}

func (p *process) metrics() http.Handler {
	return promhttp.HandlerFor(p.reg, promhttp.HandlerOpts{Registry: p.reg})
}

// claim takes the data folder until release is called, and makes sure that every address can be opened, before anything
// is changed there.
func (p *process) claim(alone bool, addresses []address) (release func(), err error) {
	lock, err := claimData(p.cfg.DataDir, alone)
	if err != nil {
		return nil, err
	}
	release = func() { _ = lock.Close() }
	if err := blockedBy(p.cfg, addresses); err != nil {
		release()
		return nil, err
	}
	sayRoom(p.log, p.cfg)
	return release, nil
}

// listen opens the process's HTTP addresses, with TLS if configured.
func (p *process) listen() (net.Listener, error) {
	l, err := net.Listen("tcp", p.cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	t, err := serverTLS(p.cfg)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if p.cfg.Metrics.Listen != "" {
		if p.metricsAt, err = net.Listen("tcp", p.cfg.Metrics.Listen); err != nil {
			return nil, errors.Join(fmt.Errorf("metrics.listen: %w", err), l.Close())
		}
	}
	if t != nil {
		l = tls.NewListener(l, t)
	}
	return l, nil
}

// serve answers HTTP on l until the process ends; then it lets requests finish for a while.
func (p *process) serve(name string, l net.Listener, h http.Handler) {
	srv := &http.Server{
		Handler: withBodies(bodyWithin, h), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10,
		ErrorLog:       slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
	}
	newWaiting(mostWaiting).watch(srv)
	p.task(name, func(ctx context.Context) error {
		failed := make(chan error, 1)
		go func() { failed <- srv.Serve(l) }()
		select {
		case err := <-failed:
			return err
		case <-ctx.Done():
		}
		p.ready.Store(false)
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		if err := srv.Shutdown(drain); err != nil {
			_ = srv.Close() // requests that do not end are cut off
		}
		<-failed
		return nil
	})
}

// readiness reports why the process is not ready: it is not up yet, it stops, or a part says so.
func (p *process) readiness(parts ...func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if !p.ready.Load() {
			return errors.New("starting or stopping")
		}
		for _, ready := range parts {
			if err := ready(ctx); err != nil {
				return err
			}
		}
		return nil
	}
}
