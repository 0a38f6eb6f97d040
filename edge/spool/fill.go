package spool

import (
	"encoding/json"
	"fmt"
	"math"
	"sync"
	"time"

	"skein/recorder/segment"
)

// Level tells how full a spool is, and so what the edge must give up.
type Level int

// The levels of fill.
const (
	LevelNormal    Level = iota
	LevelWarn            // from 80 %: tell somebody
	LevelShed            // from 90 %: sub-streams and snapshots are no longer kept
	LevelEmergency       // from 95 %: the oldest shipped, then the oldest unshipped footage is dropped
)

// String returns "normal", "warn", "shed" or "emergency".
func (l Level) String() string {
	return [...]string{"normal", "warn", "shed", "emergency"}[min(max(l, 0), LevelEmergency)]
}

// MarshalText implements encoding.TextMarshaler.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// The watermarks, in percent, and where dropping footage stops again.
const (
	markWarn      = 80
	markShed      = 90
	markEmergency = 95
	markRelief    = 93
)

// lastReserve is the free space below which footage without a receipt is dropped to spare the file system, whoever has
// filled it; on small file systems it is 5 % of them.
const lastReserve = 1 << 30

// Reserve returns the free space, on a file system of that size, below which footage is dropped.
func Reserve(size int64) int64 { return min(int64(lastReserve), size/100*(100-markEmergency)) }

// Level returns how full the spool was at the last look.
func (s *Spool) Level() Level { return Level(s.full.Load()) }

// room is one look at the space there is.
type room struct {
	level Level
	over  int64 // bytes above the emergency mark's relief by MaxBytes or file system; only shipped footage may go
	must  int64 // bytes that must go in any case
}

func (s *Spool) look(st fsFill) room {
	used := s.used.Load()
	var r room
	percent := func(part, whole int64) {
		if whole <= 0 {
			return
		}
		p := float64(part) * 100 / float64(whole)
		switch {
		case p >= markEmergency:
			r.level = LevelEmergency
		case p >= markShed:
			r.level = max(r.level, LevelShed)
		case p >= markWarn:
			r.level = max(r.level, LevelWarn)
		}
	}
	percent(used, s.cfg.MaxBytes)
	percent(st.size-st.free, st.size)
	percent(st.inodes-st.inodesFree, st.inodes)
	if left := s.timeLeft(st); left >= 0 && left < s.cfg.WarnLeft {
		r.level = max(r.level, LevelWarn)
	}
	if limit := s.cfg.MaxBytes; limit > 0 && used >= limit/100*markEmergency {
		r.must = used - limit/100*markRelief
	}
	if st.size > 0 {
		if r.level == LevelEmergency {
			r.over = max(r.must, st.size/100*(100-markRelief)-st.free)
		}
		reserve := Reserve(st.size)
		if st.free < reserve {
			r.must = max(r.must, reserve-st.free+st.size/200)
		}
	}
	r.over = max(r.over, r.must)
	return r
}

// timeLeft returns how long it takes at the present growth of the backlog until unshipped footage has to be dropped,
// -1 if it does not grow. What is shipped and only kept counts as room.
func (s *Spool) timeLeft(st fsFill) time.Duration {
	growth := s.shipped.growth()
	if growth <= 0 {
		return -1
	}
	_, backlog := s.queue.size()
	room := int64(math.MaxInt64)
	if limit := s.cfg.MaxBytes; limit > 0 {
		room = limit/100*markEmergency - backlog
	}
	if st.size > 0 {
		kept := max(0, s.used.Load()-backlog)
		room = min(room, st.free+kept-Reserve(st.size))
	}
	if room == math.MaxInt64 {
		return -1
	}
	return time.Duration(min(float64(max(0, room))/growth, maxLeft.Seconds()) * float64(time.Second))
}

// maxLeft is the longest time left that is told.
const maxLeft = 10 * 365 * 24 * time.Hour

// makeRoom looks at the space there is and drops footage if it must: first what the archive has, oldest receipt first,
// then the oldest footage, under a typed gap.
func (s *Spool) makeRoom() {
	if now := time.Now(); now.Sub(s.shipped.tick(now, s.queue)) >= aliveEvery {
		s.alive()
		s.shipped.lastAlive = now
	}
	st, err := s.fs.statfs(s.cfg.Dir)
	if err != nil {
		s.log.Error("free space of the spool is not known", "err", err)
	}
	r := s.look(st)
	s.free.Store(st.free)
	s.left.Store(int64(s.timeLeft(st)))
	if st.inodes > 0 {
		s.inodes.Store((st.inodes - st.inodesFree) * 1000 / st.inodes)
	}
	if old := Level(s.full.Swap(int64(r.level))); old != r.level {
		s.log.Warn("spool fill changed", "from", old.String(), "to", r.level.String(),
			"bytes", s.used.Load(), "max_bytes", s.cfg.MaxBytes, "free", st.free)
	}
	for _, k := range s.kept.expired(time.Now().Add(-s.cfg.Keep)) {
		s.release(k.cam, k.seq, k.bytes)
	}
	freed := int64(0)
	for freed < r.over {
		k, ok := s.kept.oldest()
		if !ok {
			break
		}
		s.release(k.cam, k.seq, k.bytes)
		freed += k.bytes
	}
	n := 0
	for freed < r.must {
		e, ok := s.queue.dropOldest()
		if !ok {
			break
		}
		freed += e.bytes
		n++
		if err := s.drop(e, segment.CauseSpoolFull); err != nil {
			s.log.Error("segment could not be dropped", "camera", e.cam.id, "seq", e.seq, "err", err)
		}
	}
	if n > 0 {
		s.log.Error("spool is full: the oldest footage that was not shipped had to be dropped", "segments", n,
			"bytes", freed)
	}
}

