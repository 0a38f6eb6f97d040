package stream

import (
	"context"
	"sync/atomic"

	"skein/edge/media"
)

// Reader is one subscriber's bounded queue. Next and TryNext belong to one goroutine; Drops and Close to any.
type Reader struct {
	stream *Stream
	name   string

	// a ring with one writer (the publisher) and one reader
	ring []*media.AccessUnit
	mask uint64
	head atomic.Uint64 // next to read
	tail atomic.Uint64 // next to write

	waiting atomic.Bool
	wake    chan struct{} // capacity 1
	done    chan struct{}
	ended   atomic.Pointer[error]

	drops [dropReasons]atomic.Uint64

	skipping bool // owned by the publisher: waiting for a key frame
	resumed  bool // owned by the publisher: went on with the newest key frame

	// owned by the reading goroutine
	past []*media.AccessUnit // history still to be delivered
	last uint64              // Seq of the last unit delivered
	gate bool                // waiting for a key frame to begin with
	cut  bool                // decoding begins with the newest key frame: what leads its group cannot be decoded
	// still tells that past is a key frame without what came after it.
	still bool
}

func newReader(s *Stream, o ReaderOptions) *Reader {
	n := 1
	for n < max(o.Queue, 2) {
		n <<= 1
	}
	if o.Queue <= 0 {
		n = 512
	}
	return &Reader{
		stream: s, name: o.Name, ring: make([]*media.AccessUnit, n), mask: uint64(n - 1),
		wake: make(chan struct{}, 1), done: make(chan struct{}), gate: true,
	}
}

// Name returns the name given at Subscribe.
func (r *Reader) Name() string { return r.name }

// offer queues u, or drops it under a reason. Called by the publisher only.
func (r *Reader) offer(u *media.AccessUnit) {
	if r.skipping {
		if !u.Key {
			r.drop(u, DropSkip)
			return
		}
		r.skipping, r.resumed = false, true
	} else if u.Key {
		r.resumed = false
	}
	if r.resumed && u.Leading {
		r.drop(u, DropSkip)
		return
	}
	t := r.tail.Load()
	if t-r.head.Load() > r.mask {
		r.skipping = u.Desc.Video() >= 0
		r.drop(u, DropOverflow)
		return
	}
	r.ring[t&r.mask] = u
	r.tail.Store(t + 1)
	if r.waiting.Load() {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

func (r *Reader) drop(u *media.AccessUnit, why DropReason) {
	if !u.IsVideo() && why == DropSkip {
		why = DropAudio
	}
	r.drops[why].Add(1)
}

// TryNext returns the next unit if there is one now.
func (r *Reader) TryNext() (*media.AccessUnit, bool) {
	if len(r.past) > 0 {
		u := r.past[0]
		r.past[0], r.past = nil, r.past[1:] // this reader's own copy: what is delivered can be collected
		if len(r.past) == 0 {
			r.past = nil
		}
		r.begin(u)
		r.gate = r.still
		return u, true
	}
	for {
		h := r.head.Load()
		if h == r.tail.Load() {
			return nil, false
		}
		u := r.ring[h&r.mask]
		r.ring[h&r.mask] = nil
		r.head.Store(h + 1)
		if u.Seq <= r.last {
			continue // already delivered from the history
		}
		if r.gate && u.Desc.Video() >= 0 && !u.Key {
			continue
		}
		if r.cut && u.Leading {
			continue
		}
		r.begin(u)
		return u, true
	}
}

// begin notes that u is delivered.
func (r *Reader) begin(u *media.AccessUnit) {
	if u.Key {
		r.cut = r.gate
	}
	r.last, r.gate = u.Seq, false
}

// Next waits for the next unit. It returns ctx's error, or the stream's when that ended and all queued units are read.
func (r *Reader) Next(ctx context.Context) (*media.AccessUnit, error) {
	for {
		if u, ok := r.TryNext(); ok {
			return u, nil
		}
		r.waiting.Store(true)
		if u, ok := r.TryNext(); ok {
			r.waiting.Store(false)
			return u, nil
		}
		select {
		case <-r.wake:
		case <-r.done:
			if u, ok := r.TryNext(); ok {
				return u, nil
			}
			return nil, *r.ended.Load()
		case <-ctx.Done():
			r.waiting.Store(false)
			return nil, ctx.Err()
		}
		r.waiting.Store(false)
	}
}

// Drops returns how many units were dropped so far, by reason.
func (r *Reader) Drops() Drops {
	var d Drops
	for i := range d {
		d[i] = r.drops[i].Load()
	}
	return d
}

// Close removes the reader from its stream. It may be called twice.
func (r *Reader) Close() {
	r.stream.remove(r)
	r.end(ErrClosed)
}

func (r *Reader) end(err error) {
	if r.ended.CompareAndSwap(nil, &err) {
		close(r.done)
	}
}
