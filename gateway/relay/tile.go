package relay

import (
	"context"
	"sync"
	"time"

	"skein/edge/media"
	"skein/edge/status"
)

// Tiles larger than this are worth the main profile.
const (
	mainFromWidth  = 960
	mainFromHeight = 540
)

// tile is what one slot of a wall is to show, and how it gets there. A change runs in a goroutine of its own until the
// new stream has a picture; until then the old one stays.
type tile struct {
	wall *wall
	slot *slot

	mu      sync.Mutex // guards the fields below; nests outside wall.mu and slot.mu
	want    command
	active  bool            // want is to be shown
	work    context.Context //nolint:containedctx // of the goroutine that fulfils want; over when that ends
	cancel  context.CancelFunc
	feed    *feed // shown, nil for none
	reason  Code  // why not what was asked for
	told    stateMessage
	before  slotStats
	lowered bool  // the viewer's path does not bear main
	thin    bool  // nor every picture
	tour    *tour // nil: none
}

// show starts to bring c.Camera into the slot. Asking again for what is shown changes nothing.
func (t *tile) show(c command) {
	t.endTour()
	if !t.wall.session.viewer.allowed(c.Camera) {
		t.forbid(c.Camera)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wish(c)
	t.change()
}

// wish makes c what the tile is to show. The caller holds t.mu.
func (t *tile) wish(c command) {
	t.want, t.active = c, true
	t.slot.area.Store(int64(c.Width * c.Height))
}

// rest ends the goroutine that brings a stream, if there is one. The caller holds t.mu.
func (t *tile) rest() {
	if t.cancel != nil {
		t.cancel()
		t.cancel = nil
	}
}

// change starts the goroutine that fulfils want, ending an earlier one. The caller holds t.mu.
func (t *tile) change() {
	t.rest()
	first, second := profiles(t.want, t.lowered)
	if t.feed != nil && t.feed.key == (feedKey{camera: t.want.Camera, profile: first}) && !ended(t.feed) {
		return
	}
	ctx, cancel := context.WithCancel(t.wall.ctx)
	t.work, t.cancel = ctx, cancel
	c := t.want
	if !t.wall.spawn(func() {
		defer cancel()
		t.bring(ctx, c.Camera, first, second)
	}) {
		cancel()
	}
}

func ended(f *feed) bool {
	select {
	case <-f.ended:
		return true
	default:
		return false
	}
}

// profiles returns the profile to show and the one to fall back to, "" for none. lowered tells that main was too much.
func profiles(want command, lowered bool) (first, second media.Profile) {
	switch want.Profile {
	case media.Main, media.Sub:
		return want.Profile, ""
	}
	if !lowered && want.worthMain() {
		return media.Main, media.Sub
	}
	return media.Sub, media.Main
}

// worthMain tells whether an automatic tile is large enough for the main profile.
func (c *command) worthMain() bool {
	return c.Profile == auto && (c.Width > mainFromWidth || c.Height > mainFromHeight)
}

// Waits between attempts to bring a stream.
const (
	retryFirst = 500 * time.Millisecond
	retryMost  = 5 * time.Second
	// The same for the profile that was silent when the other one was shown instead.
	improveFirst = 3 * time.Second
	improveMost  = time.Minute
)

// bring tries first, then second, then less, until something is shown or ctx ends. Where first was silent it goes on
// trying that behind what is shown.
func (t *tile) bring(ctx context.Context, camera string, first, second media.Profile) {
	asked := time.Now()
	t.lacks(ctx, "")
	t.say(stateMessage{Slot: t.slot.index, Camera: camera, Profile: first, State: status.Connecting})
	for wait := retryFirst; ; wait = min(2*wait, retryMost) {
		err := t.try(ctx, camera, first, second, asked)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return
		}
		state, reason := stateOfError(err)
		t.lacks(ctx, reason)
		t.say(stateMessage{Slot: t.slot.index, Camera: camera, Profile: first, State: state, Reason: reason})
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
	for wait := improveFirst; t.mayImprove(ctx); wait = min(2*wait, improveMost) {
		select {
		case <-time.After(wait):
			_ = t.try(ctx, camera, first, second, time.Now()) // what is shown stays
		case <-ctx.Done():
			return
		}
	}
}

// mayImprove tells whether the tile shows another profile than the one wanted because that was silent.
func (t *tile) mayImprove(ctx context.Context) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return ctx.Err() == nil && t.reason == CodeNoSignal
}

