package spool

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"skein/recorder/fmp4"
	"skein/recorder/segment"
)

// recoverParallel bounds the camera folders recovered at the same time.
const recoverParallel = 4

// recover brings the folder into the state in which a running spool leaves it.
func (s *Spool) recover() error {
	root := filepath.Join(s.cfg.Dir, camerasDir)
	dirs, err := os.ReadDir(root)
	if err != nil {
		return fmt.Errorf("read the spool: %w", err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex // guards errs
	var errs []error
	slots := make(chan struct{}, recoverParallel)
	for _, d := range dirs {
		if !d.IsDir() || !validCamera(d.Name()) {
			s.log.Warn("spool holds something that is not a camera's folder; left alone", "name", d.Name())
			continue
		}
		c, err := s.newCamera(d.Name())
		if err != nil {
			return err
		}
		s.cameras[c.id] = c
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := s.recoverCamera(c); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("recover camera %s: %w", c.id, err))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// folder is what a camera's folder holds.
type folder struct {
	manifests map[uint64]segment.Manifest
	media     map[uint64]int64
	receipts  map[uint64]bool
	lost      map[uint64]*lostSegment
	parts     []part
	spoiled   []segment.Manifest // of sealed segments whose media this disk has spoiled
}

func (s *Spool) recoverCamera(c *camera) error {
	c.commitMu.Lock()
	defer c.commitMu.Unlock()
	f, err := s.readFolder(c)
	if err != nil {
		return err
	}
	if err := s.pair(c, f); err != nil {
		return err
	}
	if err := s.recoverLost(c, f); err != nil {
		return err
	}
	s.recoverHead(c, f)
	for _, m := range f.spoiled {
		s.typeGap(c, m, segment.CauseStoreRefused)
	}
	slices.SortFunc(f.parts, func(a, b part) int { return cmp.Compare(a.number, b.number) })
	if f.parts, err = s.twice(c, f.parts); err != nil {
		return err
	}
	for _, p := range f.parts {
		if p.boot != nil || len(c.held) > 0 {
			c.number = max(c.number, p.number)
			c.held = append(c.held, heldFile{part: p, why: segment.SealedRecovered, limit: -1})
			continue
		}
		m, ok, err := s.recoverPart(c, f, p)
		if err != nil {
			return err
		}
		c.number = max(c.number, p.number)
		if ok {
			f.manifests[m.Seq], f.media[m.Seq] = m, m.Bytes
		}
	}
	list, err := s.sealHeld(c)
	if err != nil {
		return err
	}
	for _, m := range list {
		f.manifests[m.Seq], f.media[m.Seq] = m, m.Bytes
	}
	c.waiting = len(c.held) > 0
	if len(f.parts) > 0 {
		if err := s.fs.syncDir(c.dir); err != nil {
			return err
		}
	}
	c.endBefore = c.footageEnd
	return s.enlist(c, f)
}

// recoverLost takes back segments whose media a crash saved from being dropped.
func (s *Spool) recoverLost(c *camera, f *folder) error {
	c.gone = map[uint64]bool{}
	for seq, l := range f.lost {
		if size, ok := f.media[seq]; ok && size == l.m.Bytes {
			delete(f.lost, seq)
			f.manifests[seq] = l.m
			if err := s.fs.rename(filepath.Join(c.dir, l.name()), c.path(seq, manifestSuffix)); err != nil {
				return err
			}
			continue
		}
		c.gone[seq] = true
	}
	c.lost = f.lost
	if len(f.lost) > 0 {
		wake(s.gapsWake)
	}
	return nil
}

// recoverHead finds the end of the camera's chain. Where its last segments were lost, the gap before what comes next
// begins with them.
func (s *Spool) recoverHead(c *camera, f *folder) {
	var head uint64
	for seq, m := range f.manifests {
		head = max(head, seq)
		c.footageEnd = later(c.footageEnd, m.End())
	}
	for seq, l := range f.lost {
		head = max(head, seq)
		c.footageEnd = later(c.footageEnd, l.m.End())
	}
	if m, ok := f.manifests[head]; ok {
		c.chain.advance(m)
		return
	}
	if f.lost[head] == nil {
		return
	}
	c.chain.advance(f.lost[head].m)
	for seq := head; f.lost[seq] != nil; seq-- {
		l := f.lost[seq]
		c.chain.end, c.chain.lost = l.m.Start, l.cause
		if l.m.Gap != nil {
			c.chain.end = l.m.Gap.From
		}
	}
}

// recoverGap takes a gap document of the process before. One that went on ended, as far as is known, with that process.
func (s *Spool) recoverGap(c *camera, path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	d, err := parseGapFile(c.id, data)
	if err != nil || filepath.Base(path) != gapName(d.From) {
		return s.setAside(c, path, errors.Join(err, errors.New("it is no gap document of this camera")))
	}
	if !d.Due.IsZero() {
		d.To, d.Due = later(d.To, s.aliveThen), time.Time{}
		d.Noted = later(d.Noted, d.To)
	}
	if c.gaps == nil {
		c.gaps = map[int64]*gapFile{}
	}
	c.gaps[d.From.UnixMilli()] = &gapFile{doc: d}
	wake(s.gapsWake)
	return nil
}

// readFolder lists the camera's folder, removes what a crash left half written and sets aside what is unreadable.
func (s *Spool) readFolder(c *camera) (*folder, error) {
	f := &folder{manifests: map[uint64]segment.Manifest{}, media: map[uint64]int64{}, receipts: map[uint64]bool{},
		lost: map[uint64]*lostSegment{},
	}
	list, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		name := e.Name()
		path := filepath.Join(c.dir, name)
		var size int64
		if info, err := e.Info(); err == nil {
			size = info.Size()
		}
		if seq, ok := parseSealed(name, mediaSuffix); ok {
			f.media[seq] = size
			s.used.Add(size)
			continue
		}
		if seq, ok := parseSealed(name, receiptSuffix); ok {
			f.receipts[seq] = true
			continue
		}
		if seq, ok := parseSealed(name, manifestSuffix); ok {
			m, err := readManifest(c.id, path)
			if err == nil && m.Seq != seq {
				err = fmt.Errorf("manifest is of segment %d", m.Seq)
			}
			if err == nil {
				f.manifests[seq] = m
			} else if err := s.setAside(c, path, err); err != nil {
				return nil, err
			}
			continue
		}
		if err := s.readOther(c, f, name, size); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (s *Spool) readOther(c *camera, f *folder, name string, size int64) error {
	path := filepath.Join(c.dir, name)
	switch {
	case strings.HasSuffix(name, tmpSuffix):
		return s.fs.remove(path)
	case strings.HasSuffix(name, lostSuffix):
		seq, cause, ok := parseLost(name)
		m, err := readManifest(c.id, path)
		if !ok || err != nil || m.Seq != seq {
			return s.setAside(c, path, errors.Join(err, errors.New("it is no record of a lost segment")))
		}
		f.lost[seq] = &lostSegment{m: m, cause: cause}
	case strings.HasSuffix(name, gapSuffix):
		return s.recoverGap(c, path)
	case strings.HasSuffix(name, badSuffix):
		s.bad.Add(1)
		s.used.Add(size)
	case strings.HasSuffix(name, partSuffix):
		s.used.Add(size)
		p, err := parsePart(name)
		if err != nil {
			return s.setAside(c, path, err)
		}
		f.parts = append(f.parts, p)
	default:
		s.log.Warn("spool holds a file it does not know; left alone", "camera", c.id, "name", name)
	}
	return nil
}

// pair checks that sealed segments and manifests belong together.
func (s *Spool) pair(c *camera, f *folder) error {
	for seq, size := range f.media {
		m, ok := f.manifests[seq]
		path := c.path(seq, mediaSuffix)
		switch {
		case ok && m.Bytes == size:
		case ok:
			delete(f.media, seq)
			err := fmt.Errorf("it has %d bytes, its manifest says %d", size, m.Bytes)
			if err := s.setAside(c, path, err); err != nil {
				return err
			}
			l := lostSegment{m: m, cause: segment.CauseStoreRefused}
			if err := s.fs.rename(c.path(seq, manifestSuffix), filepath.Join(c.dir, l.name())); err != nil {
				return fmt.Errorf("note the loss of segment %d: %w", seq, err)
			}
			delete(f.manifests, seq)
			f.lost[seq], f.spoiled = &l, append(f.spoiled, m)
		default: // the manifest was lost or set aside: the media tells most of it
			delete(f.media, seq)
			p, err := partOf(path, seq)
			if err != nil {
				if err := s.setAside(c, path, err); err != nil {
					return err
				}
				continue
			}
			if err := s.fs.rename(path, filepath.Join(c.dir, p.name())); err != nil {
				return err
			}
			f.parts = append(f.parts, p)
		}
	}
	return nil
}

// partOf tells of a segment without a manifest what its media does.
func partOf(path string, seq uint64) (part, error) {
	r, err := os.Open(path)
	if err != nil {
		return part{}, err
	}
	defer r.Close()
	st, err := r.Stat()
	if err != nil {
		return part{}, err
	}
	x, _, err := fmp4.Scan(r, st.Size())
	if err != nil {
		return part{}, err
	}
	if len(x.Fragments) == 0 || x.Start.UnixMilli() < 0 {
		return part{}, errors.New("no whole fragment and no manifest")
	}
	start := x.Start.UTC().Truncate(time.Millisecond)
	return part{number: int64(min(seq, 1<<40)), start: start}, nil // bounded
}

// recoverPart seals an unfinished file. If it is the one whose sealing a crash interrupted, that is completed.
func (s *Spool) recoverPart(c *camera, f *folder, p part) (segment.Manifest, bool, error) {
	path := filepath.Join(c.dir, p.name())
	if head, ok := f.manifests[c.chain.seq]; ok && head.Start.Equal(p.start) {
		if _, has := f.media[head.Seq]; !has && checkLocal(path, head) == nil {
			return head, true, s.fs.rename(path, c.path(head.Seq, mediaSuffix))
		}
	}
	m, ok, err := s.salvage(c, path, p, salvage{limit: -1, trailer: true, why: segment.SealedRecovered})
	if err == nil && ok {
		s.m.sealed(m.Sealed)
		s.log.Info("unfinished segment recovered", "camera", c.id, "seq", m.Seq, "start", m.Start,
			"duration", m.Duration, "bytes", m.Bytes)
	}
	return m, ok, err
}

// enlist hands what is not shipped to the backlog, and removes manifests nobody needs any more.
func (s *Spool) enlist(c *camera, f *folder) error {
	c.mu.Lock()
	c.head = c.chain.seq
	_, has := f.media[c.head]
	c.headDone = c.head != 0 && !has
	c.mu.Unlock()
	for seq, m := range f.manifests {
		_, has := f.media[seq]
		switch {
		case has && f.receipts[seq]:
			s.kept.add(keptSegment{cam: c, seq: seq, bytes: m.Bytes, at: s.opened})
		case has:
			s.queue.addBacklog(entry{cam: c, seq: seq, start: m.Start.UnixMilli(), bytes: m.Bytes, sealed: s.opened})
		case seq != c.chain.seq:
			if err := s.fs.remove(c.path(seq, manifestSuffix)); err != nil {
				return err
			}
		}
	}
	for seq := range f.receipts {
		if _, has := f.media[seq]; !has {
			if err := s.fs.remove(c.path(seq, receiptSuffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}
