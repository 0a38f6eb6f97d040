package spool

import (
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"skein/recorder/segment"
)

// camera is one camera's folder in the spool.
//
// Locks nest in this order: commitMu, mu, Spool.queue's.
type camera struct {
	id, dir string
	sub     atomic.Bool  // it is the sub stream that is recorded
	hurry   atomic.Int64 // unix ms: footage before it is wanted in the archive now

	commitMu sync.Mutex // held while committing or changing manifests; guards the fields below
	chain    chain
	gone     map[uint64]bool // segments dropped or set aside

	sealAgain time.Time // a closed file could not be sealed: not before

	held         []heldFile // wait for the time to be known
	foreign      bootTime   // of the last held file whose time is a guess
	foreignStart time.Time  // and its label

	footageEnd time.Time               // where the sealed footage ends, lost or not
	lost       map[uint64]*lostSegment // given up, and the archive may not know
	gaps       map[int64]*gapFile      // by From, unix ms
	openGap    int64                   // key in gaps of the one that goes on, 0: none

	mu        sync.Mutex // guards the fields below
	recording bool
	number    int64        // of the newest unfinished file
	current   *segmentFile // being written
	closed    []*segmentFile
	waiting   bool // there are held files
	dirDirty  bool // the folder has entries that are not durable yet
	lastWrite time.Time
	detail    string        // why it is not recording
	stuck     segment.Cause // the disk takes nothing, and why
	loss      loss
	fresh     bool      // this process has not recorded the camera yet
	since     time.Time // when this process began to record
	head      uint64    // chain.seq
	headDone  bool      // the head has its receipt: its manifest stays only for the chain

	// set by recovery
	endBefore time.Time // where the footage of earlier processes ends

	// owned by the recording goroutine
	lastStream any
	lastSeq    uint64
}

// chain is the newest link of a camera's chain of segments.
type chain struct {
	seq  uint64
	hash segment.Hash
	end  time.Time     // where the footage ends, zero if there never was any
	lost segment.Cause // footage after end was lost under this cause
}

// link makes m the next of the chain.
func (ch *chain) link(m *segment.Manifest, cause segment.Cause) {
	m.Seq, m.Prev = ch.seq+1, ch.hash
	if ch.lost != "" {
		cause = ch.lost
	}
	if cause == "" {
		cause = segment.CauseUnknown
	}
	m.Gap = nil
	if !ch.end.IsZero() && m.Start.Sub(ch.end) > segment.Join {
		m.Gap = &segment.Gap{Range: segment.Range{From: ch.end, To: m.Start}, Cause: cause}
	}
}

// advance makes m, which is durable, the head.
func (ch *chain) advance(m segment.Manifest) {
	*ch = chain{seq: m.Seq, hash: m.SHA256, end: m.End()}
}

func (s *Spool) newCamera(id string) (*camera, error) {
	if !validCamera(id) {
		return nil, fmt.Errorf("camera id %q: want 1-64 of a-z, 0-9 and -", id)
	}
	return &camera{id: id, dir: filepath.Join(s.cfg.Dir, camerasDir, id), fresh: true}, nil
}

// camera returns the camera's state, and makes its folder if it is new.
func (s *Spool) camera(id string) (*camera, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.cameras[id]; c != nil {
		return c, nil
	}
	c, err := s.newCamera(id)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.dir, 0o750); err != nil {
		return nil, fmt.Errorf("make the camera's spool folder: %w", err)
	}
	if err := s.fs.syncDir(filepath.Dir(c.dir)); err != nil {
		return nil, err
	}
	s.cameras[id] = c
	return c, nil
}

// known returns the camera's state, or nil.
func (s *Spool) known(id string) *camera {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cameras[id]
}

// all returns the cameras there are.
func (s *Spool) all() []*camera {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*camera, 0, len(s.cameras))
	for _, c := range s.cameras {
		list = append(list, c)
	}
	return list
}

func (c *camera) nextNumber() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.number++
	return c.number
}

func (c *camera) opened(f *segmentFile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current, c.dirDirty, c.fresh = f, true, false
}

// close hands the current file to the commit.
func (c *camera) close(f *segmentFile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current = nil
	c.closed = append(c.closed, f)
}

// discard forgets the current file, which holds nothing.
func (c *camera) discard() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current = nil
}

// setTrouble tells why the camera is not recorded; cause is that of a disk that takes nothing.
func (c *camera) setTrouble(detail string, cause segment.Cause) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.detail, c.stuck = detail, cause
}

// start marks the camera as being recorded; false if it already is.
func (c *camera) start() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.recording {
		return false
	}
	c.recording = true
	if c.since.IsZero() {
		c.since = time.Now()
	}
	return true
}

func (c *camera) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recording = false
}

// isFresh reports whether this process has not recorded the camera yet.
func (c *camera) isFresh() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fresh
}

// pending reports whether closed files wait for the commit.
func (c *camera) pending() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.closed) > 0
}

// nextCut returns when a segment that begins at start is to end: at the camera's own phase of a fixed grid, so that
// many cameras started together do not rotate together, at least a quarter of a length away.
func nextCut(camera string, start time.Time, length time.Duration) time.Time {
	h := fnv.New64a()
	_, _ = h.Write([]byte(camera))
	phase := time.Duration(h.Sum64() % uint64(length)) // a length is positive
	at := start.Add(-phase).Truncate(length).Add(phase).Add(length)
	for at.Sub(start) < length/4 {
		at = at.Add(length)
	}
	return at
}
