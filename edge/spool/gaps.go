package spool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"skein/recorder/segment"
)

// GapShipper is a Shipper that takes gap documents too. ShipGap is idempotent: a later document with the same camera
// and From replaces the earlier one. A *RefusedError ends the attempts.
type GapShipper interface {
	ShipGap(ctx context.Context, d segment.GapDoc) error
}

const (
	gapAfter     = 5 * time.Second // beyond Silence: then a camera that delivers nothing is told about
	gapSplit     = time.Minute     // a gap whose cause changes later than this becomes two
	gapTellMin   = time.Minute     // between words about a gap that goes on
	gapTellMax   = 10 * time.Minute
	gapSuffix    = ".gap"
	lostSuffix   = ".lost"
	gapsTogether = 64 // documents of one camera shipped in one go
	day          = 24 * time.Hour
)

// lostSegment is a sealed segment that was given up. Its manifest stays as <seq>.<cause>.lost until the archive knows.
type lostSegment struct {
	m     segment.Manifest
	cause segment.Cause
	told  bool
}

// gapFile is a gap document that the archive does not have in this version, or that may change.
type gapFile struct {
	doc  segment.GapDoc
	told time.Time // Noted of the version that the archive has
}

func (l lostSegment) name() string { return sealedName(l.m.Seq) + "." + string(l.cause) + lostSuffix }

// parseLost is the inverse of lostSegment.name.
func parseLost(name string) (seq uint64, cause segment.Cause, ok bool) {
	s, ok := strings.CutSuffix(name, lostSuffix)
	n, c, found := strings.Cut(s, ".")
	if !ok || !found || !slices.Contains(segment.Causes(), segment.Cause(c)) {
		return 0, "", false
	}
	seq, ok = parseSealed(n+mediaSuffix, mediaSuffix)
	return seq, segment.Cause(c), ok
}

func gapName(from time.Time) string { return strconv.FormatInt(from.UnixMilli(), 10) + gapSuffix }

// lose keeps the manifest of a segment that is given up as the record of its loss; this takes no space, which there may
// be none of. The caller removes the media afterwards. c.commitMu is held.
func (s *Spool) lose(c *camera, m segment.Manifest, cause segment.Cause) error {
	l := lostSegment{m: m, cause: cause}
	if err := s.fs.rename(c.path(m.Seq, manifestSuffix), filepath.Join(c.dir, l.name())); err != nil {
		return fmt.Errorf("note the loss of segment %d: %w", m.Seq, err)
	}
	if err := s.fs.syncDir(c.dir); err != nil {
		return err
	}
	if c.lost == nil {
		c.lost = map[uint64]*lostSegment{}
	}
	c.lost[m.Seq] = &l
	wake(s.gapsWake)
	return nil
}

// tellGaps opens, continues and closes the documents of cameras from which nothing comes.
func (s *Spool) tellGaps(now time.Time) {
	for _, c := range s.all() {
		c.commitMu.Lock()
		s.tellGap(c, now)
		c.commitMu.Unlock()
	}
}

// tellGap does so for one camera. c.commitMu is held.
func (s *Spool) tellGap(c *camera, now time.Time) {
	c.mu.Lock()
	recording, fresh, since := c.recording, c.fresh, c.since
	stuck := c.stuck
	back := time.Time{}
	switch {
	case c.current != nil:
		back = c.current.part.start
	case len(c.closed) > 0:
		back = c.closed[0].part.start
	}
	c.mu.Unlock()
	from := c.footageEnd
	if fresh {
		from = later(from, since)
	}
	open := c.gaps[c.openGap]
	switch {
	case open != nil && !back.IsZero():
		s.closeGap(c, open, back, now)
	case open != nil && !recording:
		s.closeGap(c, open, now, now)
	case open != nil:
		s.continueGap(c, open, now, stuck)
	case back.IsZero() && recording && !from.IsZero() && now.Sub(from) >= s.cfg.Silence+gapAfter:
		if fresh {
			s.tellDown(c, from, now)
		}
		s.openGapAt(c, from, now, stuck)
	}
}

// tellDown tells that no process ran between the footage of the one before and now.
func (s *Spool) tellDown(c *camera, until, now time.Time) {
	from := c.endBefore
	if from.IsZero() || s.aliveThen.IsZero() {
		return
	}
	if s.aliveThen.Sub(from) > cutOff { // nothing came already before that
		from = s.aliveThen
	}
	if until.Sub(from) > segment.Join {
		s.writeGap(c, segment.GapDoc{
			Camera: c.id, Gap: segment.Gap{Range: segment.Range{From: from, To: until}, Cause: segment.CauseEdgeDown},
			Noted: now.UTC(),
		})
	}
}

