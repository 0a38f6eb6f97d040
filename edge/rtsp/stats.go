package rtsp

import (
	"sync/atomic"
	"time"

	"skein/edge/status"
)

// Stats are the live counters of one source, cheap enough for every packet. The zero value is ready; it may be read
// from any goroutine and outlives the pull that fills it, so that counters survive reconnects.
type Stats struct {
	bytes, packets, lost, foreign, malformed, damaged, units, keys atomic.Uint64

	// On the machine's monotonic clock, in nanoseconds since origin, 0 = never: setting the wall clock neither ends a
	// session nor makes a silent one look alive.
	lastByte, lastRTP, lastBye, connected atomic.Int64
	lastFrame, lastWhole, lastKey         atomic.Int64              // pictures; without a loss; key frames
	origin                                atomic.Pointer[time.Time] // the first moment noted

	frames    atomic.Uint64 // pictures
	keyEvery  atomic.Int64  // nanoseconds between the two newest keys of this connection, 0: there were not two yet
	refresh   atomic.Pointer[status.Refresh]
	milliFPS  atomic.Int64
	kbps      atomic.Int64
	lossPPM   atomic.Int64
	transport atomic.Pointer[string]
	codecs    atomic.Pointer[codecs]
	offset    atomic.Int64
	offsetOK  atomic.Bool
	badStamps atomic.Bool
}

type codecs struct {
	video, audio  string
	width, height int
}

// Snapshot is a Stats at one moment. Times are UTC, with Go's monotonic reading; zero means never.
type Snapshot struct {
	Bytes     uint64 // received from the network, RTSP and RTCP included
	Packets   uint64 // RTP packets of our session
	Lost      uint64 // RTP packets missing in the sequence numbers
	Foreign   uint64 // RTP packets of another session, dropped
	Malformed uint64 // packets that could not be parsed, dropped
	Damaged   uint64 // access units that lost a part of themselves
	Units     uint64 // access units delivered
	Keys      uint64 // decodable key frames delivered

	Connected time.Time // PLAY (or RECORD) accepted
	LastByte  time.Time
	LastRTP   time.Time
	LastFrame time.Time
	LastKey   time.Time

	// KeyEvery is the time between the two newest key frames, 0 if not known; Refresh is how decoding begins at one.
	KeyEvery time.Duration
	Refresh  status.Refresh
	// BadStamps tells that the picture's timestamps stand still, or often repeat or go back: times are those of arrival.
	BadStamps bool

	FPS           float64 // over the last seconds
	Kbps          int     // over the last seconds
	Loss          float64 // share of the RTP packets that were lost lately, about the last ten seconds
	Transport     string  // "tcp", "udp" or "multicast"
	Codec, Audio  string
	Width, Height int

	ClockOffset time.Duration // source clock minus edge clock
	ClockKnown  bool
}

// Snapshot returns the values now.
func (s *Stats) Snapshot() Snapshot { return s.snapshot(time.Now()) }

func (s *Stats) snapshot(now time.Time) Snapshot {
	at := func(moment *atomic.Int64) time.Time {
		age, ok := s.age(moment, now)
		if !ok {
			return time.Time{}
		}
		return now.Add(-age).UTC()
	}
	out := Snapshot{
		Bytes: s.bytes.Load(), Packets: s.packets.Load(), Lost: s.lost.Load(), Foreign: s.foreign.Load(),
		Malformed: s.malformed.Load(), Damaged: s.damaged.Load(), Units: s.units.Load(), Keys: s.keys.Load(),
		Connected: at(&s.connected), LastByte: at(&s.lastByte), LastRTP: at(&s.lastRTP),
		LastFrame: at(&s.lastFrame), LastKey: at(&s.lastKey),
		KeyEvery: time.Duration(s.keyEvery.Load()), BadStamps: s.badStamps.Load(),
		FPS: float64(s.milliFPS.Load()) / 1000, Kbps: int(s.kbps.Load()),
		Loss:        float64(s.lossPPM.Load()) / 1e6,
		ClockOffset: time.Duration(s.offset.Load()), ClockKnown: s.offsetOK.Load(),
	}
	if r := s.refresh.Load(); r != nil {
		out.Refresh = *r
	}
	if t := s.transport.Load(); t != nil {
		out.Transport = *t
	}
	if c := s.codecs.Load(); c != nil {
		out.Codec, out.Audio, out.Width, out.Height = c.video, c.audio, c.width, c.height
	}
	return out
}

