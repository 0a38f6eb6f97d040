package relay

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"skein/edge/media"
	"skein/edge/status"
	"skein/edge/stream"
)

// stateReplay is the state of a slot that shows recorded pictures, and plays recorded sound if it is listened to.
const stateReplay status.State = "replay"

const (
	maxReplays   = 8                // at the same time; each holds up to two chunks of footage
	replayChunk  = 15 * time.Second // footage asked for at a time
	replayAhead  = 3 * time.Second  // how long before a chunk ends the next one is asked for
	replayLimit  = 10 * time.Second // for one chunk
	replayGap    = 2 * time.Second  // longer silences of the footage are cut short to this
	replayBehind = 3 * time.Second  // footage younger than this is not in the archive yet
	replayRetry  = 2 * time.Second
	replayTries  = 5 // chunks without anything new before the replay ends
)

// replay takes the tile's camera back in time. The live picture stays until the recorded one can start, and for good if
// there is none.
func (t *tile) replay(back time.Duration) {
	r := t.wall.session.relay
	t.mu.Lock()
	camera, active := t.want.Camera, t.active
	t.mu.Unlock()
	switch {
	case !active:
		t.refuse(fail(CodeNothingShown, "the slot shows no camera"))
		return
	case r.parts.Archive == nil:
		t.refuse(fail(CodeNotHere, "this gateway has no archive"))
		return
	}
	t.pauseTour(true)
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.active || t.want.Camera != camera {
		return
	}
	t.rest()
	ctx, cancel := context.WithCancel(t.wall.ctx)
	t.work, t.cancel = ctx, cancel
	if !t.wall.spawn(func() {
		defer cancel()
		if err := t.goBack(ctx, camera, back); err != nil && ctx.Err() == nil {
			t.refuse(err)
			t.backToLive()
		}
	}) {
		cancel()
	}
}

// backToLive ends a replay; the recorded picture stays until the live one can start.
func (t *tile) backToLive() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.active {
		t.change()
	}
}

// refuse tells the page why the slot goes on as it was.
func (t *tile) refuse(err error) {
	m := errorMessage{Type: "error", Slot: &t.slot.index, Reason: CodeInternal, Detail: "the replay cannot begin"}
	var e *Error
	if errors.As(err, &e) {
		m.Reason, m.Detail = e.Code, e.Detail
	}
	t.wall.send(m)
}

// goBack shows the camera's footage from back ago on.
func (t *tile) goBack(ctx context.Context, camera string, back time.Duration) error {
	v, r := t.wall.session.viewer, t.wall.session.relay
	if v.Replay == nil || !v.Replay(camera) {
		return fail(CodeForbidden, "you may not see recorded footage of camera %q", camera)
	}
	k := feedKey{camera: camera, profile: media.Main, variant: theReplay}
	from := time.Now().Add(-back)
	f, err := r.feeds.private(k, func(ctx context.Context) (*stream.Stream, func(), error) {
		if v.Acting != nil {
			ctx = v.Acting(ctx)
		}
		return r.openReplay(ctx, camera, from)
	})
	if err != nil {
		return err
	}
	desc, err := f.wait(ctx, replayLimit)
	if err == nil {
		err = t.slot.accepts(desc)
	}
	if err != nil {
		r.feeds.release(f)
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := ctx.Err(); err != nil {
		r.feeds.release(f)
		return err
	}
	t.put(f, time.Now(), "")
	return nil
}

// openReplay returns a stream in which the camera's footage runs as it once came, from a moment on. release ends it.
func (r *Relay) openReplay(ctx context.Context, camera string, from time.Time) (*stream.Stream, func(), error) {
	select {
	case r.replays <- struct{}{}:
	default:
		return nil, nil, fail(CodeTooMany, "%d replays are under way already", maxReplays)
	}
	p := &replayer{archive: r.parts.Archive, camera: camera, next: from, stream: stream.New(stream.Options{})}
	units, err := p.fetch(ctx)
	for err == nil && len(units) == 0 && p.passOver() {
		units, err = p.fetch(ctx)
	}
	// What lies before the moment asked for is only needed to decode it: it goes out at once.
	if err == nil && !p.begin(units, from) {
		err = fail(CodeNoFootage, "nothing is recorded of camera %q at that time", camera)
	}
	if err != nil {
		<-r.replays
		var e *Error
		if !errors.As(err, &e) {
			err = &Error{Code: CodeNoFootage, Detail: "the archive cannot be read", Err: err}
		}
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		p.run(ctx)
		p.stream.Close(fail(CodeNoFootage, "the footage ends here"))
	})
	return p.stream, func() {
		cancel()
		done.Wait()
		<-r.replays
	}, nil
}

// replayer publishes footage at its own pace. It is owned by one goroutine at a time.
type replayer struct {
	archive Archive
	camera  string
	stream  *stream.Stream
	next    time.Time // footage from here on is asked for next
	upTo    time.Time // end of the chunk asked for last

	queue []*media.AccessUnit // still to be published; its own copies, with their PTS
	base  time.Time           // capture time at PTS 0
	last  time.Time           // capture time of the newest picture taken
	heard time.Time           // capture time of the newest sound taken
	due   time.Time           // when the unit captured at shown is published
	shown time.Time
}

