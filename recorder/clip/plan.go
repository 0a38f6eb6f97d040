package clip

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"skein/edge/media"
	"skein/recorder/fmp4"
	"skein/recorder/fmp4/spill"
	"skein/recorder/segment"
)

// piece is a stretch of a clip's media data and where it comes from.
type piece struct {
	out    int64 // offset in the media data
	size   int64
	off    int64 // kindCopy, kindFLAC: offset in the object; kindSilence: unused
	first  int64 // kindFLAC, kindSilence: number of the first sample
	n      int32 // kindFLAC, kindSilence: samples a channel; kindRepeat: frames
	source int32 // index into plan.sources
	track  int16 // index into plan.audio
	kind   pieceKind
}

type pieceKind uint8

const (
	kindCopy    pieceKind = iota // bytes of the object
	kindFLAC                     // G.711 of the object as FLAC
	kindSilence                  // silence as FLAC
	kindRepeat                   // a silent frame, repeated
)

// source is a segment that pieces come from.
type source struct {
	shard, key string
	end        int64 // no byte from here on is needed
}

// plan is the finished layout of a clip.
type plan struct {
	from, to time.Time // what is shown
	header   head
	size     int64 // of the media data
	pieces   pieces
	sources  []source
	audio    []*audioTrack
	spill    *spill.File // of header and pieces; nil: in memory
}

// head is what comes before the media data.
type head interface {
	io.ReaderAt
	Size() int64
}

func (p *plan) setHeader(b []byte) { p.header = bytes.NewReader(b) }

// Size of the whole file.
func (p *plan) Size() int64 { return p.header.Size() + p.size }

// Close gives back what the plan keeps on disk.
func (p *plan) Close() error { return p.spill.Close() }

// tableMemory is how much of a plan's tables may stay in memory: clips of an hour do not need a disk.
const tableMemory = 4 << 20

// planner lays out a clip segment by segment.
type planner struct {
	plan
	within   segment.Range
	original bool   // sound goes in as it was recorded
	scale    uint32 // ticks per second of movie and video
	begun    bool   // plan.from is known
	movie    fmp4.Movie
	video    []*videoTrack
}

// errEmpty: segments were found, but no sample of them lies in the range.
var errEmpty = errors.New("no sample in range")

// layout plans the clip of the range from its records. original asks for the sound as it was recorded.
func (l *library) layout(
	ctx context.Context, camera string, within segment.Range, recs []segment.Record, original bool,
) (*plan, error) {
	p := planner{within: within, original: original, scale: 90000}
	p.spill = spill.New(l.tempDir, l.memory)
	p.pieces.table = spill.NewTable(p.spill)
	if within.Duration() > 12*time.Hour {
		p.scale = 45000 // a gap of 24 hours must fit a 32-bit duration
	}
	err := l.each(ctx, camera, recs, func(s slice) error {
		p.sources = append(p.sources, source{shard: s.rec.Shard, key: s.rec.Key(camera)})
		p.take(s)
		return nil
	})
	if err == nil && !p.finish() {
		err = errEmpty
	}
	if err = errors.Join(err, p.spill.Err()); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return &p.plan, nil
}

// take adds what one segment contributes.
func (p *planner) take(s slice) {
	var v *videoCut
	if i := s.x.Video(); i >= 0 {
		v = p.cutVideo(s, i)
		if v == nil && !p.begun {
			return // sound before the first picture
		}
	}
	number := 0 // of the video sample within the segment
	for _, f := range s.x.Fragments {
		for _, r := range f.Runs {
			if !s.x.Tracks[r.Track].Codec.IsVideo() {
				continue
			}
			if v != nil && r.Track == v.index {
				p.addVideo(v, r, number)
				number += len(r.Samples)
			}
		}
		for _, r := range f.Runs {
			if !s.x.Tracks[r.Track].Codec.IsVideo() {
				p.addAudio(s, r)
			}
		}
	}
	if v != nil {
		end := s.x.Start.Add(s.x.Duration())
		if end.After(p.within.To) {
			end = p.within.To
		}
		if !s.limit.IsZero() && end.After(s.limit) {
			end = s.limit
		}
		v.t.end = end
		p.to = end
	}
}

// copyBytes appends bytes of the current segment.
func (p *planner) copyBytes(off, n int64) {
	src := int32(len(p.sources) - 1)
	p.sources[src].end = max(p.sources[src].end, off+n)
	if p.pieces.n > 0 {
		last := &p.pieces.last
		if last.kind == kindCopy && last.source == src && last.off+last.size == off {
			last.size += n
			p.size += n
			return
		}
	}
	p.pieces.add(piece{out: p.size, size: n, off: off, source: src})
	p.size += n
}

// finish closes the tracks and builds the header. It reports whether there is anything to show.
func (p *planner) finish() bool {
	if !p.begun {
		return false
	}
	p.movie.TimeScale = p.scale
	p.movie.Created = p.from
	for _, t := range p.video {
		t.mt.Finish(fmp4.Ticks(t.end.Sub(t.base), p.scale))
		t.mt.Show = fmp4.Ticks(t.end.Sub(t.shown), p.scale)
		t.mt.Delay = fmp4.Ticks(t.shown.Sub(p.from), p.scale)
		p.movie.Tracks = append(p.movie.Tracks, &t.mt)
	}
	for _, t := range p.audio {
		if len(p.video) == 0 {
			p.to = later(p.to, earlier(t.wall(t.end), p.within.To))
		}
		t.finish(p)
		p.movie.Tracks = append(p.movie.Tracks, &t.mt)
	}
	p.header = p.movie.Header(p.size)
	return p.size > 0
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// entryIndex returns the place of a sample entry in the list, adding it if it is new.
func entryIndex(list *[][]byte, e []byte) int {
	for i, have := range *list {
		if string(have) == string(e) {
			return i
		}
	}
	*list = append(*list, e)
	return len(*list) - 1
}

// flac reports whether a codec is carried as FLAC.
func (p *planner) flac(c media.Codec) bool { return isG711(c) && !p.original }

// isG711 reports whether the codec is one that browsers cannot play.
func isG711(c media.Codec) bool { return c == media.G711A || c == media.G711U }