// drop gives up a segment that has no receipt. The gap it leaves is typed in the manifest of the segment after it.
func (s *Spool) drop(e entry, cause segment.Cause) error {
	c := e.cam
	c.commitMu.Lock()
	defer c.commitMu.Unlock()
	s.m.dropped.Inc()
	s.m.droppedBytes.Add(float64(e.bytes))
	m, err := readManifest(c.id, c.path(e.seq, manifestSuffix))
	if err != nil {
		return err
	}
	c.loseSegment(m, cause, m.Seq == c.chain.seq)
	s.typeGap(c, m, cause)
	if err := s.lose(c, m, cause); err != nil {
		s.log.Error("footage is dropped without a record of it", "camera", c.id, "seq", e.seq, "err", err)
	}
	s.release(c, e.seq, e.bytes)
	return nil
}

// typeGap notes that the archive will not get the segment of m: in the manifest of the next one, if that still is here,
// or of the next to be sealed. c.commitMu is held.
func (s *Spool) typeGap(c *camera, m segment.Manifest, cause segment.Cause) {
	from := m.Start
	if m.Gap != nil {
		from = m.Gap.From
	}
	if c.gone == nil {
		c.gone = map[uint64]bool{}
	}
	c.gone[m.Seq] = true
	next := m.Seq + 1
	for next <= c.chain.seq && c.gone[next] {
		next++
	}
	if next > c.chain.seq {
		if from.Before(c.chain.end) {
			c.chain.end = from
		}
		c.chain.lost = cause
		return
	}
	if err := s.amend(c, next, from, cause); err != nil {
		s.log.Error("footage is lost, and its gap could not be typed in the next segment", "camera", c.id,
			"seq", m.Seq, "from", m.Start, "to", m.End(), "cause", cause, "err", err)
	}
}

// amend types the gap before a segment that still is in the spool.
func (s *Spool) amend(c *camera, seq uint64, from time.Time, cause segment.Cause) error {
	path := c.path(seq, manifestSuffix)
	m, err := readManifest(c.id, path)
	if err != nil {
		return err
	}
	if m.Gap != nil && m.Gap.From.Before(from) {
		from = m.Gap.From
	}
	m.Gap = &segment.Gap{Range: segment.Range{From: from, To: m.Start}, Cause: cause}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return s.fs.writeAtomic(path, data)
}

// setAsideSegment takes a segment that is broken on this disk off the lists. Its files stay under another name.
func (s *Spool) setAsideSegment(e entry, why error) {
	c := e.cam
	c.commitMu.Lock()
	defer c.commitMu.Unlock()
	defer s.queue.done(e)
	m, err := readManifest(c.id, c.path(e.seq, manifestSuffix))
	if err == nil {
		s.typeGap(c, m, segment.CauseStoreRefused)
	}
	if err := s.setAside(c, c.path(e.seq, mediaSuffix), why); err != nil {
		s.log.Error("broken segment stays where it is", "err", fmt.Errorf("camera %s: %w", c.id, err))
		return
	}
	if err == nil {
		if err := s.lose(c, m, segment.CauseStoreRefused); err != nil {
			s.log.Error("footage is lost without a record of it", "camera", c.id, "seq", e.seq, "err", err)
		}
	}
}

// keptSegment is a segment that the archive has.
type keptSegment struct {
	cam   *camera
	seq   uint64
	bytes int64
	at    time.Time // of the receipt
}

// keptList holds shipped segments that stay while there is room, oldest receipt first.
type keptList struct {
	mu   sync.Mutex // guards list
	list []keptSegment
}

func (k *keptList) add(e keptSegment) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.list = append(k.list, e)
}

func (k *keptList) oldest() (keptSegment, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.list) == 0 {
		return keptSegment{}, false
	}
	e := k.list[0]
	k.list = k.list[1:]
	return e, true
}

// expired takes the segments whose receipt is older than limit.
func (k *keptList) expired(limit time.Time) []keptSegment {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := 0
	for n < len(k.list) && k.list[n].at.Before(limit) {
		n++
	}
	out := k.list[:n:n]
	k.list = k.list[n:]
	return out
}