// fetch reads the next chunk.
func (p *replayer) fetch(ctx context.Context) ([]*media.AccessUnit, error) {
	ctx, cancel := context.WithTimeout(ctx, replayLimit)
	defer cancel()
	to := p.next.Add(replayChunk)
	p.upTo = to
	if newest := time.Now().Add(-replayBehind); to.After(newest) {
		to, p.upTo = newest, time.Time{}
	}
	if !to.After(p.next) {
		return nil, nil
	}
	return p.archive.Units(ctx, p.camera, p.next, to)
}

// passOver goes on behind a chunk without footage, if it was no chunk that the archive may still get footage of.
func (p *replayer) passOver() bool {
	if p.upTo.IsZero() {
		return false
	}
	p.next = p.upTo
	return true
}

// begin takes the first chunk and publishes what lies before the moment from; false if there is no picture in it.
func (p *replayer) begin(units []*media.AccessUnit, from time.Time) bool {
	if len(units) == 0 {
		return false
	}
	p.base = units[0].Wall
	if !p.take(units) {
		return false
	}
	p.shown, p.due = from, time.Now()
	if first := p.queue[0].Wall; first.After(from) {
		p.shown = first
	}
	for len(p.queue) > 1 && !p.queue[1].Wall.After(from) {
		p.publish()
	}
	p.publish()
	return true
}

// take queues what is new in a chunk, and tells whether there are pictures in that. After a hole it waits for a key
// frame.
func (p *replayer) take(units []*media.AccessUnit) bool {
	fresh := 0
	var first *media.AccessUnit // sound of this chunk, as it was read
	var pts int64               // of first
	for _, u := range units {
		if !u.IsVideo() {
			if fresh == 0 && p.last.IsZero() || !u.Wall.After(p.heard.Add(time.Millisecond)) {
				continue // before all pictures, or the end of the former chunk
			}
			if first == nil || !sameTrack(u, first) {
				first, pts = u, p.ptsOf(u) // from here on it is counted: receivers hear every tick that is missing
			}
			p.enqueue(u, pts+u.PTS-first.PTS)
			p.heard = u.Wall
			continue
		}
		if !p.last.IsZero() && !u.Wall.After(p.last.Add(time.Millisecond)) && fresh == 0 {
			continue // the end of the former chunk, here only to decode this one
		}
		if fresh == 0 && !u.Key && (p.last.IsZero() || u.Wall.Sub(p.last) > time.Second) {
			continue
		}
		fresh++
		p.enqueue(u, p.ptsOf(u))
	}
	for _, u := range units {
		if u.IsVideo() && u.Wall.After(p.last) {
			p.last = u.Wall
		}
	}
	if p.last.After(p.next) {
		p.next = p.last
	}
	return fresh > 0
}

// ptsOf returns the media time of a unit's capture time.
func (p *replayer) ptsOf(u *media.AccessUnit) int64 {
	return int64(math.Round(u.Wall.Sub(p.base).Seconds() * float64(u.Desc.Tracks[u.Track].ClockRate)))
}

// sameTrack tells whether the media times of two units can be compared.
func sameTrack(a, b *media.AccessUnit) bool {
	s, t := &a.Desc.Tracks[a.Track], &b.Desc.Tracks[b.Track]
	return s.Codec == t.Codec && s.ClockRate == t.ClockRate && s.Channels == t.Channels
}

// enqueue adds a copy of u with its media time.
func (p *replayer) enqueue(u *media.AccessUnit, pts int64) {
	p.queue = append(p.queue, &media.AccessUnit{
		Desc: u.Desc, Track: u.Track, Key: u.Key, NALUs: u.NALUs, Wall: u.Wall, PTS: pts,
	})
}

// publish gives the oldest queued unit to the stream, as if it came now.
func (p *replayer) publish() {
	u := p.queue[0]
	p.queue[0], p.queue = nil, p.queue[1:]
	u.Arrival = time.Now()
	p.stream.Publish(u)
}

// run publishes until ctx ends or the footage does.
func (p *replayer) run(ctx context.Context) {
	type chunk struct {
		units []*media.AccessUnit
		err   error
	}
	var fetching chan chunk
	var work sync.WaitGroup
	defer work.Wait()
	failures := 0
	retry := time.Now()
	for {
		ahead := p.last.Sub(p.shown)
		if fetching == nil && ahead < replayAhead && !time.Now().Before(retry) {
			fetching = make(chan chunk, 1)
			work.Go(func() {
				u, err := p.fetch(ctx)
				fetching <- chunk{u, err}
			})
		}
		wait := replayRetry / 4
		if len(p.queue) > 0 {
			wait = time.Until(p.dueAt(p.queue[0]))
		} else if failures >= replayTries {
			return
		}
		timer := time.NewTimer(max(wait, 0))
		select {
		case c := <-fetching:
			timer.Stop()
			fetching = nil
			switch {
			case c.err == nil && p.take(c.units), c.err == nil && p.passOver():
				failures = 0
			default:
				failures++
				retry = time.Now().Add(replayRetry)
			}
		case <-timer.C:
			if len(p.queue) > 0 {
				p.shift(p.queue[0])
				p.publish()
			}
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// dueAt tells when a unit is to be published: at the footage's own pace, long silences cut short.
func (p *replayer) dueAt(u *media.AccessUnit) time.Time {
	return p.due.Add(min(max(u.Wall.Sub(p.shown), 0), replayGap))
}

// shift moves the clock on to a unit that is being published.
func (p *replayer) shift(u *media.AccessUnit) {
	if at := p.dueAt(u); u.Wall.After(p.shown) {
		p.due, p.shown = at, u.Wall
	}
}
