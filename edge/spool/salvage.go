package spool

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"skein/edge/media"
	"skein/recorder/fmp4"
	"skein/recorder/segment"
)

// salvage tells how an unfinished file is to be sealed.
type salvage struct {
	limit   int64 // nothing beyond this offset is trusted; -1: the whole file
	trailer bool  // the file may be written to: give it the index a finished segment has
	why     segment.Sealed
}

// salvage cuts the file at path to its last whole fragment and seals it. ok is false if there is none: an empty or torn
// beginning is removed, anything else is set aside under another name.
func (s *Spool) salvage(c *camera, path string, p part, how salvage) (m segment.Manifest, ok bool, err error) {
	r, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		s.log.Error("unfinished segment is not there any more", "camera", c.id, "file", path)
		return m, false, nil
	}
	if err != nil {
		return m, false, err
	}
	defer r.Close()
	st, err := r.Stat()
	if err != nil {
		return m, false, err
	}
	size := st.Size()
	if how.limit >= 0 {
		size = min(size, how.limit)
	}
	x, _, err := fmp4.Scan(r, size)
	if errors.Is(err, fmp4.ErrNotSegment) || (err == nil && len(x.Fragments) == 0) {
		return m, false, s.setAsideTorn(c, path, r, st.Size())
	}
	if err != nil {
		return m, false, s.setAside(c, path, err)
	}
	end := dropHollow(r, x)
	if end == 0 {
		return m, false, s.setAsideTorn(c, path, r, st.Size())
	}
	var trailer []byte
	if how.trailer {
		trailer = x.AppendTrailer(nil)
	}
	if err := s.cutFile(path, end, trailer); err != nil {
		return m, false, s.setAside(c, path, err)
	}
	h := sha256.New()
	n, err := io.Copy(h, io.NewSectionReader(r, 0, end+int64(len(trailer))))
	if err != nil || n != end+int64(len(trailer)) {
		return m, false, s.setAside(c, path, fmt.Errorf("read it back: %w", errors.Join(err, io.ErrUnexpectedEOF)))
	}
	s.used.Add(n - st.Size())
	m = segment.Manifest{
		Camera: c.id, Profile: p.profile(), Epoch: p.epoch, Start: p.start, Clock: p.clock,
		Duration: x.Duration(), Bytes: n, Codecs: codecs(x), Frames: x.Frames(), Sealed: how.why,
	}
	m.Holes = holes(x)
	h.Sum(m.SHA256[:0])
	return m, true, s.writeSealed(c, &m, path, p.cause)
}

// leastHole is the shortest silence that a segment's muxer takes for one.
const leastHole = time.Second

// holes finds the silences inside a segment by its decode times.
func holes(x *fmp4.Index) []segment.Gap {
	var list []segment.Gap
	track, end := max(0, x.Video()), int64(-1)
	for _, f := range x.Fragments {
		for _, r := range f.Runs {
			if r.Track != track {
				continue
			}
			if end >= 0 && fmp4.Duration(r.DTS-end, x.Tracks[track].TimeScale) >= leastHole {
				list = appendHole(list, x.Time(track, end), x.Time(track, r.DTS))
			}
			end = r.DTS
			for _, s := range r.Samples {
				end += int64(s.Duration)
			}
		}
	}
	return list
}

// What a power cut may leave in a file beyond its last commit: whole pages that were allotted, but never written.
const (
	pageSize       = 4096
	hollowSuspects = 64 // fragments at the end that are looked into; more are never uncommitted
	hollowZeros    = 8  // zeros up to the end of a fragment that no camera sends
)

// dropHollow cuts x before the first fragment at its end that was not written whole, which Scan does not see. It
// returns the offset after the last fragment that is left, 0 if there is none.
func dropHollow(r io.ReaderAt, x *fmp4.Index) int64 {
	for i := max(0, len(x.Fragments)-hollowSuspects); i < len(x.Fragments); i++ {
		if !written(r, x, x.Fragments[i]) {
			x.Fragments = x.Fragments[:i]
		}
	}
	if len(x.Fragments) == 0 {
		return 0
	}
	f := x.Fragments[len(x.Fragments)-1]
	return f.Offset + f.Size
}

