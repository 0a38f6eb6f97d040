package relay

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"skein/edge/media"
	"skein/edge/stream"
)

// videoRate is the RTP clock of every video payload format we send.
const videoRate = 90000

// feedKey names a feed.
type feedKey struct {
	camera  string
	profile media.Profile
	variant variant // how the stream is come by
}

// variant tells feeds of one camera and profile apart.
type variant string

const (
	asItComes variant = ""       // the live stream
	theReplay variant = "replay" // recorded footage, of one tile alone
	asH264    variant = "h264"   // the live stream, transcoded
	asOpus    variant = "opus"   // the live stream's sound alone, transcoded; behind theReplay: that of a replay
)

// feed relays one stream: it opens it, reads it once, packetises each unit once and gives it to all slots of its lines.
type feed struct {
	key   feedKey
	relay *Relay
	stop  context.CancelFunc
	open  opener

	opened chan struct{} // closed once the stream is open or err is set
	begun  chan struct{} // closed once the first unit is in; never if the feed ends before
	ended  chan struct{} // closed after the last unit; err is set

	video *line
	audio atomic.Pointer[line] // nil until a description with sound that can be sent
	desc  atomic.Pointer[media.Description]
	last  atomic.Int64 // arrival of the newest picture (or sound where there is none), ns since the outlet began; 0: none
	taken atomic.Int64 // its capture time, Unix nanoseconds

	err error // why it ended; valid after opened or ended is closed

	users     int  // guarded by feeds.mu
	uncounted bool // gave its place among the transcoded sounds back; guarded by feeds.mu

	source atomic.Pointer[stream.Stream] // what it reads, nil until opened

	// owned by the feed's goroutine
	pack  packetizer
	times map[*line]*unroll
}

// opener starts a feed's stream; release tells that the feed is done with it.
type opener func(ctx context.Context) (s *stream.Stream, release func(), err error)

// unroll turns a track's PTS into a line's clock, across epochs.
type unroll struct {
	epoch   uint32
	offset  int64
	started bool
	last    int64
	arrival time.Time
}

// at returns the line time of a PTS given in ticks of rate. It rises from unit to unit, but for B-frames, and goes with
// the time of arrival even where a source's PTS jump.
func (t *unroll) at(u *media.AccessUnit, pts, rate int64) int64 {
	started, step := t.started, pts+t.offset-t.last
	switch {
	case !t.started:
		t.started, t.epoch, t.offset = true, u.Epoch, -pts
	case u.Epoch != t.epoch || step < -rate || step > rate*mostStep:
		// Media time of two epochs cannot be compared: the time of arrival bridges them.
		gap := max(u.Arrival.Sub(t.arrival), time.Second/videoFloor)
		t.epoch, t.offset = u.Epoch, t.last+int64(gap.Seconds()*float64(rate))-pts
	}
	ts := pts + t.offset
	if track := &u.Desc.Tracks[u.Track]; started && ts <= t.last && !track.BFrames {
		ts = t.last + 1
		if u.IsVideo() {
			ts = t.last + rate/1000
		}
	}
	t.last, t.arrival = max(t.last, ts), u.Arrival
	return ts
}

// mostStep is how many seconds two units may lie apart.
const mostStep = 60

// videoFloor bounds the step over an epoch from below: one picture of 25 a second.
const videoFloor = 25

// feeds are the relay's feeds by name. A feed lives while it has users.
type feeds struct {
	relay  *Relay
	mu     sync.Mutex // guards the fields below
	byKey  map[feedKey]*feed
	sounds int // transcoded
	run    sync.WaitGroup
	ctx    context.Context //nolint:containedctx // the relay's life, set by Run
}

// begin lets feeds run until ctx ends.
func (fs *feeds) begin(ctx context.Context) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.ctx = ctx
}