func (s *Spool) openGapAt(c *camera, from, now time.Time, stuck segment.Cause) {
	d := segment.GapDoc{Camera: c.id, Gap: segment.Gap{
		Range: segment.Range{From: from.UTC().Truncate(time.Millisecond), To: now.UTC()}, Cause: s.causeNow(c.id, stuck),
	}, Noted: now.UTC(), Due: now.UTC().Add(gapTellMin)}
	c.openGap = d.From.UnixMilli()
	s.writeGap(c, d)
}

// continueGap tells again about a gap that goes on, when that is due or its cause has changed.
func (s *Spool) continueGap(c *camera, g *gapFile, now time.Time, stuck segment.Cause) {
	cause := s.causeNow(c.id, stuck)
	if cause == segment.CauseUnknown {
		cause = g.doc.Cause
	}
	switch {
	case cause != g.doc.Cause && now.Sub(g.doc.From) >= gapSplit:
		s.closeGap(c, g, now, now)
		s.openGapAt(c, now, now, stuck)
		return
	case cause == g.doc.Cause && now.Before(g.doc.Due):
		return
	}
	d := g.doc
	d.Cause, d.To, d.Noted = cause, now.UTC(), now.UTC()
	d.Due = d.To.Add(min(max(now.Sub(d.From)/4, gapTellMin), gapTellMax))
	s.writeGap(c, d)
}

func (s *Spool) closeGap(c *camera, g *gapFile, to, now time.Time) {
	d := g.doc
	d.To, d.Noted, d.Due = later(d.From, to).UTC(), now.UTC(), time.Time{}
	c.openGap = 0
	s.writeGap(c, d)
}

