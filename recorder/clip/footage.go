package clip

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	"time"

	"skein/recorder/fmp4"
	"skein/recorder/segment"
)

// readAhead is how many segment indexes are fetched at the same time.
const readAhead = 8

// indexCacheBytes bounds the memory of the parsed indexes kept for the next request: a player asks for a file in
// several ranges, a playlist for many parts of the same segments.
const indexCacheBytes = 16 << 20

// keepMost is the longest clip, in segments, whose indexes are kept: those of a longer one push each other out before
// any of them is asked for again.
const keepMost = 400

// slice is a segment and the part of its time that a reader takes from it.
type slice struct {
	rec segment.Record
	x   *fmp4.Index
	// limit is the exact start of the next segment: frames from there on are taken from that one. Zero for the last.
	limit time.Time
}

// library fetches segment indexes. It is safe for concurrent use.
type library struct {
	records Records
	objects Objects
	tempDir string
	memory  int64 // of a plan's tables

	mu    sync.Mutex // guards the fields below
	byKey map[string]*list.Element
	order list.List // of *cached, most recently used first
	bytes int64
}

type cached struct {
	key string
	x   *fmp4.Index
	n   int64
}

func newLibrary(c Config) *library {
	if c.TableMemory == 0 {
		c.TableMemory = tableMemory
	}
	return &library{
		records: c.Records, objects: c.Objects, tempDir: c.TempDir, memory: c.TableMemory, byKey: map[string]*list.Element{},
	}
}

// leading is how long before its segment's start a frame may be presented: pictures that follow an open group's key
// frame in decoding order and precede it on the screen.
const leading = 500 * time.Millisecond

// find returns the records that hold footage of the range, without those that overlaps make needless.
func (l *library) find(ctx context.Context, camera string, within segment.Range) ([]segment.Record, error) {
	all, err := l.records.Range(ctx, camera, segment.Range{From: within.From, To: within.To.Add(leading)})
	if err != nil {
		return nil, fmt.Errorf("find footage of %s: %w", camera, err)
	}
	if len(all) == 0 {
		return nil, nearest(ctx, l.records, camera, within)
	}
	return choose(all), nil
}

// index returns the index of one segment and keeps it for the next request.
func (l *library) index(ctx context.Context, shard, key string) (*fmp4.Index, error) {
	return l.lookup(ctx, shard, key, true)
}

func (l *library) lookup(ctx context.Context, shard, key string, keep bool) (*fmp4.Index, error) {
	l.mu.Lock()
	if e, ok := l.byKey[key]; ok {
		l.order.MoveToFront(e)
		x := e.Value.(*cached).x
		l.mu.Unlock()
		return x, nil
	}
	l.mu.Unlock()
	o, err := l.objects.Open(ctx, shard, key)
	if err != nil {
		return nil, fmt.Errorf("open segment %s on %s: %w", key, shard, err)
	}
	x, err := fmp4.ReadIndex(o, o.Size())
	if cerr := o.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, fmt.Errorf("read index of segment %s on %s: %w", key, shard, err)
	}
	x.Compact()
	if keep {
		l.keep(key, x)
	}
	return x, nil
}

func (l *library) keep(key string, x *fmp4.Index) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.byKey[key]; ok {
		return
	}
	c := &cached{key: key, x: x, n: x.Bytes()}
	l.byKey[key] = l.order.PushFront(c)
	l.bytes += c.n
	for l.bytes > indexCacheBytes && l.order.Len() > 1 {
		old := l.order.Remove(l.order.Back()).(*cached)
		delete(l.byKey, old.key)
		l.bytes -= old.n
	}
}

// each calls take for every segment in order, reading a bounded number of indexes ahead. It returns after all its
// goroutines have ended.
func (l *library) each(ctx context.Context, camera string, recs []segment.Record, take func(slice) error) error {
	type result struct {
		x   *fmp4.Index
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	futures := make([]chan result, len(recs))
	started := 0
	get := func(i int) (*fmp4.Index, error) {
		for ; started < len(recs) && started <= i+readAhead; started++ {
			c := make(chan result, 1)
			futures[started] = c
			r := recs[started]
			wg.Go(func() {
				x, err := l.lookup(ctx, r.Shard, r.Key(camera), len(recs) <= keepMost)
				c <- result{x, err}
			})
		}
		r := <-futures[i]
		futures[i] = nil
		return r.x, r.err
	}
	var held slice
	for i := range recs {
		x, err := get(i)
		if err != nil {
			return err
		}
		if i > 0 {
			held.limit = x.Start
			if err := take(held); err != nil {
				return err
			}
		}
		held = slice{rec: recs[i], x: x}
	}
	if len(recs) == 0 {
		return nil
	}
	return take(held)
}
