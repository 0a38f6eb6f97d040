package relay

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"
	"golang.org/x/time/rate"

	"skein/edge/media"
)

const (
	// keepalive is the pause between our ICE checks; viewers send their own. RFC 7675 section 5.1 has 5 s.
	keepalive   = 5 * time.Second
	reportEvery = time.Second // from slots that are new; all report every calmReports beats
	newReports  = 3
	calmReports = 5
	paceEvery   = time.Millisecond
	paceBurst   = 32 << 10 // bytes of catch-up at once
)

// session is one peer connection and its slots. A WHEP session is a wall of one tile that never changes.
type session struct {
	// static once run is called
	relay  *Relay
	id     string
	viewer Viewer
	wall   *wall // nil for WHEP
	log    *slog.Logger
	since  time.Time
	pc     *webrtc.PeerConnection
	keys   *handshakeKeys
	slots  []*slot       // pictures in order, then sound
	feed   *feed         // WHEP only
	ear    *ear          // WHEP only, nil without sound
	push   *publishing   // WHIP only
	prefer []media.Codec // come first in the answer
	trim   trimmer       // of the viewer's offers
	// pictures is how many the session may show, what it counts for before it is connected.
	pictures int
	remotes  *remotes
	restarts *rate.Limiter
	band     *bandwidth    // nil if the viewer gives no transport-wide feedback
	over     chan struct{} // closed after close

	path   atomic.Pointer[path]
	live   atomic.Bool   // connected
	delay  atomic.Uint32 // playout delay asked for, see playoutValue
	newest atomic.Pointer[reading]
	late   atomic.Pointer[lateness]
	relief atomic.Int64 // until when dropping pictures is given time to help, Unix nanoseconds

	governor      governor // owned by run, with the two below
	rough, smooth int      // readings with and without loss in a row

	up      chan struct{} // closed when the connection stands
	upOnce  sync.Once
	wake    chan struct{} // capacity 1: there is catch-up to send
	hurry   chan struct{} // capacity 1: send reports now
	stamps  chan struct{} // capacity 1: pictures have timestamps by another rule
	closing chan struct{} // closed by end
	endOnce sync.Once
	cause   atomic.Pointer[string]
	readers sync.WaitGroup             // of RTCP
	opened  atomic.Int64               // data channels
	checks  map[ice.Candidate]struct{} // addresses found by the viewer's checks; owned by pion's agent
	seen    figures                    // what the viewer reports

	ice sync.Mutex // serialises changes of descriptions; guards the fields below
	// offer is what was needed of the last one applied, to be rewritten for an ICE restart. pion holds the same text.
	offer string
	etag  string
}

func (r *Relay) newSession(v Viewer, pictures int) *session {
	id := crand.Text()
	s := &session{
		relay: r, id: id, viewer: v, since: time.Now(), keys: &handshakeKeys{},
		log: r.log.With("session", id[:8], "viewer", v.Name),
		up:  make(chan struct{}), wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1),
		stamps:  make(chan struct{}, 1),
		closing: make(chan struct{}), over: make(chan struct{}), pictures: pictures,
		remotes: newRemotes(r.conn.LocalAddr()), restarts: rate.NewLimiter(restartsEvery, maxRestarts),
	}
	s.delay.Store(playoutValue(r.cfg.PlayoutDelay))
	return s
}

// newSlot adds an outgoing SSRC to the session.
func (s *session) newSlot(video bool, rate int) *slot {
	var seed [6]byte
	_, _ = crand.Read(seed[:])
	sl := &slot{
		session: s, index: len(s.slots), video: video,
		out:   uint64(binary.BigEndian.Uint16(seed[:])) & 0x7fff, // RFC 3711: far from the first wrap
		clock: clock{rate: int64(rate), base: int64(binary.BigEndian.Uint32(seed[2:]))},
	}
	s.slots = append(s.slots, sl)
	return sl
}

// pace asks run to send catch-up. It never waits.
func (s *session) pace() { poke(s.wake) }

// report asks run for sender reports soon. It never waits.
func (s *session) report() { poke(s.hurry) }

// restamped has the page told that a slot's timestamps mean other moments than before.
func (s *session) restamped() { poke(s.stamps) }

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// end makes run return. It may be called often and never waits.
func (s *session) end(cause string) {
	s.endOnce.Do(func() {
		s.cause.Store(&cause)
		close(s.closing)
	})
}