// causeNow tells why nothing of the camera is recorded now: a disk that takes nothing, or what the edge knows.
func (s *Spool) causeNow(camera string, stuck segment.Cause) segment.Cause {
	if stuck != "" {
		return stuck
	}
	if s.deps.GapCause == nil {
		return segment.CauseUnknown
	}
	return s.deps.GapCause(camera)
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// writeGap keeps a document on disk until the archive has it. A disk that takes none costs it only at a crash.
func (s *Spool) writeGap(c *camera, d segment.GapDoc) {
	key := d.From.UnixMilli()
	if c.gaps == nil {
		c.gaps = map[int64]*gapFile{}
	}
	g := c.gaps[key]
	if g == nil {
		g = &gapFile{}
		c.gaps[key] = g
	}
	g.doc = d
	data, err := json.Marshal(d)
	if err == nil {
		err = s.fs.writeAtomic(filepath.Join(c.dir, gapName(d.From)), data)
	}
	if err != nil {
		s.log.Warn("gap could not be written down; it is kept in memory", "camera", c.id, "from", d.From, "err", err)
	}
	wake(s.gapsWake)
}

// gapLane ships what is not footage: why there is none.
func (s *Spool) gapLane(ctx context.Context, shipper GapShipper) {
	pause := s.cfg.Ship.RetryMin
	for {
		wait := gapTellMax
		if s.shipGaps(ctx, shipper) {
			pause = s.cfg.Ship.RetryMin
		} else {
			wait = pause
			pause = min(2*pause, s.cfg.Ship.RetryMax)
		}
		if !sleepOrWake(ctx, wait, s.gapsWake) {
			return
		}
	}
}

// shipGaps ships what there is; false if the archive did not take all.
func (s *Spool) shipGaps(ctx context.Context, shipper GapShipper) bool {
	all := true
	for _, c := range s.all() {
	camera:
		for {
			docs := c.gapsToTell()
			for _, d := range docs {
				err := shipper.ShipGap(ctx, d)
				if err != nil && !isRefused(err) {
					s.noteShipError(err)
					return false
				}
				if isForbidden(err) { // whose camera it is may change; the others' gaps do not wait for that
					s.noteShipError(err)
					all = false
					break camera
				}
				if err != nil {
					s.log.Error("archive refuses a gap", "camera", c.id, "from", d.From, "to", d.To, "err", err)
				}
				s.gapTold(c, d)
			}
			if len(docs) < gapsTogether {
				break
			}
		}
	}
	return all
}

// gapsToTell returns documents that the archive does not have, at most gapsTogether.
func (c *camera) gapsToTell() []segment.GapDoc {
	c.commitMu.Lock()
	defer c.commitMu.Unlock()
	var out []segment.GapDoc
	for _, g := range c.gaps {
		if !g.told.Equal(g.doc.Noted) {
			out = append(out, g.doc)
		}
	}
	var seqs []uint64
	for seq, l := range c.lost {
		if !l.told {
			seqs = append(seqs, seq)
		}
	}
	slices.Sort(seqs)
	for _, seq := range seqs {
		out = appendLost(out, *c.lost[seq])
	}
	return out[:min(len(out), gapsTogether)]
}

// appendLost adds a lost segment, to the last document if it continues that. No run goes on beyond the day (UTC) of its
// beginning: that day's documents tell of all that was lost on it.
func appendLost(out []segment.GapDoc, l lostSegment) []segment.GapDoc {
	m := l.m
	if n := len(out); n > 0 {
		d := &out[n-1]
		if d.Lost != nil && d.Lost.Last+1 == m.Seq && d.Cause == l.cause && m.Start.Sub(d.To).Abs() <= segment.Join &&
			m.Start.UTC().Truncate(day).Equal(d.From.UTC().Truncate(day)) {
			d.To = later(d.To, m.End())
			d.Noted = later(d.Noted, m.End()) // a shorter run of the same beginning is the older word
			d.Lost.Last, d.Lost.SHA256 = m.Seq, m.SHA256
			d.Lost.Bytes += m.Bytes
			d.Lost.Frames += m.Frames
			return out
		}
	}
	return append(out, segment.GapDoc{
		Camera: m.Camera, Gap: segment.Gap{Range: m.Range(), Cause: l.cause}, Noted: m.End(),
		Lost: &segment.Lost{
			First: m.Seq, Last: m.Seq, Prev: m.Prev, SHA256: m.SHA256, Bytes: m.Bytes, Frames: m.Frames,
		},
	})
}

// gapTold notes that the archive has a document, and forgets what cannot change any more.
func (s *Spool) gapTold(c *camera, d segment.GapDoc) {
	c.commitMu.Lock()
	defer c.commitMu.Unlock()
	if d.Lost != nil {
		for seq := d.Lost.First; seq <= d.Lost.Last; seq++ {
			if l := c.lost[seq]; l != nil {
				l.told = true
			}
		}
		s.forgetLost(c)
		return
	}
	key := d.From.UnixMilli()
	g := c.gaps[key]
	if g == nil || !g.doc.Noted.Equal(d.Noted) {
		return
	}
	g.told = d.Noted
	if d.Due.IsZero() {
		delete(c.gaps, key)
		if err := s.fs.remove(filepath.Join(c.dir, gapName(d.From))); err != nil {
			s.log.Warn("gap document could not be removed", "camera", c.id, "err", err)
		}
	}
}

// forgetLost removes the manifests of lost segments that the archive knows of, but for the chain's head. c.commitMu is
// held.
func (s *Spool) forgetLost(c *camera) {
	for seq, l := range c.lost {
		if !l.told || seq == c.chain.seq {
			continue
		}
		if err := s.fs.remove(filepath.Join(c.dir, l.name())); err != nil {
			s.log.Warn("manifest of a lost segment could not be removed", "camera", c.id, "seq", seq, "err", err)
			continue
		}
		delete(c.lost, seq)
	}
}

// gapsWaiting returns how many documents and losses the archive does not know yet.
func (s *Spool) gapsWaiting() int {
	n := 0
	for _, c := range s.all() {
		c.commitMu.Lock()
		for _, g := range c.gaps {
			if !g.told.Equal(g.doc.Noted) {
				n++
			}
		}
		for _, l := range c.lost {
			if !l.told {
				n++
			}
		}
		c.commitMu.Unlock()
	}
	return n
}

// parseGapFile reads a gap document of the camera.
func parseGapFile(camera string, data []byte) (segment.GapDoc, error) {
	var d segment.GapDoc
	if len(data) > maxManifest {
		return d, errors.New("gap document is too long")
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return d, fmt.Errorf("gap document: %w", err)
	}
	if d.Camera != camera {
		return d, fmt.Errorf("gap document of camera %.70q in the folder of %q", d.Camera, camera)
	}
	return d, d.Validate()
}
