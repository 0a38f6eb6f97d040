package stream

import (
	"slices"
	"sync/atomic"
	"time"

	"skein/edge/media"
)

// blockUnits is how many units one block of the history holds.
const blockUnits = 32

// history keeps the newest groups of pictures as a chain of blocks. One goroutine adds; any may take a snapshot
// without a lock: a block's slots are written once, before its count is raised.
type history struct {
	limit int
	age   time.Duration

	oldest atomic.Pointer[position]
	still  atomic.Pointer[media.AccessUnit] // the newest key frame

	// owned by the publishing goroutine
	tail  *block
	bytes int
	keys  []keyMark // key frames kept, oldest first
}

type block struct {
	units [blockUnits]*media.AccessUnit
	n     atomic.Int32
	next  atomic.Pointer[block]
}

// position is where the history begins.
type position struct {
	b *block
	i int32
}

// keyMark is a place where the history may begin.
type keyMark struct {
	position
	wall  time.Time
	bytes int  // weight of all units from the previous mark up to this one
	weak  bool // not every decoder can begin here: see weak
}

func (h *history) add(u *media.AccessUnit) {
	if h.tail == nil || h.tail.n.Load() == blockUnits {
		b := &block{}
		if h.tail != nil {
			h.tail.next.Store(b)
		}
		h.tail = b
	}
	i := h.tail.n.Load()
	h.tail.units[i] = u
	h.tail.n.Store(i + 1)
	video := u.Desc.Video() >= 0
	if u.Key || (!video && len(h.keys) == 0) {
		h.keys = append(h.keys, keyMark{position{h.tail, i}, u.Arrival, h.bytes, weak(u)})
		h.bytes = 0
		if u.Key {
			h.still.Store(u)
		}
		if len(h.keys) == 1 {
			h.begin()
		}
	}
	h.bytes += weight(u)
	h.trim(u.Arrival)
}

// weak tells that not every decoder can begin with the key frame u: browsers begin H.264 at IDR pictures only.
func weak(u *media.AccessUnit) bool { return u.Open && u.Desc.Tracks[u.Track].Codec == media.H264 }

// trim forgets the oldest groups of pictures while the limits are exceeded, but never the current one unless it alone
// exceeds the byte limit: then nothing but its key frame is kept until the next one. What began with a key frame for
// every decoder is current until the next such.
func (h *history) trim(now time.Time) {
	total := h.bytes
	for i := 1; i < len(h.keys); i++ {
		total += h.keys[i].bytes
	}
	for len(h.keys) > 1 && (total > h.limit || h.replaced() && now.Sub(h.keys[1].wall) > h.age) {
		total -= h.keys[1].bytes
		h.keys = slices.Delete(h.keys, 0, 1) // clears what is left behind: a block holds all that came after it
		h.begin()
	}
	if total > h.limit && len(h.keys) == 1 {
		h.keys = slices.Delete(h.keys, 0, 1)
		h.oldest.Store(nil)
	}
}

// replaced tells whether the second group of pictures kept does for the first.
func (h *history) replaced() bool {
	return h.keys[0].weak || slices.ContainsFunc(h.keys[1:], func(k keyMark) bool { return !k.weak })
}

// What a unit and each of its NAL units take besides their bytes: a camera decides how small they are.
const (
	unitOverhead = 256
	naluOverhead = 32
)

// weight is about how much memory u takes.
func weight(u *media.AccessUnit) int { return unitOverhead + naluOverhead*len(u.NALUs) + u.Size() }

func (h *history) begin() {
	p := h.keys[0].position
	h.oldest.Store(&p)
}

func (h *history) snapshot() []*media.AccessUnit {
	p := h.oldest.Load()
	if p == nil {
		return nil
	}
	var out []*media.AccessUnit
	for b, i := p.b, p.i; b != nil; i = 0 {
		next := b.next.Load() // before the count: a block that has a next one is full, so there is no hole between them
		n := b.n.Load()
		out = append(out, b.units[i:n]...)
		b = next
	}
	return out
}
