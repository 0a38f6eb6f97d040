package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"skein/config"
	"skein/recorder"
	"skein/recorder/check"
	"skein/recorder/clip"
	"skein/recorder/evidence"
	"skein/recorder/guard"
	"skein/recorder/index"
	"skein/recorder/retain"
	"skein/recorder/segment"
	"skein/recorder/store"
)

// recorderRole is a recorder with its engines.
type recorderRole struct {
	role     *recorder.Recorder
	store    store.Archive
	index    *index.Whole
	clock    *retain.Clock // by which footage ages
	locks    *retain.Locks
	clips    *clip.Handler
	pictures *clip.Thumbnails
	guard    *guard.Guard
	evidence *evidence.Keeper // nil: another recorder writes checkpoints
	key      string           // public, of the checkpoints
	p        *process

	probed atomic.Bool // the store has answered and is good
}

// openRecorder builds the recorder role over the configured store and index.
func openRecorder(p *process, inv *inventory) (*recorderRole, error) {
	st, ix, err := openArchive(p.cfg)
	if err != nil {
		return nil, err
	}
	r := &recorderRole{store: st, p: p}
	r.index = index.NewWhole(ix, r.rebuild, p.log.With("role", "recorder"))
	if err := r.build(inv); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// build makes the parts of the role over its engines.
func (r *recorderRole) build(inv *inventory) (err error) {
	p, st, ix, log := r.p, r.store, r.index, r.p.log.With("role", "recorder")
	if err := r.openEvidence(); err != nil {
		return err
	}
	if r.guard, err = openGuard(p, log); err != nil {
		return err
	}
	r.clock = retain.NewClock(nil, log)
	r.locks = &retain.Locks{
		Docs: st, Finder: ix, Holder: st, Now: r.clock.Now,
		Unsupported: func(err error) bool { return errors.Is(err, store.ErrUnsupported) },
	}
	r.clips = clip.NewHandler(clip.Config{
		Records: ix, Log: log, TempDir: p.cfg.DataDir, Gaps: func(camera string, within segment.Range) []segment.GapDoc {
			return r.role.Gaps(camera, within)
		},
		Began: func(ctx context.Context, camera string) (first, left time.Time, ok bool) {
			return r.role.Began(ctx, camera)
		},
		Objects: clip.OpenFunc(func(ctx context.Context, shard, key string) (clip.Object, error) {
			return st.Open(ctx, shard, key)
		}),
	})
	r.pictures = r.clips.NewThumbnails(clip.ThumbnailConfig{Dir: filepath.Join(p.cfg.DataDir, "thumbnails"), Log: log})
	keeper, err := retain.New(retain.Options{
		Index: noticed{ix, r}, Store: st, Guard: r.locks, Policy: retention(inv), Log: log, Metrics: p.reg,
		Every: sweepEvery, Now: r.clock.Now,
	})
	if err != nil {
		return err
	}
	r.role, err = recorder.New(p.cfg.Archive, recorder.Deps{
		Store: st, Index: ix, Guard: r.guard, Retain: keeper, Ready: r.ready, Free: freeSpace(p.cfg),
		Evict: evict(keeper), Keep: retention(inv), Log: log, Registry: p.reg,
		Docs: st, Clips: r.clips, Manifest: st.Manifest, Ships: ships(inv, countEdges(p.cfg)),
	})
	return err
}

// auditFolder is the recorder's own audit log, in the data directory: a gateway may keep its own there too.
const auditFolder = "recorder-audit"

// openGuard opens the recorder's door, with the nodes of the configuration.
func openGuard(p *process, log *slog.Logger) (*guard.Guard, error) {
	var nodes []guard.Credential
	for _, n := range p.cfg.Access.Nodes {
		nodes = append(nodes, guard.Credential{Node: n.Node(), Token: n.Token.Reveal()})
	}
	return guard.Open(guard.Options{
		Nodes: nodes, Dir: filepath.Join(p.cfg.DataDir, auditFolder), Log: log, Registerer: p.reg,
	})
}

func openArchive(cfg *config.Config) (store.Archive, *index.Index, error) {
	st, err := store.Open(cfg.Store, store.Options{})
	if err != nil {
		return nil, nil, err
	}
	ix, err := index.Open(cfg.Index, index.Options{})
	if err != nil {
		return nil, nil, errors.Join(err, st.Close())
	}
	return st, ix, nil
}

// start probes the store, fills an embedded index from it, and runs the role.
func (r *recorderRole) start(p *process) {
	p.task("recorder", func(ctx context.Context) error {
		if err := r.probe(ctx); err != nil {
			return err
		}
		if p.cfg.Index.Embedded {
			if err := r.index.Begin(ctx); err != nil {
				return err
			}
		}
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error { return r.index.Run(ctx) })
		if err := r.beginClock(ctx); err != nil {
			return errors.Join(err, group.Wait())
		}
		group.Go(func() error { return r.role.Run(ctx) })
		group.Go(func() error { return r.locks.Run(ctx, p.log.With("role", "recorder")) })
		if r.evidence != nil {
			group.Go(func() error { return r.evidence.Run(ctx) })
		}
		return group.Wait()
	})
}

