// Package stream is the hub in which one source fans out to its readers.
//
// A Stream belongs to one profile of one camera and lives as long as that camera is configured: reconnects of the
// source only change the description and epoch of the units. One goroutine publishes; it takes no lock, allocates
// nothing and never waits. Each reader has a bounded queue; a reader that falls behind skips to the next key frame, and
// every unit it misses is counted under a reason. The newest groups of pictures are kept as a history, so that a new
// reader can start with a picture at once.
package stream

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"skein/edge/media"
)

// ErrClosed is what readers get after the stream or the reader was closed without another cause.
var ErrClosed = errors.New("stream closed")

// Options bound the history. The current group of pictures is kept up to HistoryBytes even if older than HistoryAge:
// two minutes of a camera that saves bits at 1 Mbit/s.
type Options struct {
	HistoryBytes int           // of memory, default 16 MiB
	HistoryAge   time.Duration // default 2 s
}

// Stream fans one source out. All methods but Publish may be called from any goroutine.
type Stream struct {
	history history
	desc    atomic.Pointer[media.Description]
	last    atomic.Pointer[media.AccessUnit]
	readers atomic.Pointer[[]*Reader]

	// owned by the publishing goroutine
	seq uint64

	mu     sync.Mutex // guards the fields below and changes of readers
	closed bool
	err    error
}

// New returns an empty stream.
func New(o Options) *Stream {
	if o.HistoryBytes <= 0 {
		o.HistoryBytes = 16 << 20
	}
	if o.HistoryAge <= 0 {
		o.HistoryAge = 2 * time.Second
	}
	s := &Stream{}
	s.history.limit, s.history.age = o.HistoryBytes, o.HistoryAge
	s.readers.Store(&[]*Reader{})
	return s
}

// Publish gives u to every reader and to the history. It sets u.Seq; the caller must not touch u afterwards. Only one
// goroutine may publish at a time. It takes no lock, allocates nothing (but a history block every 32 units) and
// never waits.
func (s *Stream) Publish(u *media.AccessUnit) {
	s.seq++
	u.Seq = s.seq
	if s.desc.Load() != u.Desc {
		s.desc.Store(u.Desc)
	}
	s.last.Store(u)
	s.history.add(u)
	for _, r := range *s.readers.Load() {
		r.offer(u)
	}
}

// Description returns the description of the last published unit, or nil.
func (s *Stream) Description() *media.Description { return s.desc.Load() }

// Last returns the newest unit, or nil.
func (s *Stream) Last() *media.AccessUnit { return s.last.Load() }

// History returns the units kept, oldest first. The first is a key frame, if there is video at all.
func (s *Stream) History() []*media.AccessUnit { return s.history.snapshot() }

// Still returns the newest key frame, nil if there was none: also if its group of pictures got too large to be kept.
func (s *Stream) Still() *media.AccessUnit { return s.history.still.Load() }

// ReaderOptions describe a reader.
type ReaderOptions struct {
	Name    string // for logs
	Queue   int    // units the reader may be behind, default 512
	History bool   // start with the newest group of pictures kept instead of with the next key frame
	// Still is for those who show pictures: where the newest group of pictures got too large to be kept, they start with
	// its key frame, and go on with the next.
	Still bool
}

// Subscribe adds a reader. Without History its first video unit is the next key frame. On a closed stream the reader
// ends at once.
func (s *Stream) Subscribe(o ReaderOptions) *Reader {
	r := newReader(s, o)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		r.end(s.err)
		return r
	}
	old := *s.readers.Load()
	list := make([]*Reader, len(old), len(old)+1)
	copy(list, old)
	list = append(list, r)
	s.readers.Store(&list)
	if o.History {
		r.past = newestGOP(s.history.snapshot())
		if u := s.Still(); o.Still && len(r.past) == 0 && u != nil {
			r.past, r.still = []*media.AccessUnit{u}, true
		}
	}
	return r
}

// Readers returns how many readers there are.
func (s *Stream) Readers() int { return len(*s.readers.Load()) }

func (s *Stream) remove(r *Reader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := *s.readers.Load()
	list := make([]*Reader, 0, len(old))
	for _, o := range old {
		if o != r {
			list = append(list, o)
		}
	}
	s.readers.Store(&list)
}

// Close ends the stream: readers drain what they have queued and then get err, ErrClosed if nil.
func (s *Stream) Close(err error) {
	if err == nil {
		err = ErrClosed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed, s.err = true, err
	for _, r := range *s.readers.Load() {
		r.end(err)
	}
	s.readers.Store(&[]*Reader{})
}

// newestGOP returns the tail of units that begins at the newest video key frame every decoder can begin with, or at the
// newest there is, without the pictures that cannot be decoded then; all of it if there is no video.
func newestGOP(units []*media.AccessUnit) []*media.AccessUnit {
	from := -1
	for i := len(units) - 1; i >= 0; i-- {
		if units[i].Key && (from < 0 || !weak(units[i])) {
			if from = i; !weak(units[i]) {
				break
			}
		}
	}
	if from < 0 {
		if len(units) > 0 && units[0].Desc.Video() >= 0 {
			return nil
		}
		return units
	}
	out := append(make([]*media.AccessUnit, 0, len(units)-from), units[from])
	begun := true // no second key frame yet
	for _, u := range units[from+1:] {
		begun = begun && !u.Key
		if !begun || !u.Leading {
			out = append(out, u)
		}
	}
	return out
}