// written reports whether the NAL units of the fragment's video add up to their samples, and the fragment does not end
// in a page of zeros.
func written(r io.ReaderAt, x *fmp4.Index, f fmp4.FragmentIndex) bool {
	end := f.Offset + f.Size
	tail := make([]byte, end-max(f.Offset, (end-1)/pageSize*pageSize))
	if _, err := r.ReadAt(tail, end-int64(len(tail))); err != nil {
		return false
	}
	if len(tail) >= hollowZeros && len(bytes.Trim(tail, "\x00")) == 0 {
		return false
	}
	for _, run := range f.Runs {
		if c := x.Tracks[run.Track].Codec; c != media.H264 && c != media.H265 {
			continue
		}
		at := run.Offset
		for _, s := range run.Samples {
			if at = nalChain(r, at, at+int64(s.Size)); at < 0 {
				return false
			}
		}
	}
	return true
}

// nalChain follows the length prefixes of NAL units from at; it returns end if they lead there, or else -1.
func nalChain(r io.ReaderAt, at, end int64) int64 {
	for at < end {
		var b [4]byte
		if _, err := r.ReadAt(b[:], at); err != nil {
			return -1
		}
		n := int64(binary.BigEndian.Uint32(b[:]))
		if at += 4 + n; n == 0 || at > end {
			return -1
		}
	}
	return at
}

// cutFile cuts the file at size, appends to it and makes it durable.
func (s *Spool) cutFile(path string, size int64, trailer []byte) error {
	f, err := s.fs.reopen(path)
	if err != nil {
		return err
	}
	err = f.Truncate(size)
	if err == nil && len(trailer) > 0 {
		_, err = f.Write(trailer)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// setAsideTorn removes a file that a crash tore before its first fragment was whole, and sets others aside.
func (s *Spool) setAsideTorn(c *camera, path string, r io.ReaderAt, size int64) error {
	head := make([]byte, 8)
	n, _ := r.ReadAt(head, 0)
	if n == len(head) && !bytes.Equal(head[4:], []byte("ftyp")) && !bytes.Equal(head, make([]byte, 8)) {
		return s.setAside(c, path, fmp4.ErrNotSegment)
	}
	s.log.Warn("unfinished segment held no whole fragment and was removed", "camera", c.id, "file", path, "bytes", size)
	s.used.Add(-size)
	return s.fs.remove(path)
}

// setAside renames a file that cannot be used, so that somebody may look at it. Nothing else is done with it.
func (s *Spool) setAside(c *camera, path string, why error) error {
	s.m.setAside.Inc()
	to := fmt.Sprintf("%s.%d%s", path, time.Now().UnixNano(), badSuffix)
	s.log.Error("file of the spool is corrupted and was set aside", "camera", c.id, "file", to, "err", why)
	if err := s.fs.rename(path, to); err != nil {
		return fmt.Errorf("set aside %s: %w", path, err)
	}
	s.bad.Add(1)
	return nil
}

// codecs names the tracks of a recovered segment as RFC 6381 asks, as far as their sample entries tell.
func codecs(x *fmp4.Index) string {
	var names []string
	for _, t := range x.Tracks {
		switch t.Codec {
		case media.H264:
			name := "avc1"
			if i := bytes.Index(t.Entry, []byte("avcC")); i >= 0 && i+8 <= len(t.Entry) {
				name = fmt.Sprintf("avc1.%02x%02x%02x", t.Entry[i+5], t.Entry[i+6], t.Entry[i+7])
			}
			names = append(names, name)
		case media.H265:
			names = append(names, "hvc1")
		case media.MJPEG:
			names = append(names, "mp4v.6C")
		case media.AAC:
			names = append(names, "mp4a.40.2")
		case media.Opus:
			names = append(names, "opus")
		case media.G711A:
			names = append(names, "alaw")
		case media.G711U:
			names = append(names, "ulaw")
		}
	}
	return strings.Join(names, ",")
}