// reader serves reading without asking for a token: for a gateway in the same process, which has checked the user.
func (r *recorderRole) reader() http.Handler {
	mux := http.NewServeMux()
	open := func(h http.Handler) http.Handler { return h }
	r.mount(mux, doors{footage: open, act: open, ask: open})
	mux.Handle("/", r.role.Reader())
	return mux
}

// handler serves the network: everything but health checks needs the token of a node that may do it.
func (r *recorderRole) handler() http.Handler {
	mux := http.NewServeMux()
	r.mount(mux, doors{footage: r.guard.Footage, act: r.guard.Act, ask: r.guard.Ask})
	mux.Handle("/", r.role.Handler())
	return mux
}

// doors are what stands before the parts of a surface.
type doors struct {
	footage, act, ask func(http.Handler) http.Handler
}

// mount adds what the recorder's role itself does not serve.
func (r *recorderRole) mount(mux *http.ServeMux, d doors) {
	locks := d.act(retain.NewHandler(r.locks, r.p.log.With("role", "recorder")))
	mux.Handle("/v1/locks", locks)
	mux.Handle("/v1/locks/", locks)
	mux.Handle("/v1/thumbnails/", d.footage(r.pictures))
	mux.Handle("GET /v1/evidence/key", d.ask(http.HandlerFunc(r.evidenceKey)))
}

// probeMax bounds the pause between attempts to reach a store that does not answer.
const probeMax = 15 * time.Second

// probe waits until the store passes its conformance test. S3 endpoints that start later than the recorder, or restart
// with it, are no reason to give up; until then the recorder is not ready, and says why. A directory must be good at
// once.
func (r *recorderRole) probe(ctx context.Context) error {
	for pause := 500 * time.Millisecond; ; pause = min(2*pause, probeMax) {
		report, err := r.store.Probe(ctx)
		if err == nil {
			r.p.log.Info("store is good", "report", report)
			r.probed.Store(true)
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err() // stopped while it looked: no fault of the store's
		}
		if len(r.p.cfg.Store.Shards) == 0 {
			return fmt.Errorf("store: %w", err)
		}
		r.p.log.Error("store does not pass its test", "retry_in", pause, "error", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// beginClock compares the clock with the newest footage, before anything ages by it. An index that does not answer yet
// is waited for.
func (r *recorderRole) beginClock(ctx context.Context) error {
	for {
		err := r.clock.Begin(ctx, r.index)
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		pause := probeMax
		if errors.Is(err, segment.ErrIndexIncomplete) {
			pause = time.Second
		} else {
			r.p.log.Error("the clock cannot be compared with the archive", "retry_in", pause, "error", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// rebuild fills the index from the store.
func (r *recorderRole) rebuild(ctx context.Context) (segments int64, err error) {
	report, err := check.Run(ctx, check.Options{Rebuild: true}, r.store, r.index.Index)
	return report.Objects, err
}

// sweepEvery is the time between retention sweeps: deletions of one sweep share a tombstone document.
const sweepEvery = 2 * time.Minute

// evict makes room as retention does: with tombstones, and minding locks.
func evict(k *retain.Keeper) func(context.Context, string, []segment.Record) (int, int64, error) {
	return func(ctx context.Context, camera string, list []segment.Record) (int, int64, error) {
		res, err := k.Evict(ctx, camera, list)
		if err == nil && res.Failed > 0 {
			err = fmt.Errorf("the store or the index refused to delete %d segments of camera %s", res.Failed, camera)
		}
		return res.Deleted, res.Bytes, err
	}
}

// noticed is the index as retention sees it: the recorder is told what goes.
type noticed struct {
	*index.Whole
	r *recorderRole
}

// Remove removes a record.
func (n noticed) Remove(ctx context.Context, camera string, rec segment.Record) error {
	err := n.Whole.Remove(ctx, camera, rec)
	if err == nil && n.r.role != nil {
		n.r.role.Removed(camera, rec)
	}
	return err
}

// ready reports whether the store has answered and the index does.
func (r *recorderRole) ready(ctx context.Context) error {
	if !r.probed.Load() {
		return errors.New("the store has not answered yet")
	}
	if err := r.guard.Ready(); err != nil {
		return err
	}
	return r.index.Ping(ctx)
}

func (r *recorderRole) close() {
	if err := errors.Join(r.guard.Close(), r.index.Close(), r.store.Close()); err != nil {
		r.p.log.Error("close the archive", "error", err)
	}
}

// defaultRetention is how long footage of a camera is kept that is no longer in the inventory.
const defaultRetention = 30

// retention returns the policy of the inventory in force.
func retention(inv *inventory) retain.Policy {
	return func(camera string) int {
		if c, ok := inv.current().Camera(camera); ok {
			return c.Days()
		}
		return defaultRetention
	}
}

// freeSpace tells the space of a directory store's file system; nil for other stores.
func freeSpace(cfg *config.Config) func() (int64, int64, error) {
	if cfg.Store.Dir == "" {
		return nil
	}
	return func() (int64, int64, error) {
		return roomOn(cfg.Store.Dir)
	}
}
