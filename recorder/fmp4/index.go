package fmp4

import (
	"time"

	"skein/edge/media"
)

// Index tells where every sample of a segment lies. It is immutable once returned.
type Index struct {
	// Start is the wall time of decode time 0.
	Start     time.Time
	Tracks    []Track
	Fragments []FragmentIndex

	moov []byte // whole box, as in the file
}

// Track is one track of a segment.
type Track struct {
	ID        uint32
	Codec     media.Codec
	TimeScale uint32
	Entry     []byte // the sample entry box
	Width     int    // video
	Height    int
	Channels  int // audio
	Rate      int
}

// FragmentIndex is one fragment: [Offset, Offset+Size) holds prft, moof and mdat.
type FragmentIndex struct {
	Offset, Size int64
	Runs         []Run

	head []byte // prft and moof, as in the file
	moof int    // offset of moof in head
}

// Run is the samples of one track in a fragment. Their bytes follow each other from Offset on.
type Run struct {
	Track   int   // index into Index.Tracks
	DTS     int64 // decode time of the first sample, ticks
	Offset  int64
	Size    int64
	Samples []Sample
}

// Sample is one sample. Its presentation time is its decode time plus Shift.
type Sample struct {
	Size     uint32
	Duration uint32
	Shift    int32
	Key      bool   // decoding may begin here
	Leading  bool   // not to be decoded where decoding began at the key before
	Recovery uint16 // pictures after a key that are not whole yet where decoding began there
}

// Video returns the index of the first video track, or -1.
func (x *Index) Video() int {
	for i, t := range x.Tracks {
		if t.Codec.IsVideo() {
			return i
		}
	}
	return -1
}

// Time returns the wall time of t ticks of track i.
func (x *Index) Time(i int, t int64) time.Time {
	return x.Start.Add(duration(t, x.Tracks[i].TimeScale))
}

// Frames returns the number of video samples.
func (x *Index) Frames() int {
	n := 0
	for _, f := range x.Fragments {
		for _, r := range f.Runs {
			if x.Tracks[r.Track].Codec.IsVideo() {
				n += len(r.Samples)
			}
		}
	}
	return n
}

// Duration returns the time from Start to the end of the last sample of the first video track, or of the first track
// where there is no video.
func (x *Index) Duration() time.Duration {
	track := max(0, x.Video())
	var end time.Duration
	for _, f := range x.Fragments {
		for _, r := range f.Runs {
			if r.Track != track {
				continue
			}
			t := r.DTS
			for _, s := range r.Samples {
				t += int64(s.Duration)
			}
			end = max(end, duration(t, x.Tracks[track].TimeScale))
		}
	}
	return end
}

// Bytes returns an estimate of the memory the index holds.
func (x *Index) Bytes() int64 {
	n := int64(200 + len(x.moov))
	for _, f := range x.Fragments {
		n += 100 + int64(len(f.head))
		for _, r := range f.Runs {
			n += 72 + 16*int64(len(r.Samples))
		}
	}
	return n
}

// Compact drops what only AppendTrailer needs. It must be called before the index is shared.
func (x *Index) Compact() {
	x.moov = nil
	for i := range x.Fragments {
		x.Fragments[i].head = nil
	}
}

// AppendTrailer appends to p the mfra that belongs after the fragments of x, as Writer.Close writes it: the end of a
// file that was cut to its last whole fragment (Scan).
func (x *Index) AppendTrailer(p []byte) []byte {
	h := heads{moov: x.moov}
	ref := max(0, x.Video())
	for _, f := range x.Fragments {
		h.list = appendHeadCopy(h.list, f.Offset, f.head)
		for i, r := range f.Runs {
			if r.Track == ref && len(r.Samples) > 0 && r.Samples[0].Key {
				h.keys = append(h.keys, keyPoint{max(0, r.DTS+int64(r.Samples[0].Shift)), f.Offset + int64(f.moof), i + 1})
				break
			}
		}
	}
	if ref < len(x.Tracks) {
		h.track = int(x.Tracks[ref].ID)
	}
	w := builder{p}
	h.appendMfra(&w)
	return w.b
}

// Ticks converts a duration to ticks, rounding to the nearest.
func Ticks(d time.Duration, timescale uint32) int64 { return ticks(d, timescale) }

// Duration converts ticks to a duration, rounding to the nearest nanosecond.
func Duration(t int64, timescale uint32) time.Duration { return duration(t, timescale) }