// negotiate applies an offer and returns our answer with all candidates in it.
func (s *session) negotiate(ctx context.Context, offer string) (string, error) {
	s.ice.Lock()
	defer s.ice.Unlock()
	offer, err := s.trim.trim(offer, s.remotes)
	if err != nil {
		return "", err
	}
	if s.push == nil {
		offer = receiveOnly(offer)
	}
	bundled, alone := bundleAlone(offer)
	if err := s.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: bundled}); err != nil {
		return "", &Error{Code: CodeBadOffer, Detail: "the offer cannot be applied", Err: err}
	}
	if err := s.orderCodecs(); err != nil {
		return "", err
	}
	answer, err := s.pc.CreateAnswer(nil)
	if err != nil {
		return "", &Error{Code: CodeBadOffer, Detail: "the offer cannot be answered", Err: err}
	}
	gathered := webrtc.GatheringCompletePromise(s.pc)
	if err := s.pc.SetLocalDescription(answer); err != nil {
		return "", &Error{Code: CodeBadOffer, Detail: "the answer cannot be applied", Err: err}
	}
	select {
	case <-gathered:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	text := s.pc.LocalDescription().SDP
	if alone {
		text = unbundle(text)
	}
	s.offer, s.etag = offer, crand.Text()[:12]
	return text, nil
}

// sdpValue returns the first attribute of that name in an SDP, or "".
func sdpValue(text, key string) string {
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, "a="+key+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// watch connects pion's events to the session.
func (s *session) watch(t *transport) {
	s.follow(t)
	s.pc.OnDataChannel(s.attach)
	s.pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateConnected:
			s.upOnce.Do(func() { close(s.up) })
		case webrtc.PeerConnectionStateFailed:
			s.end("connection failed")
		case webrtc.PeerConnectionStateClosed:
			s.end("closed by the viewer")
		default:
		}
	})
}

// attach takes a data channel of the viewer. A wall is steered by its first; a player may open one for its own ends.
// Each costs memory and goroutines, so that a second one ends the session.
func (s *session) attach(d *webrtc.DataChannel) {
	switch {
	case s.opened.Add(1) > 1:
		s.end("the viewer opened a second data channel")
	case s.wall != nil:
		s.wall.attach(d)
	}
}

// checked sees every ICE check of the viewer. pion keeps each address that one comes from, and sends checks to it: who
// knows a session's password must not make it keep ten thousand.
func (s *session) checked(_ *stun.Message, _, remote ice.Candidate, _ *ice.CandidatePair) bool {
	if remote.Type() == ice.CandidateTypePeerReflexive {
		if s.checks == nil {
			s.checks = map[ice.Candidate]struct{}{}
		}
		if s.checks[remote] = struct{}{}; len(s.checks) > maxChecked {
			s.end("ICE checks come from too many addresses")
		}
	}
	return false // as pion likes
}

// run serves the session until it ends, then returns everything it holds.
func (s *session) run(ctx context.Context) {
	defer s.close()
	connect := time.NewTimer(s.relay.cfg.ConnectTimeout)
	defer connect.Stop()
	var gone <-chan struct{}
	if s.feed != nil {
		gone = s.feed.ended
	}
	select {
	case <-s.up:
	case <-connect.C:
		s.end("no connection within " + s.relay.cfg.ConnectTimeout.String())
		return
	case <-gone:
		s.end("stream ended")
		return
	case <-s.closing:
		return
	case <-ctx.Done():
		s.end("gateway stops")
		return
	}
	s.relay.connected(s)
	if s.push != nil {
		s.live.Store(true)
		s.push.serve(ctx)
		return
	}
	if err := s.start(); err != nil {
		s.end(err.Error())
		return
	}
	s.serve(ctx, gone)
}

// start gives the slots their keys.
func (s *session) start() error {
	k, ok := s.keys.keys()
	if !ok {
		return errors.New("no SRTP keys from the DTLS handshake")
	}
	for _, sl := range s.slots {
		seal, err := k.sealer(sl.ssrc)
		if err != nil {
			return err
		}
		sl.ready(seal)
	}
	s.live.Store(true)
	s.log.Info("viewer connected", "after_ms", time.Since(s.since).Milliseconds())
	return nil
}

