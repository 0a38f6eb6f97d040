package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"skein/config"
	"skein/recorder"
	"skein/recorder/check"
	"skein/recorder/clip"
	"skein/recorder/index"
	"skein/recorder/retain"
	"skein/recorder/segment"
	"skein/recorder/store"
)

// recorderRole is a recorder with its engines.
type recorderRole struct {
	role  *recorder.Recorder
	store store.Archive
	index *index.Index
	p     *process

	probed atomic.Bool // the store has answered and is good
}

// openRecorder builds the recorder role over the configured store and index.
func openRecorder(p *process, inv *inventory) (*recorderRole, error) {
	log := p.log.With("role", "recorder")
	st, ix, err := openArchive(p.cfg)
	if err != nil {
		return nil, err
	}
	r := &recorderRole{store: st, index: ix, p: p}
	locks := &retain.Locks{
		Docs: st, Finder: ix, Holder: st,
		Unsupported: func(err error) bool { return errors.Is(err, store.ErrUnsupported) },
	}
	keeper, err := retain.New(retain.Options{
		Index: noticed{ix, r}, Store: st, Guard: locks, Policy: retention(inv), Log: log, Metrics: p.reg,
		Cap: p.cfg.Archive.MaxBytes, Every: sweepEvery,
	})
	if err != nil {
		r.close()
		return nil, err
	}
	cfg := p.cfg.Archive
	cfg.MaxBytes = 0 // the keeper holds the cap: it leaves tombstones and minds locks
	r.role, err = recorder.New(cfg, recorder.Deps{
		Store: st, Index: ix, Authorize: nodeTokens(p.cfg), Retain: keeper, Ready: r.ready, Free: freeSpace(p.cfg),
		Remove: keeper.Remove, Log: log, Registry: p.reg,
		Docs: st,
		Clips: clip.NewHandler(clip.Config{
			Records: ix, Log: log, Gaps: func(camera string, within segment.Range) []segment.GapDoc {
				return r.role.Gaps(camera, within)
			},
			Objects: clip.OpenFunc(func(ctx context.Context, shard, key string) (clip.Object, error) {
				return st.Open(ctx, shard, key)
			}),
		}),
	})
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
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
			if err := r.rebuild(ctx); err != nil {
				return err
			}
		}
		return r.role.Run(ctx)
	})
}

// probeMax bounds the pause between attempts to reach a store that does not answer.
const probeMax = 15 * time.Second

