package relay

import (
	"context"
	"time"

	"skein/edge/media"
	"skein/edge/stream"
)

// soundRetry is how long a sound that could not be transcoded is left alone.
const soundRetry = 10 * time.Second

// What a viewer is told of the sound it listens to.
const (
	CodeSoundTranscoded  Code = "sound-transcoded"       // WebRTC cannot carry it: it is sent as Opus
	CodeSoundBusy        Code = "sound-transcodes-busy"  // WebRTC cannot carry it, and no more can be transcoded
	CodeSoundUnsupported Code = "sound-unsupported"      // WebRTC cannot carry it, and nothing is transcoded here
	CodeSoundFailed      Code = "sound-transcode-failed" // WebRTC cannot carry it, and transcoding it fails
	CodeSoundNotOffered  Code = "sound-not-offered"      // the viewer lacks the codec it would be sent in
)

// ear gives a sound slot the sound of one feed after another: as it comes, or as Opus where WebRTC cannot carry it.
// What makes it Opus is shared by all who listen to the same stream, and ends with the last of them. An ear is used by
// one goroutine at a time; its last turn is to nil.
type ear struct {
	relay *Relay
	slot  *slot

	line  *line // given to the slot, nil for none
	coded *feed // the sound as Opus, held as long as it is wanted; nil for none
	from  *feed // what it was wanted for
	lost  Code  // why there is none although it is wanted
	retry time.Time
}

// turn gives the slot the sound of f, nil for none. why tells what is not as it comes, "" if all is or f has no sound.
func (e *ear) turn(f *feed, now time.Time) (why Code) {
	l, why := e.choose(f, now)
	if l == e.line {
		return why
	}
	e.line = l
	e.slot.hide()
	if l != nil {
		e.slot.show(l, now)
	}
	return why
}

// choose returns the line with the sound of f.
func (e *ear) choose(f *feed, now time.Time) (*line, Code) {
	codec := f.sound()
	sent := media.Opus
	if codec != media.AAC {
		sent = codec
		e.drop()
	}
	switch {
	case codec == 0 || ended(f):
		e.drop()
		return nil, ""
	case e.slot.payload[sent] == 0:
		e.drop()
		return nil, CodeSoundNotOffered
	case codec != media.AAC:
		return f.audio.Load(), ""
	case !e.relay.mayTranscodeSound():
		return nil, CodeSoundUnsupported
	}
	return e.code(f, now)
}

// code returns the line with the sound of f as Opus.
func (e *ear) code(f *feed, now time.Time) (*line, Code) {
	k := f.soundKey()
	if e.coded != nil && (e.coded.key != k || k.variant == theReplay+asOpus && e.from != f) {
		e.drop()
	}
	switch {
	case e.coded != nil && !ended(e.coded):
		return e.coded.audio.Load(), CodeSoundTranscoded
	case e.coded != nil:
		e.relay.log.Warn("sound cannot be transcoded", "camera", k.camera, "error", e.coded.err)
		e.drop()
		e.lost, e.retry = CodeSoundFailed, now.Add(soundRetry)
	}
	if now.Before(e.retry) {
		return nil, e.lost
	}
	var err error
	if k.variant == asOpus {
		e.coded, err = e.relay.feeds.acquire(k)
	} else {
		e.coded, err = e.relay.feeds.private(k, f.openSound)
	}
	if err != nil {
		e.coded = nil
		return nil, codeOf(err)
	}
	e.from = f
	return e.coded.audio.Load(), CodeSoundTranscoded
}

// drop gives up the sound made Opus, if there is one.
func (e *ear) drop() {
	if e.coded != nil {
		e.relay.feeds.release(e.coded)
	}
	e.coded, e.from, e.lost, e.retry = nil, nil, "", time.Time{}
}

// sound returns the codec of a feed's sound, 0 for none or not yet known. f may be nil.
func (f *feed) sound() media.Codec {
	if f == nil {
		return 0
	}
	d := f.desc.Load()
	if i := d.Audio(); i >= 0 {
		return d.Tracks[i].Codec
	}
	return 0
}

// soundKey names the feed of f's sound as Opus: that of a replay is its own.
func (f *feed) soundKey() feedKey {
	k := f.key
	k.variant = asOpus
	if f.key.variant == theReplay {
		k.variant = theReplay + asOpus
	}
	return k
}

// isSound tells whether the feed of k has sound only, made Opus.
func (k feedKey) isSound() bool { return k.variant == asOpus || k.variant == theReplay+asOpus }

// openSound makes Opus of the sound that f reads.
func (f *feed) openSound(ctx context.Context) (*stream.Stream, func(), error) {
	s := f.source.Load()
	if s == nil {
		return nil, nil, fail(CodeNoSignal, "the stream of %q is not open", f.key.camera)
	}
	out, stop := f.relay.parts.Transcoder.Opus(ctx, s)
	return out, stop, nil
}

// openSound opens the stream of k and makes Opus of its sound.
func (r *Relay) openSound(ctx context.Context, k feedKey) (*stream.Stream, func(), error) {
	s, release, err := r.streams.Open(ctx, k.camera, k.profile)
	if err != nil {
		return nil, nil, err
	}
	out, stop := r.parts.Transcoder.Opus(ctx, s)
	return out, func() {
		stop()
		release()
	}, nil
}

// mayTranscodeSound tells whether this gateway makes Opus of sound at all.
func (r *Relay) mayTranscodeSound() bool {
	return r.parts.Transcoder != nil && r.cfg.SoundTranscodes > 0
}

// count takes a place for the sound that f is, if it is one. The caller holds fs.mu.
func (fs *feeds) count(k feedKey) error {
	if !k.isSound() {
		return nil
	}
	if most := fs.relay.cfg.SoundTranscodes; fs.sounds >= most {
		return fail(CodeSoundBusy, "%d sounds are transcoded by this gateway already", most)
	}
	fs.sounds++
	return nil
}

// uncount gives the place of f back, once. The caller holds fs.mu.
func (fs *feeds) uncount(f *feed) {
	if f.key.isSound() && !f.uncounted {
		f.uncounted = true
		fs.sounds--
	}
}

// sounding is how the sound of a wall's slot is.
type sounding struct {
	slot int
	why  Code
}

// soundOf tells why the sound of slot i is not as it comes, "" also if nobody listens to it.
func (w *wall) soundOf(i int) Code {
	if s := w.sounding.Load(); s != nil && s.slot == i {
		return s.why
	}
	return ""
}

// repeat tells the tile's state again, for what is told of its sound has changed.
func (t *tile) repeat() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.active && t.feed != nil {
		t.say(t.told)
	}
}