// acquire returns the feed of k, starting it for its first user. Every user calls release once.
func (fs *feeds) acquire(k feedKey) (*feed, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.ctx == nil || fs.ctx.Err() != nil {
		return nil, fail(CodeStopped, "the gateway is not serving viewers now")
	}
	if f := fs.byKey[k]; f != nil {
		f.users++
		return f, nil
	}
	f, err := fs.start(k, func(ctx context.Context) (*stream.Stream, func(), error) {
		switch k.variant {
		case asH264:
			return fs.relay.openTranscode(ctx, k)
		case asOpus:
			return fs.relay.openSound(ctx, k)
		default:
			return fs.relay.streams.Open(ctx, k.camera, k.profile)
		}
	})
	if err != nil {
		return nil, err
	}
	f.video.wantKey = func() { fs.relay.askKey(k) }
	fs.byKey[k] = f
	return f, nil
}

// private returns a feed of its own that nobody else can acquire. Its user calls release once.
func (fs *feeds) private(k feedKey, open opener) (*feed, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.ctx == nil || fs.ctx.Err() != nil {
		return nil, fail(CodeStopped, "the gateway is not serving viewers now")
	}
	return fs.start(k, open)
}

// start runs a feed with one user. The caller holds fs.mu.
func (fs *feeds) start(k feedKey, open opener) (*feed, error) {
	if err := fs.count(k); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(fs.ctx)
	f := &feed{
		key: k, relay: fs.relay, stop: cancel, open: open, users: 1, video: newLine(media.H264, videoRate),
		opened: make(chan struct{}), begun: make(chan struct{}), ended: make(chan struct{}),
		pack: packetizer{max: fs.relay.cfg.PayloadSize}, times: map[*line]*unroll{},
	}
	if k.isSound() { // known beforehand: it can be waited on at once
		f.audio.Store(newLine(media.Opus, audioRate(media.Opus)))
	}
	fs.relay.metrics.feeds.Inc()
	fs.run.Go(func() {
		defer cancel()
		f.run(ctx)
		fs.forget(f)
		fs.relay.metrics.feeds.Dec()
	})
	return f, nil
}

// release gives up one use of f; the last one ends it.
func (fs *feeds) release(f *feed) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f.users--; f.users == 0 {
		if fs.byKey[f.key] == f {
			delete(fs.byKey, f.key)
		}
		fs.uncount(f)
		f.stop()
	}
}

// forget makes the next acquire of an ended feed start a new one.
func (fs *feeds) forget(f *feed) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.byKey[f.key] == f {
		delete(fs.byKey, f.key)
	}
	fs.uncount(f)
}

func (f *feed) run(ctx context.Context) {
	opened := sync.OnceFunc(func() { close(f.opened) })
	defer close(f.ended)
	defer opened()
	s, release, err := f.open(ctx)
	if err != nil {
		f.err = openError(f.key, err)
		return
	}
	defer release()
	r := s.Subscribe(stream.ReaderOptions{
		Name: "relay " + f.key.camera + "/" + string(f.key.profile), History: true, Still: true,
	})
	defer r.Close()
	f.source.Store(s)
	opened()
	b := f.relay.outlet.get()
	defer f.relay.outlet.put(b)
	begun := false
	for {
		u, err := r.Next(ctx)
		if err != nil {
			f.err = &Error{Code: CodeCameraWithdrawn, Detail: "the stream of " + f.key.camera + " ended", Err: err}
			return
		}
		f.unit(b, u)
		// What is queued already (the history at the start) comes in before viewers are told that there is a picture.
		for u, ok := r.TryNext(); ok; u, ok = r.TryNext() {
			f.unit(b, u)
		}
		if !begun && f.desc.Load() != nil {
			begun = true
			close(f.begun)
		}
	}
}

func openError(k feedKey, err error) error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	if errors.Is(err, ErrUnknownCamera) {
		detail := fmt.Sprintf("there is no %s stream of camera %q", k.profile, k.camera)
		return &Error{Code: CodeUnknownCamera, Detail: detail, Err: err}
	}
	detail := fmt.Sprintf("the %s stream of camera %q cannot be opened", k.profile, k.camera)
	return &Error{Code: CodeNoSignal, Detail: detail, Err: err}
}

