// Package snapshot turns the last key frame of a live stream into a JPEG.
//
// H.264 and H.265 are decoded by ffmpeg, one short-lived process per picture, a bounded number at a time; MJPEG is
// passed on. A camera's picture is kept for a moment, so that many askers cost one decoding.
package snapshot

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"skein/edge/media"
	"skein/edge/stream"
)

const (
	keepFor     = 2 * time.Second // how long a picture answers further askers
	forgetAfter = time.Minute     // how long an unused picture is kept at all
	openLimit   = 5 * time.Second // until a stream has a key frame
	maxPictures = 4096
	defaultJobs = 2
)

// Errors of Get, besides those of Streams.
var (
	// ErrNoDecoder tells that ffmpeg is needed and not installed.
	ErrNoDecoder = errors.New("ffmpeg is not installed on the gateway; it is needed to decode the camera's picture")
	// ErrNoPicture tells that the stream delivered no key frame in time.
	ErrNoPicture = errors.New("the camera delivered no picture in time")
	// ErrUnsupported tells that the stream has no picture that can be decoded.
	ErrUnsupported = errors.New("the camera sends no picture that can be decoded")
	// ErrDecode tells that the key frame could not be decoded.
	ErrDecode = errors.New("the camera's picture cannot be decoded")
)

// Streams hands out the live stream of a camera; release tells that this user is done.
type Streams interface {
	Open(ctx context.Context, camera string, p media.Profile) (s *stream.Stream, release func(), err error)
}

// Decoder makes a JPEG of a coded picture: the last of so many in Annex B form that begin with a key frame and its
// parameter sets. There is one, except where a gradual refresh needs some more to make a picture whole.
type Decoder interface {
	Decode(ctx context.Context, codec media.Codec, pictures int, annexB []byte) (jpeg []byte, err error)
}

// Picture is one snapshot. It must not be changed.
type Picture struct {
	JPEG  []byte
	Taken time.Time // capture time on the edge's clock, UTC
	// Arrived is when the picture reached this gateway, with Go's monotonic reading.
	Arrived time.Time
}

// Options are what a Snapshots needs. Only Streams is required.
type Options struct {
	Streams Streams
	Decoder Decoder // nil: only MJPEG cameras have snapshots
	Jobs    int     // decodings at the same time, default 2
}

// Snapshots makes snapshots. It may be used from any goroutine.
type Snapshots struct {
	o    Options
	jobs chan struct{}

	mu   sync.Mutex // guards the field below
	kept map[key]*entry
}

type key struct {
	camera  string
	profile media.Profile
}

// entry is a camera's newest picture. Its lock is held while one is made, so that others wait for that one.
type entry struct {
	lock chan struct{} // capacity 1
	// guarded by lock
	pic  Picture
	seq  uint64
	made time.Time

	used time.Time // guarded by Snapshots.mu
}

// New returns a Snapshots; it starts nothing.
func New(o Options) *Snapshots {
	if o.Jobs <= 0 {
		o.Jobs = defaultJobs
	}
	return &Snapshots{o: o, jobs: make(chan struct{}, o.Jobs), kept: map[key]*entry{}}
}

// Get returns the last key frame of the camera's profile as a JPEG, at most two seconds after a former asker's. The
// error wraps one of this package's, ctx's, or is one of Streams.
func (s *Snapshots) Get(ctx context.Context, camera string, p media.Profile) (Picture, error) {
	e := s.entry(key{camera, p})
	select {
	case e.lock <- struct{}{}:
	case <-ctx.Done():
		return Picture{}, ctx.Err()
	}
	defer func() { <-e.lock }()
	if !e.made.IsZero() && time.Since(e.made) < keepFor {
		return e.pic, nil
	}
	units, err := s.keyFrame(ctx, camera, p)
	if err != nil {
		return Picture{}, err
	}
	u := units[len(units)-1]
	if u.Seq == e.seq && u.Arrival.Equal(e.pic.Arrived) && e.pic.JPEG != nil {
		e.made = time.Now() // still the last one
		return e.pic, nil
	}
	jpeg, err := s.decode(ctx, units)
	if err != nil {
		return Picture{}, fmt.Errorf("snapshot of %s/%s: %w", camera, p, err)
	}
	e.pic, e.seq, e.made = Picture{JPEG: jpeg, Taken: u.Wall.UTC(), Arrived: u.Arrival}, u.Seq, time.Now()
	return e.pic, nil
}

