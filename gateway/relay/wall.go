package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"

	"skein/edge/media"
	"skein/edge/status"
)

// maxSlots is how many pictures one wall may have.
const maxSlots = 64

// Ages of the newest picture up to which a tile is called so.
const (
	liveAge    = 1500 * time.Millisecond
	delayedAge = 4 * time.Second
	frozenAge  = 10 * time.Second
)

// wall is the part of a session that a data channel steers: which camera each slot shows.
type wall struct {
	session *session
	tiles   []*tile
	ear     *ear // nil if the offer had no audio

	ctx    context.Context //nolint:containedctx // ends the tiles' goroutines
	cancel context.CancelFunc
	work   sync.WaitGroup

	tuning sync.Mutex // guards the fields below; nests outside tile.mu
	listen int        // slot whose camera is heard, -1 for none

	sounding atomic.Pointer[sounding] // what became of that, nil for nothing

	mu      sync.Mutex // guards the fields below; nests inside tile.mu
	closed  bool
	channel *webrtc.DataChannel // nil until open
}

// Wall starts a wall: a connection with a pool of slots, all empty, and a data channel to steer them.
func (r *Relay) Wall(ctx context.Context, o WallOffer) (Session, error) {
	if err := r.pace(o.Viewer, o.SDP); err != nil {
		return Session{}, err
	}
	q, err := parseOffer(o.SDP, maxWallOffer)
	if err != nil {
		return Session{}, err
	}
	switch {
	case !q.data:
		return Session{}, fail(CodeBadOffer, "a wall needs a data channel in its offer")
	case len(q.video) == 0 || len(q.video) > maxSlots:
		return Session{}, fail(CodeBadOffer, "a wall has 1 to %d receiving video sections, not %d",
			maxSlots, len(q.video))
	}
	s, t, err := r.open(o.Viewer, len(q.video))
	if err != nil {
		return Session{}, err
	}
	out, err := s.answerWall(ctx, t, q, o.SDP)
	if err != nil {
		s.end("not answered: " + err.Error())
		s.close()
		return Session{}, asError(err)
	}
	return out, nil
}

func (s *session) answerWall(ctx context.Context, t *transport, q request, offer string) (Session, error) {
	m, err := q.codecs(nil, &s.trim)
	if err != nil {
		return Session{}, err
	}
	if s.pc, err = s.relay.newPeer(t, m, s); err != nil {
		return Session{}, err
	}
	s.watch(t)
	s.prefer = []media.Codec{media.H264}
	w := &wall{session: s, listen: -1}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	s.wall = w
	for i := range q.video {
		sl := s.newSlot(true, videoRate)
		w.tiles = append(w.tiles, &tile{wall: w, slot: sl})
		// A media stream of its own keeps skewed reports of one camera from delaying another's picture.
		if err := s.addTrack(sl, "video", fmt.Sprintf("slot-%d", i)); err != nil {
			return Session{}, err
		}
	}
	if len(q.audio) > 0 {
		w.ear = &ear{relay: s.relay, slot: s.newSlot(false, 8000)}
		if err := s.addTrack(w.ear.slot, "audio", "sound"); err != nil {
			return Session{}, err
		}
	}
	text, err := s.negotiate(ctx, offer)
	if err != nil {
		return Session{}, err
	}
	s.readAll()
	out := Session{ID: s.id, SDP: text, ETag: s.etag}
	s.relay.begin(s)
	return out, nil
}

// attach takes the viewer's data channel.
func (w *wall) attach(d *webrtc.DataChannel) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	w.channel = d
	d.OnMessage(func(m webrtc.DataChannelMessage) { w.receive(m.Data) })
	d.OnClose(func() { w.session.end("data channel closed") })
}

// receive handles one message of the page.
func (w *wall) receive(data []byte) {
	c, err := parseCommand(data, len(w.tiles))
	if err != nil {
		w.send(errorMessage{Type: "error", Reason: CodeBadMessage, Detail: err.Error()})
		return
	}
	w.obey(c)
	w.tune()
}