// lacks notes why the tile shows nothing, unless it shows something or the attempt is over.
func (t *tile) lacks(ctx context.Context, why Code) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.feed == nil && ctx.Err() == nil {
		t.reason = why
	}
}

// try opens the camera and puts it into the slot once it has a picture.
func (t *tile) try(ctx context.Context, camera string, first, second media.Profile, asked time.Time) error {
	f, why, err := t.climb(ctx, camera, first, second, t.wall.session.relay.cfg.StartTimeout)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := ctx.Err(); err != nil {
		t.wall.session.relay.feeds.release(f)
		return err
	}
	if t.feed == f { // what could not be had before cannot be had now
		t.wall.session.relay.feeds.release(f)
		t.reason = why
		return nil
	}
	t.put(f, asked, why)
	return nil
}

// fetch acquires the feed of k and waits until it has a picture that the slot can send.
func (t *tile) fetch(ctx context.Context, k feedKey, limit time.Duration) (*feed, error) {
	feeds := t.wall.session.relay.feeds
	f, err := feeds.acquire(k) //nolint:contextcheck // a feed outlives the tile that starts it
	if err != nil {
		return nil, err
	}
	desc, err := f.wait(ctx, limit)
	if err == nil {
		err = t.slot.accepts(desc)
	}
	if err != nil {
		feeds.release(f)
		return nil, err
	}
	return f, nil
}

// accepts tells whether the slot can send the description's picture, if there is one.
func (s *slot) accepts(d *media.Description) error {
	i := d.Video()
	if i < 0 {
		return nil // its sound can be listened to
	}
	c := d.Tracks[i].Codec
	if c != media.H264 && c != media.H265 {
		return fail(CodeUnsupported, "the camera sends %s, which WebRTC cannot carry", c)
	}
	if s.payload[c] == 0 {
		return fail(CodeNotOffered, "the camera sends %s, which the browser did not offer", c)
	}
	if d.Tracks[i].NoIDR { // walls are shown by browsers, which begin with an IDR picture
		return fail(CodeNoIDR, "the camera sends no IDR pictures, without which a browser cannot begin")
	}
	return nil
}

// put replaces what the slot shows. The caller holds t.mu.
func (t *tile) put(f *feed, asked time.Time, why Code) {
	old := t.feed
	t.slot.hide()
	t.feed, t.reason = f, why
	t.slot.show(f.video, asked)
	if old != nil {
		t.wall.session.relay.feeds.release(old)
	}
	t.told = t.describe(f, time.Now())
	t.say(t.told)
	t.wall.spawn(t.wall.tune) // its sound too
}

// describe tells how the feed's picture is. The caller holds t.mu.
func (t *tile) describe(f *feed, now time.Time) stateMessage {
	m := stateMessage{
		Slot: t.slot.index, Camera: f.key.camera, Profile: f.key.profile, tourState: t.tour.state(),
		pictured: t.slot.pictured(),
	}
	lag := t.wall.session.lag()
	age := f.age(now) + lag
	m.State, m.Reason = stateOf(age)
	sound := f.soundOnly()
	if sound && (m.State == status.Live || m.State == status.Delayed) {
		m.State = status.SoundOnly
	}
	if m.Reason != "" && age-lag <= liveAge {
		m.Reason = CodeLinkSlow
	}
	if f.key.variant == theReplay {
		age = now.Sub(time.Unix(0, f.taken.Load()))
		m.State, m.Reason, m.Replay, m.Behind = stateReplay, "", true, max(age.Milliseconds(), 0)
	}
	m.AgeMS = max(age.Milliseconds(), 0)
	switch {
	case m.Reason != "", sound:
	case t.reason != "":
		m.Reason = t.reason
	case t.lowered && t.want.worthMain(), t.thin, t.slot.shedding(now):
		m.Reason = CodeLinkSlow
	default:
		t.lacking(f, &m)
	}
	return m
}