// entry returns the place of k's picture, and forgets those nobody asked for lately.
func (s *Snapshots) entry(k key) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	e := s.kept[k]
	if e == nil {
		for old, x := range s.kept {
			if now.Sub(x.used) > forgetAfter || len(s.kept) >= maxPictures {
				delete(s.kept, old)
			}
		}
		e = &entry{lock: make(chan struct{}, 1)}
		s.kept[k] = e
	}
	e.used = now
	return e
}

// keyFrame returns the newest key frame of the stream, waiting for one if there is none yet. Of a gradual refresh it
// returns the pictures from one on until the last is whole.
func (s *Snapshots) keyFrame(ctx context.Context, camera string, p media.Profile) ([]*media.AccessUnit, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, openLimit, ErrNoPicture)
	defer cancel()
	str, release, err := s.o.Streams.Open(ctx, camera, p)
	if err != nil {
		return nil, err
	}
	defer release()
	past := str.History()
	for i := len(past) - 1; i >= 0; i-- {
		if w := wholeFrom(past[i:]); w != nil {
			return w, nil
		}
	}
	if u := str.Still(); u != nil && u.Recovery == 0 {
		return []*media.AccessUnit{u}, nil
	}
	r := str.Subscribe(stream.ReaderOptions{Name: "snapshot", Queue: 64, History: true})
	defer r.Close()
	var from []*media.AccessUnit
	for {
		u, err := r.Next(ctx)
		switch {
		case err == nil && (u.Key || len(from) > 0):
			from = append(from, u)
			if w := wholeFrom(from); w != nil {
				return w, nil
			}
		case err == nil:
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		default:
			return nil, fmt.Errorf("%w: %w", ErrNoPicture, err)
		}
	}
}

// wholeFrom returns the pictures that make the key frame with which units begin whole, nil if they are not all there or
// units do not begin with one.
func wholeFrom(units []*media.AccessUnit) []*media.AccessUnit {
	if !units[0].Key {
		return nil
	}
	var out []*media.AccessUnit
	for _, u := range units {
		if u.Track == units[0].Track && !u.Leading {
			out = append(out, u)
		}
		if len(out) > units[0].Recovery {
			return out
		}
	}
	return nil
}

func (s *Snapshots) decode(ctx context.Context, units []*media.AccessUnit) ([]byte, error) {
	u := units[0]
	t := &u.Desc.Tracks[u.Track]
	switch t.Codec {
	case media.MJPEG:
		if len(u.NALUs) == 0 {
			return nil, ErrUnsupported
		}
		return u.NALUs[0], nil
	case media.H264, media.H265:
	default:
		return nil, ErrUnsupported
	}
	if s.o.Decoder == nil {
		return nil, ErrNoDecoder
	}
	select {
	case s.jobs <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.jobs }()
	var nalus [][]byte
	for _, u := range units {
		nalus = append(nalus, u.NALUs...)
	}
	return s.o.Decoder.Decode(ctx, t.Codec, len(units), AnnexB(t, nalus))
}

// AnnexB returns pictures as a byte stream (ITU-T H.264 annex B), with the track's parameter sets in front.
func AnnexB(t *media.Track, nalus [][]byte) []byte {
	n := 0
	sets := [][]byte{t.VPS, t.SPS, t.PPS}
	for _, b := range append(sets, nalus...) {
		n += 4 + len(b)
	}
	out := make([]byte, 0, n)
	for _, b := range append(sets, nalus...) {
		if len(b) > 0 {
			out = append(append(out, 0, 0, 0, 1), b...)
		}
	}
	return out
}
