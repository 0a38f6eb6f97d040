package clip

import (
	"context"
	"errors"
	"fmt"
	"io"

	"skein/edge/media"
)

// Sizes of the window through which an object is read: small at first, so the first byte comes soon.
const (
	windowMin = 64 << 10
	windowMax = 1 << 20
)

// reader serves the bytes of a plan. It implements io.ReadSeeker, holds at most one object open and one window of it
// in memory, and is not safe for concurrent use. Reads fail once ctx has ended.
type reader struct {
	ctx     context.Context //nolint:containedctx // an io.Reader has no other way to learn that the client left
	plan    *plan
	objects Objects
	crc     *crcTable

	pos int64

	open   Object
	source int32 // of open
	window []byte
	start  int64 // offset of window in the object
	grow   int

	made   []byte // a generated piece
	madeAt int    // its index, -1: none
}

func newReader(ctx context.Context, p *plan, o Objects) *reader {
	return &reader{ctx: ctx, plan: p, objects: o, crc: newCRCTable(), source: -1, grow: windowMin, madeAt: -1}
}

// Close closes the object being read.
func (r *reader) Close() error {
	if r.open == nil {
		return nil
	}
	o := r.open
	r.open, r.source = nil, -1
	return o.Close()
}

// Seek implements io.Seeker.
func (r *reader) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += r.pos
	case io.SeekEnd:
		off += r.plan.Size()
	}
	if off < 0 {
		return 0, errors.New("seek before the start of a clip")
	}
	if off != r.pos {
		r.grow = windowMin
	}
	r.pos = off
	return off, nil
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if left := r.plan.header.Size() - r.pos; left > 0 {
		n, err := r.plan.header.ReadAt(p[:min(int64(len(p)), left)], r.pos)
		r.pos += int64(n)
		if errors.Is(err, io.EOF) && n > 0 {
			err = nil
		}
		return n, err
	}
	at := r.pos - r.plan.header.Size()
	if at >= r.plan.size {
		return 0, io.EOF
	}
	i, err := r.plan.pieces.find(at)
	if err != nil {
		return 0, err
	}
	c, err := r.plan.pieces.get(i)
	if err != nil {
		return 0, err
	}
	b, err := r.bytes(i, c, at-c.out)
	if err != nil {
		return 0, err
	}
	n := copy(p, b)
	r.pos += int64(n)
	return n, nil
}

// bytes returns some bytes of piece number i, c, from offset at on.
func (r *reader) bytes(i int, c piece, at int64) ([]byte, error) {
	if c.kind == kindCopy {
		return r.view(c.source, c.off+at, c.size-at)
	}
	if r.madeAt != i {
		if err := r.make(c); err != nil {
			return nil, err
		}
		r.madeAt = i
	}
	return r.made[at:], nil
}

// make generates piece c into r.made.
func (r *reader) make(c piece) error {
	t := r.plan.audio[c.track]
	r.made, r.madeAt = r.made[:0], -1
	switch c.kind {
	case kindRepeat:
		for range c.n {
			r.made = append(r.made, t.silent...)
		}
	case kindSilence:
		flacBlocks(c.first, int(c.n), flacSilence, func(first int64, n int) {
			r.made = r.crc.appendFLAC(r.made, first, nil, n, t.in.Channels)
		})
	case kindFLAC:
		raw, err := r.read(c.source, c.off, int64(c.n)*int64(t.in.Channels))
		if err != nil {
			return err
		}
		r.made = appendSound(r.crc, r.made, t.in.Codec, raw, c.first, t.in.Channels)
	}
	return nil
}

// appendSound appends G.711 bytes as FLAC frames.
func appendSound(crc *crcTable, p []byte, codec media.Codec, raw []byte, first int64, channels int) []byte {
	pcm := decodeG711(codec, raw)
	flacBlocks(first, len(raw)/channels, flacBlock, func(first int64, n int) {
		k := 2 * n * channels
		p = crc.appendFLAC(p, first, pcm[:k], n, channels)
		pcm = pcm[k:]
	})
	return p
}

// read returns exactly n bytes of an object.
func (r *reader) read(src int32, off, n int64) ([]byte, error) {
	var all []byte
	for int64(len(all)) < n {
		b, err := r.view(src, off+int64(len(all)), n-int64(len(all)))
		if err != nil {
			return nil, err
		}
		all = append(all, b...)
	}
	return all, nil
}

// view returns between 1 and n bytes of an object, valid until the next call.
func (r *reader) view(src int32, off, n int64) ([]byte, error) {
	s := &r.plan.sources[src]
	if r.source != src {
		if err := r.Close(); err != nil {
			return nil, fmt.Errorf("close segment: %w", err)
		}
		o, err := r.objects.Open(r.ctx, s.shard, s.key)
		if err != nil {
			return nil, fmt.Errorf("open segment %s on %s: %w", s.key, s.shard, err)
		}
		r.open, r.source, r.window = o, src, r.window[:0]
	}
	if off < r.start || off >= r.start+int64(len(r.window)) {
		want := int(min(int64(r.grow), s.end-off))
		if cap(r.window) < want {
			r.window = make([]byte, r.grow)
		}
		r.window = r.window[:want]
		if got, err := r.open.ReadAt(r.window, off); got < want {
			r.window = r.window[:0]
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("read segment %s on %s at byte %d: %w", s.key, s.shard, off, err)
		}
		r.start = off
		r.grow = min(2*r.grow, windowMax)
	}
	b := r.window[off-r.start:]
	return b[:min(int64(len(b)), n)], nil
}