// unit takes one access unit: packets, history, viewers.
func (f *feed) unit(b *batch, u *media.AccessUnit) {
	if f.desc.Load() != u.Desc {
		f.describe(u.Desc)
	}
	if u.Desc.Video() < 0 {
		f.arrived(u.Arrival)
		f.taken.Store(u.Wall.UnixNano())
	}
	l := f.lineOf(u)
	if l == nil {
		return
	}
	t := f.times[l]
	if t == nil {
		t = &unroll{}
		f.times[l] = t
	}
	pts := u.PTS
	if rate := int64(u.Desc.Tracks[u.Track].ClockRate); rate != l.rate && rate > 0 {
		pts = pts/rate*l.rate + pts%rate*l.rate/rate
	}
	pkts := f.pack.unit(u)
	if len(pkts) == 0 {
		return
	}
	if l.video {
		f.arrived(u.Arrival)
		f.taken.Store(u.Wall.UnixNano())
	}
	open := u.Open && u.Desc.Tracks[u.Track].Codec == media.H264 // browsers begin with IDR pictures only
	unit := l.append(pkts, u.Key, open, moment{ts: t.at(u, pts, l.rate), wall: u.Wall, arrival: u.Arrival})
	b.begin()
	for _, s := range *l.viewers.Load() {
		s.deliver(b, l, &unit)
	}
	b.flush()
}

// soundOnly tells whether the stream has sound and no picture.
func (f *feed) soundOnly() bool {
	d := f.desc.Load()
	return d != nil && d.Video() < 0 && d.Audio() >= 0
}

// arrived notes the arrival of a picture, whatever is done to the wall clock. It may be before the outlet began.
func (f *feed) arrived(at time.Time) {
	since := at.Sub(f.relay.outlet.began)
	if since == 0 {
		since = 1
	}
	f.last.Store(int64(since))
}

// age returns how long ago the newest picture arrived.
func (f *feed) age(now time.Time) time.Duration {
	if last := f.last.Load(); last != 0 {
		return now.Sub(f.relay.outlet.began) - time.Duration(last)
	}
	return math.MaxInt64 / 2
}

// lineOf returns the line u belongs to, or nil if its track is not relayed. Only the first video and the first audio
// track are.
func (f *feed) lineOf(u *media.AccessUnit) *line {
	track := &u.Desc.Tracks[u.Track]
	if track.Codec.IsVideo() {
		if u.Track == u.Desc.Video() {
			return f.video
		}
		return nil
	}
	rate := audioRate(track.Codec)
	if rate == 0 || u.Track != u.Desc.Audio() {
		return nil
	}
	if l := f.audio.Load(); l != nil && l.rate == int64(rate) {
		return l
	}
	return nil
}

// describe takes a new description. The sound's line is there as soon as sound is announced, so that viewers can wait
// on it.
func (f *feed) describe(d *media.Description) {
	if i := d.Audio(); i >= 0 {
		c := d.Tracks[i].Codec
		if l, rate := f.audio.Load(), audioRate(c); rate > 0 && (l == nil || l.rate != int64(rate)) {
			f.audio.Store(newLine(c, rate))
		}
	}
	if i := d.Video(); i >= 0 {
		f.video.setReorder(d.Tracks[i].BFrames)
	}
	f.desc.Store(d)
}

// audioRate is the RTP clock of an audio codec, 0 if it cannot be sent over WebRTC.
func audioRate(c media.Codec) int {
	switch c {
	case media.G711A, media.G711U:
		return 8000
	case media.Opus:
		return 48000
	default:
		return 0
	}
}

// wait returns the stream's description once it has delivered something, or an *Error.
func (f *feed) wait(ctx context.Context, limit time.Duration) (*media.Description, error) {
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-f.begun:
		return f.desc.Load(), nil
	case <-f.ended:
		return nil, f.err
	case <-t.C:
		return nil, fail(CodeNoSignal, "camera %q delivered no picture within %v", f.key.camera, limit)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