// probe waits until the store passes its conformance test. S3 endpoints that start later than the recorder, or restart
// with it, are no reason to give up; until then the recorder is not ready, and says why. A directory must be good at once.
func (r *recorderRole) probe(ctx context.Context) error {
	for pause := 500 * time.Millisecond; ; pause = min(2*pause, probeMax) {
		report, err := r.store.Probe(ctx)
		if err == nil {
			r.p.log.Info("store is good", "report", report)
			r.probed.Store(true)
			return nil
		}
		if len(r.p.cfg.Store.Shards) == 0 || ctx.Err() != nil {
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

// rebuild fills the embedded index from the store.
func (r *recorderRole) rebuild(ctx context.Context) error {
	report, err := check.Run(ctx, check.Options{Rebuild: true}, r.store, r.index)
	if err != nil {
		return fmt.Errorf("rebuild the embedded index: %w", err)
	}
	r.p.log.Info("embedded index rebuilt", "segments", report.Objects, "took", report.Took.Round(time.Millisecond))
	return nil
}

// sweepEvery is the time between retention sweeps: deletions of one sweep share a tombstone document.
const sweepEvery = 2 * time.Minute

// noticed is the index as retention sees it: the recorder is told what goes.
type noticed struct {
	*index.Index
	r *recorderRole
}

// Remove removes a record.
func (n noticed) Remove(ctx context.Context, camera string, rec segment.Record) error {
	err := n.Index.Remove(ctx, camera, rec)
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
	return r.index.Ping(ctx)
}

func (r *recorderRole) close() {
	if err := errors.Join(r.index.Close(), r.store.Close()); err != nil {
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
		var st unix.Statfs_t
		if err := unix.Statfs(cfg.Store.Dir, &st); err != nil {
			return 0, 0, fmt.Errorf("free space of %s: %w", cfg.Store.Dir, err)
		}
		return int64(st.Bavail) * st.Bsize, int64(st.Blocks) * st.Bsize, nil
	}
}

// checkCommand proves the archive's invariants.
type checkCommand struct {
	withConfig
	Repair  bool     `help:"Index objects without a record, drop records without an object."`
	Rebuild bool     `help:"Fill the index from the store. May run beside live recording."`
	Deep    bool     `help:"Read every object and compare its hash."`
	JSON    bool     `help:"Print the report as JSON."`
	Camera  []string `help:"Only these cameras."`
}

// Run checks. Exit code 0: nothing is wrong or all was repaired; 1: something is wrong; 2: the check did not complete.
func (c checkCommand) Run(ctx context.Context) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	st, ix, err := openArchive(cfg)
	if err != nil {
		return exitCode{2, err}
	}
	o := check.Options{
		Cameras: c.Camera, Repair: c.Repair, Rebuild: c.Rebuild, Deep: c.Deep, Evidence: evidence{st, ix},
	}
	if !c.JSON {
		o.Progress = func(p check.Progress) {
			fmt.Fprintf(os.Stderr, "\rcameras %d/%d, segments %d, findings %d ", p.Done, p.Cameras, p.Segments, p.Findings)
		}
	}
	if cfg.Index.Embedded && !c.Rebuild { // an embedded index lives in the running process: fill one to compare with
		if _, err := check.Run(ctx, check.Options{Rebuild: true, Cameras: c.Camera}, st, ix); err != nil {
			return exitCode{2, err}
		}
	}
	report, err := check.Run(ctx, o, st, ix)
	c.print(report)
	err = errors.Join(err, ix.Close(), st.Close())
	if code := report.ExitCode(err); code != 0 {
		return exitCode{code, err}
	}
	return nil
}

func (c checkCommand) print(r check.Report) {
	if c.JSON {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		_ = enc.Encode(r) // a closed pipe is the reader's choice
		return
	}
	fmt.Fprintln(os.Stderr)
	for _, f := range r.Findings {
		fmt.Printf("%s (%s) %s %s %s repaired=%v\n", f.Kind, f.Invariant, f.Camera, f.Key, f.Detail, f.Repaired)
	}
	fmt.Printf("%d cameras, %d objects (%d bytes), %d records, %d in flight, %d added, %d dropped, %d unrepaired, took %v\n",
		r.Cameras, r.Objects, r.Bytes, r.Records, r.InFlight, r.Added, r.Dropped, r.Unrepaired, r.Took.Round(time.Millisecond))
}

// evidence gives check what proves that locked footage was not deleted.
type evidence struct {
	docs  store.Archive
	index *index.Index
}

// Locks lists the locks, ended ones included.
func (e evidence) Locks(ctx context.Context) ([]check.Guarded, error) {
	locks := &retain.Locks{Docs: e.docs, Finder: e.index}
	list, err := locks.List(ctx)
	if err != nil {
		return nil, err
	}
	var out []check.Guarded
	for _, l := range list {
		for _, camera := range l.Cameras {
			out = append(out, check.Guarded{Camera: camera, Range: l.Range, Created: l.Created})
		}
	}
	return out, nil
}

// Tombstones lists the deletions of a camera's footage within a range.
func (e evidence) Tombstones(ctx context.Context, camera string, within segment.Range) ([]check.Deleted, error) {
	graves, err := retain.Tombstones(ctx, e.docs, camera, within)
	if err != nil {
		return nil, err
	}
	var out []check.Deleted
	for _, g := range graves {
		out = append(out, check.Deleted{
			Range: segment.Range{From: g.Start, To: g.Start.Add(g.Duration)}, Key: g.Key, Deleted: g.Deleted,
		})
	}
	return out, nil
}
