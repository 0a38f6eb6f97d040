package spool

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"skein/recorder/fmp4"
	"skein/recorder/segment"
)

// heldFile is a finished segment that was recorded under a clock nobody can believe. It is not part of the chain, and
// not shipped, until the time is known and it gets its true label.
type heldFile struct {
	part  part
	why   segment.Sealed
	limit int64 // nothing beyond is trusted, -1: all is
}

// placeAfter is the space left before footage whose time will never be known: it makes the gap before it visible.
const placeAfter = time.Second

// hold keeps a closed file back. c.commitMu is held.
func (s *Spool) hold(c *camera, f *segmentFile) {
	h := heldFile{part: f.part, why: f.sealed, limit: -1}
	if err := f.commit(); err != nil {
		s.m.syncErrors.Inc()
		h.why = segment.SealedError
		h.limit, _ = f.rescue()
		s.log.Error("segment is kept up to what is known to be durable", "camera", c.id, "file", f.path, "err", err)
	}
	_ = f.dst.Close()
	c.held = append(c.held, h)
	s.log.Warn("the clock cannot be believed: a segment waits for the time to be known", "camera", c.id,
		"label", f.part.start, "waiting", len(c.held))
}

// releaseHeld labels what was held back and seals it, in order, once the time is known. It stops at the first failure
// and is called again. c.commitMu is held.
func (s *Spool) releaseHeld(c *camera) ([]segment.Manifest, error) {
	var done []segment.Manifest
	slices.SortFunc(c.held, func(a, b heldFile) int { return cmp.Compare(a.part.number, b.part.number) })
	for len(c.held) > 0 {
		h := c.held[0]
		p, unknown := s.label(c, h.part)
		path, err := s.relabel(c, h, p)
		if err != nil {
			return done, err
		}
		if path != "" {
			m, ok, err := s.salvage(c, path, p, salvage{limit: -1, trailer: true, why: h.why})
			if err != nil {
				return done, err
			}
			if ok {
				done = append(done, m)
				s.log.Info("segment got its time", "camera", c.id, "seq", m.Seq, "was", h.part.start, "is", m.Start,
					"guessed", unknown)
			}
		}
		if unknown { // where it ends is no better known
			c.chain.lost = segment.CauseClock
			c.foreign, c.foreignStart = *h.part.boot, p.start
		}
		c.held = c.held[1:]
	}
	c.held = nil
	return done, nil
}

// label returns the part with its true start. If only the order is known (the boot ended before the time was known),
// it is placed behind all footage before it, at the distance it had from others of its boot, under a typed gap.
func (s *Spool) label(c *camera, p part) (labelled part, unknown bool) {
	b := p.boot
	if b == nil {
		return p, false
	}
	q := p
	q.boot = nil
	if wall, ok := s.wallOf(*b); ok {
		q.start = wall.UTC().Truncate(time.Millisecond)
		return q, false
	}
	q.cause = segment.CauseClock
	switch {
	case c.foreign.id == b.id && b.at > c.foreign.at:
		q.start = later(c.foreignStart.Add(b.at-c.foreign.at), c.chain.end)
	case c.chain.end.IsZero(): // the first footage of this camera ever
		q.start = s.now().Add(-24 * time.Hour)
	default:
		q.start = c.footageEnd.Add(placeAfter)
	}
	q.start = q.start.UTC().Truncate(time.Millisecond)
	return q, true
}

// relabel writes the held file anew under its true label, and removes the old one; "" if it holds nothing. A crash on
// the way leaves the old file, or both: recovery takes the new one.
func (s *Spool) relabel(c *camera, h heldFile, p part) (string, error) {
	from, to := filepath.Join(c.dir, h.part.name()), filepath.Join(c.dir, p.name())
	if from == to {
		return to, nil
	}
	r, err := os.Open(from)
	if err != nil {
		return "", fmt.Errorf("label a segment of camera %s: %w", c.id, err)
	}
	defer r.Close()
	st, err := r.Stat()
	if err != nil {
		return "", err
	}
	size := st.Size()
	if h.limit >= 0 {
		size = min(size, h.limit)
	}
	x, end, err := fmp4.Scan(r, size)
	if errors.Is(err, fmp4.ErrNotSegment) || (err == nil && len(x.Fragments) == 0) {
		return "", s.setAsideTorn(c, from, r, st.Size())
	}
	if err != nil {
		return "", err
	}
	if err := s.copyPatched(to, io.NewSectionReader(r, 0, end), fmp4.Retime(x, p.start)); err != nil {
		return "", err
	}
	if err := s.fs.syncDir(c.dir); err != nil {
		return "", err
	}
	s.used.Add(end - st.Size())
	return to, s.fs.remove(from)
}

// copyPatched copies a file, with patches, under another name that appears when all of it is durable.
func (s *Spool) copyPatched(to string, r io.Reader, patches []fmp4.Patch) (err error) {
	tmp := to + tmpSuffix
	if err := s.fs.remove(tmp); err != nil {
		return err
	}
	w, err := s.fs.create(tmp)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, &patchedReader{r: r, patches: patches})
	if err == nil {
		err = w.Sync()
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return errors.Join(fmt.Errorf("label %s: %w", filepath.Base(to), err), s.fs.remove(tmp))
	}
	return s.fs.rename(tmp, to)
}

// patchedReader reads a file with patches applied; they are in order.
type patchedReader struct {
	r       io.Reader
	at      int64
	patches []fmp4.Patch
}

// Read implements io.Reader.
func (p *patchedReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	for len(p.patches) > 0 {
		q := p.patches[0]
		if q.At >= p.at+int64(n) {
			break
		}
		for i, v := range q.Bytes {
			if k := q.At + int64(i) - p.at; k >= 0 && k < int64(n) {
				b[k] = v
			}
		}
		if q.At+int64(len(q.Bytes)) > p.at+int64(n) {
			break // its rest is in the next bytes
		}
		p.patches = p.patches[1:]
	}
	p.at += int64(n)
	return n, err
}

// bootField is what the name of a held file tells beside that of others: "~<boot>~<ms since then>".
func (b *bootTime) field() string {
	if b == nil {
		return ""
	}
	return fmt.Sprintf("~%s~%d", b.id, b.at.Milliseconds())
}

// isHexID reports whether id is a boot's.
func isHexID(id string) bool {
	return len(id) == bootDigits && !slices.ContainsFunc([]byte(id), func(c byte) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'f')
	})
}

// twice removes held files that were labelled before a crash came: the labelled file has the same number.
func (s *Spool) twice(c *camera, parts []part) ([]part, error) {
	labelled := map[int64]bool{}
	for _, p := range parts {
		if p.boot == nil {
			labelled[p.number] = true
		}
	}
	var out []part
	for _, p := range parts {
		if p.boot == nil || !labelled[p.number] {
			out = append(out, p)
			continue
		}
		path := filepath.Join(c.dir, p.name())
		if st, err := os.Stat(path); err == nil {
			s.used.Add(-st.Size())
		}
		if err := s.fs.remove(path); err != nil {
			return nil, err
		}
	}
	return out, nil
}