func (w *wall) obey(c command) {
	switch c.Type {
	case "show":
		w.tiles[c.Slot].show(c)
	case "hide":
		w.tiles[c.Slot].hide()
	case "tour":
		w.tiles[c.Slot].startTour(c)
	case "tour_pause":
		w.tiles[c.Slot].pauseTour(c.Paused == nil || *c.Paused)
	case "tour_next":
		w.tiles[c.Slot].nextOfTour()
	case "replay":
		w.tiles[c.Slot].replay(time.Duration(c.Back * float64(time.Second)))
	case "live":
		w.tiles[c.Slot].backToLive()
	case "stats":
		w.session.reported(c.Slots)
	case "listen":
		w.tuning.Lock()
		w.listen = c.Slot
		w.tuning.Unlock()
	}
}

// spawn runs f in a goroutine that close waits for; false once the wall closes. The caller may hold a tile's mu.
func (w *wall) spawn(f func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.work.Go(f)
	return true
}

// maxUnread is how many bytes of messages wait for a page that takes none; more are dropped.
const maxUnread = 256 << 10

// send writes a message to the page, if it listens.
func (w *wall) send(m any) {
	w.mu.Lock()
	d := w.channel
	w.mu.Unlock()
	if d == nil || d.ReadyState() != webrtc.DataChannelStateOpen || d.BufferedAmount() > maxUnread {
		return
	}
	b, err := json.Marshal(m)
	if err != nil {
		return // plain structs always marshal
	}
	if err := d.SendText(string(b)); err != nil {
		w.session.log.Debug("wall message not sent", "error", err)
	}
}

// tune gives the sound slot the audio of the tile listened to.
func (w *wall) tune() {
	if w.ear == nil {
		return
	}
	w.tuning.Lock()
	defer w.tuning.Unlock()
	if w.listen < 0 {
		w.ear.turn(nil, time.Now())
		w.sounding.Store(nil)
		return
	}
	t := w.tiles[w.listen]
	why := w.ear.turn(t.feedShown(), time.Now())
	s := sounding{slot: w.listen, why: why}
	if old := w.sounding.Swap(&s); old == nil && why == "" || old != nil && *old == s {
		return
	}
	t.repeat()
}

// restamped tells of every tile whose pictures have another time than was said.
func (w *wall) restamped() {
	for _, t := range w.tiles {
		t.restamped()
	}
}

// tick reports on every tile, once a second.
func (w *wall) tick() {
	now := time.Now()
	w.send(aliveMessage{Type: "alive"})
	for _, t := range w.tiles {
		t.tick(now)
	}
	w.tune()
}

// close ends all tiles and waits for their goroutines.
func (w *wall) close() {
	w.cancel()
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.work.Wait()
	for _, t := range w.tiles {
		t.hide()
	}
	w.tune()
}

// tell writes into st what its slot shows, or is to show and cannot yet, and why not better.
func (w *wall) tell(st *SlotStats) {
	if st.Slot >= len(w.tiles) {
		return // the sound's
	}
	t := w.tiles[st.Slot]
	t.mu.Lock()
	defer t.mu.Unlock()
	why := t.reason
	switch {
	case t.feed != nil:
		st.Camera, st.Profile = t.feed.key.camera, t.feed.key.profile
		why = t.told.Reason
	case t.active:
		st.Camera = t.want.Camera
	default:
		return
	}
	if st.Reason == "" {
		st.Reason = why
	}
}

// stateOf names how a stream is by the age of its newest picture.
func stateOf(age time.Duration) (status.State, Code) {
	switch {
	case age <= liveAge:
		return status.Live, ""
	case age <= delayedAge:
		return status.Delayed, CodeCameraSilent
	case age <= frozenAge:
		return status.Frozen, CodeCameraSilent
	default:
		return status.NoSignal, CodeCameraSilent
	}
}

// stateOfError names why a stream cannot be shown.
func stateOfError(err error) (status.State, Code) {
	var e *Error
	if !errors.As(err, &e) {
		return status.Offline, CodeInternal
	}
	switch e.Code {
	case CodeForbidden:
		return status.NotPermitted, e.Code
	case CodeNoSignal:
		return status.NoSignal, e.Code
	default:
		return status.Offline, e.Code
	}
}
