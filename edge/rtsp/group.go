package rtsp

import (
	"time"

	"skein/edge/media"
)

// group follows the groups of pictures of one video track.
type group struct {
	open  bool // its key is no IDR picture
	first bool // decoding began with it
	epoch uint32
	pts   int64 // of its key

	key      time.Time     // arrival of the newest key
	idr      time.Time     // arrival of the newest IDR picture
	idrEvery time.Duration // from one to the next
}

const (
	// gradualEvery is how far apart keys of gradual refresh lie at least: some encoders say with each picture when the
	// pictures after it are whole.
	gradualEvery = time.Second
	// inferredAfter is how long there must be no IDR picture until a picture of I slices alone counts as a key.
	inferredAfter = 10 * time.Second
	// noIDRAfter is how long there must be none, beyond what the camera is used to send, until decoders that begin at
	// IDR pictures only are not expected to see anything of it.
	noIDRAfter = time.Minute
)

// admit passes a over unless it is a key that is none, and notes in cur whether there are IDR pictures at all.
func (g *group) admit(a access, arrival time.Time, cur *media.Track) access {
	switch {
	case !a.key:
		return a
	case a.inferred && !g.idr.IsZero() && arrival.Sub(g.idr) < inferredAfter,
		a.recovery > 0 && !g.key.IsZero() && arrival.Sub(g.key) < gradualEvery:
		return access{}
	}
	g.key = arrival
	if !a.open {
		if !g.idr.IsZero() {
			g.idrEvery = arrival.Sub(g.idr)
		}
		g.idr = arrival
	}
	cur.NoIDR = cur.Codec == media.H264 && (g.idr.IsZero() || arrival.Sub(g.idr) > max(noIDRAfter, 2*g.idrEvery))
	return a
}

// place tells pictures that lead their group: those shown before its key, which was decoded before them.
func (g *group) place(a access, pts int64, epoch uint32) access {
	if a.key {
		g.open, g.first, g.epoch, g.pts = a.open, false, epoch, pts
		return a
	}
	a.leading = g.open && (a.leading || epoch == g.epoch && pts < g.pts)
	return a
}
