package rtsp

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"

	"skein/edge/media"
	"skein/edge/stream"
)

// closedByPeer is the end a client chose.
type closedByPeer struct{}

func (*closedByPeer) Error() string { return "closed by the other side" }
func (*closedByPeer) Unwrap() error { return io.EOF }

// feed packetises one stream, once, for all RTSP readers that play it. It keeps the packets of the current group of
// pictures, so that a reader begins with them.
type feed struct {
	server *Server
	stream *stream.Stream
	ctx    context.Context //nolint:containedctx // ends with the last reader
	cancel context.CancelFunc
	ready  chan struct{} // closed once session is set
	ended  chan struct{} // closed when run returns
	users  int           // guarded by Server.mu

	// set before ready is closed
	session *description.Session // its formats are guarded by mu
	tracks  []*packetizer

	// owned by run
	desc *media.Description

	mu      sync.Mutex // guards the fields below; held while a unit is handed to all readers
	readers map[*gortsplib.ServerSession]*feedReader
	libs    map[*gortsplib.ServerStream]struct{}
	group   []sent
	packets int  // of the group of pictures; if they are too many, group is its key frame alone
	closed  bool // no reader may join any more
}

// sent is one unit's packets.
type sent struct {
	medi *description.Media
	pkts []*rtp.Packet
	wall time.Time
}

type feedReader struct {
	medias   map[*description.Media]bool
	skipping bool // its queue was full: wait for the next key frame
	cut      bool // it begins with the newest key frame: what leads its group cannot be decoded
	dropped  int
}

func newFeed(s *Server, st *stream.Stream) *feed {
	f := &feed{
		server: s, stream: st, ready: make(chan struct{}), ended: make(chan struct{}),
		readers: map[*gortsplib.ServerSession]*feedReader{}, libs: map[*gortsplib.ServerStream]struct{}{},
	}
	f.ctx, f.cancel = context.WithCancel(s.ctx)
	return f
}

func (f *feed) over() bool {
	select {
	case <-f.ended:
		return true
	default:
		return f.ctx.Err() != nil
	}
}

// run feeds until the last reader leaves, the stream ends, or its tracks change: readers then have to DESCRIBE anew.
func (f *feed) run() {
	defer close(f.ended)
	defer f.cancel()
	r := f.stream.Subscribe(stream.ReaderOptions{Name: "rtsp out", History: true, Still: true})
	defer r.Close()
	u, err := r.Next(f.ctx)
	if err != nil {
		return
	}
	if err := f.open(u.Desc); err != nil {
		f.server.cfg.Logger.Warn("stream cannot be served over RTSP", "err", err)
		return
	}
	defer f.closeReaders()
	for sameLayout(f.desc, u.Desc) {
		f.refresh(u.Desc)
		f.write(u)
		if u, err = r.Next(f.ctx); err != nil {
			return
		}
	}
}

func (f *feed) open(d *media.Description) error {
	session, tracks, err := sessionOf(d)
	if err != nil {
		return err
	}
	f.session, f.tracks, f.desc = session, tracks, d
	close(f.ready)
	return nil
}

// join makes the library's stream of one reader. Each has its own: the library reads the sessions of a shared one
// without a lock, and packets do not go through it anyway.
func (f *feed) join() (*gortsplib.ServerStream, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, ErrNotFound
	}
	lib := &gortsplib.ServerStream{Server: f.server.lib, Desc: f.session}
	if err := lib.Initialize(); err != nil {
		return nil, err
	}
	f.libs[lib] = struct{}{}
	return lib, nil
}

// part undoes join.
func (f *feed) part(lib *gortsplib.ServerStream) {
	f.mu.Lock()
	delete(f.libs, lib)
	f.mu.Unlock()
	lib.Close()
}

func (f *feed) closeReaders() {
	f.mu.Lock()
	libs := f.libs
	f.closed = true
	f.readers = map[*gortsplib.ServerSession]*feedReader{}
	f.libs = map[*gortsplib.ServerStream]struct{}{}
	f.group = nil
	f.mu.Unlock()
	for lib := range libs {
		lib.Close()
	}
}

// refresh puts new parameter sets into the SDP of later readers; the present ones get them in-band.
func (f *feed) refresh(d *media.Description) {
	if d == f.desc {
		return
	}
	f.desc = d
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, t := range d.Tracks {
		switch x := f.tracks[i].forma.(type) {
		case *format.H264:
			x.SPS, x.PPS = t.SPS, t.PPS
		case *format.H265:
			x.VPS, x.SPS, x.PPS = t.VPS, t.SPS, t.PPS
		}
	}
}

// write hands one unit to all readers.
func (f *feed) write(u *media.AccessUnit) {
	t := f.tracks[u.Track]
	pkts, _, _, err := t.packets(u)
	if err != nil {
		f.server.cfg.Logger.Debug("unit not served over RTSP", "err", err)
		return
	}
	unit := sent{t.medi, pkts, u.Wall}
	video := f.desc.Video() >= 0
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keep(unit, u, video)
	for ss, r := range f.readers {
		if r.skipping && video && !u.Key {
			r.dropped++
			continue
		}
		if u.Key {
			r.cut = r.skipping
		}
		r.skipping = false
		if r.cut && u.Leading {
			continue
		}
		f.send(ss, r, unit)
	}
}

// keep remembers the packets since the last key frame, if they fit a reader's queue, and those of the key frame if not:
// better one picture than none until the next.
func (f *feed) keep(unit sent, u *media.AccessUnit, video bool) {
	if !video {
		return
	}
	if u.Key {
		f.group, f.packets = nil, 0
	} else if len(f.group) == 0 || u.Leading { // who begins with the group cannot decode what leads it
		return
	}
	if f.packets += len(unit.pkts); f.packets > sendQueue*3/4 {
		f.group = f.group[:min(1, len(f.group)):1]
		return
	}
	f.group = append(f.group, unit)
}

// send writes one unit to a reader's queue. f.mu is held.
func (f *feed) send(ss *gortsplib.ServerSession, r *feedReader, unit sent) {
	if !r.medias[unit.medi] {
		return
	}
	for _, pkt := range unit.pkts {
		if err := ss.WritePacketRTPWithNTP(unit.medi, pkt, unit.wall); err != nil {
			r.skipping = true
			r.dropped++
			return
		}
	}
}

// add joins a session: first the group of pictures so far, then whatever comes. If only its key frame is kept, the next
// one comes next.
func (f *feed) add(ss *gortsplib.ServerSession) {
	r := &feedReader{medias: map[*description.Media]bool{}}
	for _, m := range ss.Medias() {
		r.medias[m] = true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	r.cut = true
	for _, unit := range f.group {
		f.send(ss, r, unit)
	}
	r.skipping = len(f.group) == 0 || f.packets > sendQueue*3/4
	f.readers[ss] = r
}

func (f *feed) remove(ss *gortsplib.ServerSession) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := f.readers[ss]; r != nil && r.dropped > 0 {
		f.server.cfg.Logger.Info("RTSP reader was too slow", "dropped_units", r.dropped)
	}
	delete(f.readers, ss)
}