func (s *session) serve(ctx context.Context, gone <-chan struct{}) {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	pacer := pacer{session: s, rate: s.relay.cfg.CatchUpRate}
	defer pacer.stop()
	before := make([]slotStats, len(s.slots))
	defer s.collect(before)
	read, beats := time.Now(), 0
	for {
		select {
		case <-s.wake:
			pacer.wake()
		case <-pacer.due():
			pacer.send()
		case <-s.hurry:
			beats = 0
			s.sendReports(time.Now())
		case <-s.stamps:
			if s.wall != nil {
				s.wall.restamped()
			}
		case <-tick.C:
			now := time.Now()
			if beats++; beats <= newReports || beats%calmReports == 0 {
				s.sendReports(now)
			}
			s.collect(before)
			r := s.measure(now.Sub(read))
			pacer.learn(r)
			s.adapt(r, now) //nolint:contextcheck // as below
			read = now
			if s.path.Load().stuck(now) > s.relay.cfg.SilentTimeout {
				s.end("the viewer reads nothing any more")
			}
			if s.wall != nil {
				s.wall.tick() //nolint:contextcheck // tiles live under the wall's own context
			} else if why := s.unservable(); why != "" {
				s.end(why)
			} else if s.ear != nil {
				s.ear.turn(s.feed, time.Now())
			}
		case <-gone:
			s.end("stream ended")
			return
		case <-s.closing:
			return
		case <-ctx.Done():
			s.end("gateway stops")
			return
		}
	}
}

// unservable tells why a WHEP session is of no more use, or "". A new offer will be told the reason.
func (s *session) unservable() string {
	if !s.viewer.allowed(s.feed.key.camera) {
		return "no longer permitted"
	}
	for _, sl := range s.slots {
		if c := sl.blockedBy(); c != "" && sl.video {
			return "the camera changed its codec: " + string(c)
		}
	}
	return ""
}

func (s *session) collect(before []slotStats) {
	now := time.Now()
	for i, sl := range s.slots {
		sl.forget(now)
		before[i] = s.relay.metrics.collect(sl, before[i])
	}
}

// close returns everything. Called once, by run or by whoever failed to get that far.
func (s *session) close() {
	s.end("closed")
	if s.wall != nil {
		s.wall.close()
	}
	if s.ear != nil {
		s.ear.turn(nil, time.Now())
	}
	for _, sl := range s.slots {
		sl.hide()
	}
	if s.push != nil {
		s.push.shut()
	}
	if s.pc != nil {
		if err := s.pc.GracefulClose(); err != nil {
			s.log.Debug("close peer connection", "error", err)
		}
	}
	s.readers.Wait()
	if s.push != nil {
		s.push.close()
	}
	if s.feed != nil {
		s.relay.feeds.release(s.feed)
	}
	s.relay.drop(s)
	close(s.over)
	s.log.Info("viewer left", "cause", *s.cause.Load(), "after_s", int(time.Since(s.since).Seconds()))
}

// snapshot returns the session's statistics.
func (s *session) snapshot() SessionStats {
	o := SessionStats{
		ID: s.id, Viewer: s.viewer.Name, Wall: s.wall != nil, Since: s.since.UTC(), Connected: s.live.Load(),
	}
	if r := s.newest.Load(); r != nil {
		o.Path = PathStats{
			Kbps: r.kbps, Estimated: r.capacity, LossPercent: r.loss * 100, QueueMS: float64(r.queue.Microseconds()) / 1000,
		}
	}
	if s.push != nil {
		o.Publishes = s.push.key.camera
	}
	if p := s.path.Load(); p != nil {
		o.Remote = p.String()
	}
	seen := s.seen.snapshot()
	for i, sl := range s.slots {
		st := sl.snapshot()
		st.Viewer = seen[i]
		if s.wall != nil {
			s.wall.tell(&st)
		} else if s.feed != nil {
			st.Camera, st.Profile = s.feed.key.camera, s.feed.key.profile
			if st.Reason == "" && sl.shedding(time.Now()) {
				st.Reason = CodeLinkSlow
			}
		}
		o.Slots = append(o.Slots, st)
	}
	return o
}
