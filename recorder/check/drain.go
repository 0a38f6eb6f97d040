package check

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"skein/recorder/segment"
	"skein/recorder/store"
)

// Drained is a store of shards, one of which is to be emptied. *store.Shards is one.
type Drained interface {
	Store
	Put(ctx context.Context, m segment.Manifest, src store.Source) (shard string, err error)
	Delete(ctx context.Context, shard, key string) error
	Hold(ctx context.Context, shard, key string, on bool) error
	Draining(shard string) error
	ListShard(ctx context.Context, shard, prefix string) iter.Seq2[store.Entry, error]
	DrainBlobs(ctx context.Context, shard string) (int, error)
}

// DrainOptions say what to move.
type DrainOptions struct {
	Shard   string   // must have drain set in the configuration
	Cameras []string // nil: all, and the documents
	Workers int      // segments at a time, default 4
	// Progress is called about once a second and at the end, never concurrently. nil: not called.
	Progress func(DrainReport)
}

// DrainReport is what was moved.
type DrainReport struct {
	Moved     int64         `json:"moved"`
	Bytes     int64         `json:"bytes"`
	Documents int           `json:"documents"`
	Failed    int64         `json:"failed"`
	Failures  []string      `json:"failures,omitempty"` // the first of them
	Took      time.Duration `json:"took_ns"`
}

// ExitCode returns the code for scripts, as Report.ExitCode does: 1 tells that something is still on the shard.
func (r DrainReport) ExitCode(err error) int {
	switch {
	case err != nil:
		return ExitFailed
	case r.Failed > 0:
		return ExitFound
	}
	return ExitClean
}

// drain is one draining under way.
type drain struct {
	o     DrainOptions
	store Drained
	index Index
	began time.Time

	mu     sync.Mutex // guards the fields below
	report DrainReport
	told   time.Time
}

// Drain empties a shard that takes nothing new: each segment is copied to the shard that its camera prefers now,
// checked against its manifest on the way, indexed there, and only then deleted. At any moment, and after any crash,
// the index names a copy that exists; run again, it goes on with what is left. Reading and recording go on meanwhile.
func Drain(ctx context.Context, o DrainOptions, s Drained, x Index) (DrainReport, error) {
	if o.Workers <= 0 {
		o.Workers = 4
	}
	d := &drain{o: o, store: s, index: x, began: time.Now()}
	err := s.Draining(o.Shard)
	if err == nil {
		err = d.segments(ctx)
	}
	if err == nil && o.Cameras == nil {
		var docs int
		docs, err = s.DrainBlobs(ctx, o.Shard)
		d.report.Documents = docs
	}
	if err != nil {
		err = fmt.Errorf("drain shard %s: %w", o.Shard, err)
	}
	d.report.Took = time.Since(d.began)
	d.tell(true)
	return d.report, err
}

// segments moves all segments, several at a time. A listing that fails ends it; a segment that fails is reported.
func (d *drain) segments(ctx context.Context) error {
	todo := make(chan store.Entry)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(todo)
	for range d.o.Workers {
		wg.Go(func() {
			for e := range todo {
				d.done(e, d.move(ctx, e))
			}
		})
	}
	prefixes := []string{segment.KeyPrefix}
	if d.o.Cameras != nil {
		prefixes = nil
		for _, id := range d.o.Cameras {
			prefixes = append(prefixes, segment.KeyPrefix+id+"/")
		}
	}
	for _, prefix := range prefixes {
		for e, err := range d.store.ListShard(ctx, d.o.Shard, prefix) {
			if err != nil {
				return err
			}
			select {
			case todo <- e:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// maxFailures is how many failures a report names.
const maxFailures = 100

func (d *drain) done(e store.Entry, err error) {
	d.mu.Lock()
	if err == nil {
		d.report.Moved++
		d.report.Bytes += e.Size
	} else {
		d.report.Failed++
		if len(d.report.Failures) < maxFailures {
			d.report.Failures = append(d.report.Failures, fmt.Sprintf("%s: %v", e.Key, err))
		}
	}
	d.mu.Unlock()
	d.tell(false)
}

func (d *drain) tell(last bool) {
	if d.o.Progress == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !last && time.Since(d.told) < time.Second {
		return
	}
	d.told = time.Now()
	d.o.Progress(d.report)
}

// move copies, indexes, deletes: in this order.
func (d *drain) move(ctx context.Context, e store.Entry) error {
	camera, _, err := segment.ParseKey(e.Key)
	if err != nil {
		return err
	}
	m, err := d.store.Manifest(ctx, e.Shard, e.Key)
	if err != nil {
		return err
	}
	to, err := d.copy(ctx, m, e)
	if errors.Is(err, store.ErrUnavailable) && ctx.Err() == nil {
		to, err = d.copy(ctx, m, e) // the shard that failed is passed over now
	}
	if err != nil {
		return err
	}
	if err := d.index.AddMany(ctx, camera, []segment.Record{m.Record(to)}); err != nil {
		return err
	}
	err = d.store.Delete(ctx, e.Shard, e.Key)
	if !errors.Is(err, store.ErrLocked) {
		return err
	}
	// the hold moves with the footage: it is on the new copy before it is off the old one
	if err := d.store.Hold(ctx, to, e.Key, true); err != nil {
		return fmt.Errorf("it is held, and its new shard %s cannot hold it: %w", to, err)
	}
	if err := d.store.Hold(ctx, e.Shard, e.Key, false); err != nil {
		return err
	}
	return d.store.Delete(ctx, e.Shard, e.Key)
}

func (d *drain) copy(ctx context.Context, m segment.Manifest, e store.Entry) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	o, err := d.store.Open(ctx, e.Shard, e.Key)
	if err != nil {
		return "", err
	}
	defer o.Close()
	body, err := o.Stream(0, o.Size())
	if err != nil {
		return "", err
	}
	defer body.Close()
	return d.store.Put(ctx, m, store.Source{Reader: body, Size: o.Size()})
}