// lacking tells what else keeps a live stream from being a good picture. The caller holds t.mu.
func (t *tile) lacking(f *feed, m *stateMessage) {
	waits, shown, since := t.slot.waiting()
	if waits && !since.IsZero() { // what is seen is a key frame of then
		m.AgeMS = max(m.AgeMS, time.Since(since).Milliseconds())
		m.State = status.Frozen
	}
	switch d := f.desc.Load(); {
	case waits:
		m.Reason = CodeWaiting
		if !shown {
			m.State = status.Connecting
		}
	case d != nil && d.Video() >= 0 && d.Tracks[d.Video()].BFrames && d.Tracks[d.Video()].Codec == media.H264:
		m.Reason = CodeBFrames
	}
}

// waiting tells whether the slot waits for a key frame, whether it has shown a picture of its line, and when that
// arrived if it was one key frame alone.
func (s *slot) waiting() (waits, shown bool, still time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase == phaseWait, !s.shownAt.IsZero(), s.stillOf
}

// hide empties the slot: it costs nothing from now on.
func (t *tile) hide() {
	t.endTour()
	t.empty()
}

// empty takes the picture away; a tour goes on.
func (t *tile) empty() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.active, t.thin = false, false
	t.rest()
	t.slot.hide()
	t.slot.setThin(false)
	if t.feed != nil {
		t.wall.session.relay.feeds.release(t.feed)
		t.feed = nil
	}
}

// forbid empties the slot because the viewer may not see the camera.
func (t *tile) forbid(camera string) {
	t.empty()
	t.say(stateMessage{Slot: t.slot.index, Camera: camera, State: status.NotPermitted, Reason: CodeForbidden})
}

// permitted tells whether what the tile is to show may still be seen.
func (t *tile) permitted() (camera string, ok bool) {
	t.mu.Lock()
	camera, active := t.want.Camera, t.active
	t.mu.Unlock()
	return camera, !active || t.wall.session.viewer.allowed(camera)
}

func (t *tile) feedShown() *feed {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.feed
}

// say sends a state. It may be called with t.mu held.
func (t *tile) say(m stateMessage) {
	m.Type, m.Sound = "state", t.wall.soundOf(m.Slot)
	t.wall.send(m)
}

// restamped says anew which timestamp means which moment, if that has changed.
func (t *tile) restamped() {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.slot.pictured()
	if !t.active || t.feed == nil || p == nil || p.follows(t.told.pictured) {
		return
	}
	t.told.pictured = p
	t.say(t.told)
}

// tick reports the tile's state.
func (t *tile) tick(now time.Time) {
	if camera, ok := t.permitted(); !ok {
		t.forbid(camera)
		t.nextOfTour()
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.active || t.feed == nil {
		return
	}
	stats := t.slot.totals()
	m := t.describe(t.feed, now)
	if ended(t.feed) {
		m.State, m.Reason = status.Offline, CodeCameraWithdrawn
		if t.feed.key.variant == theReplay {
			m.State, m.Reason = stateReplay, CodeNoFootage // the footage is at its end: back to the live picture
		}
		if t.work == nil || t.work.Err() != nil {
			t.change()
		}
	}
	if b := t.slot.blockedBy(); b != "" {
		m.State, m.Reason = status.Offline, b
	}
	m.FPS, m.Kbps = int(stats.units-t.before.units), int((stats.bytes-t.before.bytes)*8/1000)
	t.told = m
	t.before = stats
	t.say(t.told)
}

func (s *slot) totals() slotStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

func (s *slot) blockedBy() Code {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.blocked
}