// note sets one of the moments to t, a time with Go's monotonic reading.
func (s *Stats) note(moment *atomic.Int64, t time.Time) {
	origin := s.origin.Load()
	for origin == nil {
		first := t.Add(-time.Nanosecond) // what is noted is never 0
		s.origin.CompareAndSwap(nil, &first)
		origin = s.origin.Load()
	}
	moment.Store(int64(t.Sub(*origin)))
}

// age returns how long before now a moment was; false: never.
func (s *Stats) age(moment *atomic.Int64, now time.Time) (time.Duration, bool) {
	at, origin := moment.Load(), s.origin.Load()
	if at == 0 || origin == nil {
		return 0, false
	}
	return now.Sub(*origin) - time.Duration(at), true
}

// begin resets what belongs to one connection.
func (s *Stats) begin(transport string, now time.Time) {
	s.note(&s.connected, now)
	s.transport.Store(&transport)
	s.keyEvery.Store(0)
	s.badStamps.Store(false)
	s.milliFPS.Store(0)
	s.kbps.Store(0)
	s.lossPPM.Store(0)
}

// key notes a key frame.
func (s *Stats) key(arrival time.Time, a access) {
	s.keys.Add(1)
	if age, ok := s.age(&s.lastKey, arrival); ok {
		if since, ok := s.age(&s.connected, arrival); !ok || age < since {
			s.keyEvery.Store(int64(age))
		}
	}
	s.note(&s.lastKey, arrival)
	refresh := status.RefreshIDR
	switch {
	case a.recovery > 0:
		refresh = status.RefreshGradual
	case a.open:
		refresh = status.RefreshOpen
	}
	if r := s.refresh.Load(); r == nil || *r != refresh {
		s.refresh.Store(&refresh)
	}
}

// read counts n bytes from the network.
func (s *Stats) read(n int, now time.Time) {
	s.bytes.Add(uint64(n))
	s.note(&s.lastByte, now)
}

// rates measures frames and bytes a second over the last few seconds, and loss; owned by the watching goroutine.
type rates struct {
	ring [4]struct {
		at                           time.Time
		frames, bytes, lost, packets uint64
	}
	n    int
	loss float64
}

// lossMemory is how much of the measured loss remains after a second: it is about the last ten.
const lossMemory = 0.9

func (r *rates) sample(s *Stats, now time.Time) {
	last := &r.ring[(r.n+len(r.ring)-1)%len(r.ring)]
	if r.n > 0 && now.Sub(last.at) < time.Second {
		return
	}
	cur := &r.ring[r.n%len(r.ring)]
	oldest := *cur
	if r.n < len(r.ring) {
		oldest = r.ring[0]
	}
	before := *last
	cur.at, cur.frames, cur.bytes = now, s.frames.Load(), s.bytes.Load()
	cur.lost, cur.packets = s.lost.Load(), s.packets.Load()
	r.n++
	if r.n < 2 {
		return
	}
	sec := now.Sub(oldest.at).Seconds()
	s.milliFPS.Store(int64(float64(cur.frames-oldest.frames) / sec * 1000))
	s.kbps.Store(int64(float64(cur.bytes-oldest.bytes) * 8 / 1000 / sec))
	lost := float64(cur.lost - before.lost)
	if sent := lost + float64(cur.packets-before.packets); sent > 0 {
		r.loss = r.loss*lossMemory + lost/sent*(1-lossMemory)
		s.lossPPM.Store(int64(r.loss * 1e6))
	}
}
