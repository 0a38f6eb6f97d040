package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pion/webrtc/v4"

	"skein/edge/media"
)

// Answer starts a WHEP session: it opens the camera, waits for its first picture to know the codec, and answers.
// The session ends by End, when the viewer goes away, or with the relay; not with ctx.
func (r *Relay) Answer(ctx context.Context, o Offer) (Session, error) {
	if err := r.pace(o.Viewer, o.SDP); err != nil {
		return Session{}, err
	}
	q, err := parseOffer(o.SDP, maxOffer)
	if err != nil {
		return Session{}, err
	}
	if !o.Viewer.allowed(o.Camera) {
		return Session{}, fail(CodeForbidden, "you may not see camera %q", o.Camera)
	}
	s, t, err := r.open(o.Viewer, 1)
	if err != nil {
		return Session{}, err
	}
	out, err := s.answer(ctx, t, q, o)
	if err != nil {
		s.end("not answered: " + err.Error())
		s.close()
		return Session{}, asError(err)
	}
	return out, nil
}

// asError leaves *Error and context errors and wraps anything else.
func asError(err error) error {
	var e *Error
	if errors.As(err, &e) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &Error{Code: CodeInternal, Detail: "the gateway could not answer", Err: err}
}

func (s *session) answer(ctx context.Context, t *transport, q request, o Offer) (Session, error) {
	asked := time.Now()
	video, sound, err := s.source(ctx, q, feedKey{camera: o.Camera, profile: o.Profile})
	transcoded := false
	if lacksCodec(err) && s.relay.mayTranscode() && q.offers(media.H264) {
		transcoded = true
		s.relay.feeds.release(s.feed)
		s.feed = nil
		video, sound, err = s.source(ctx, q, feedKey{camera: o.Camera, profile: o.Profile, variant: asH264})
	}
	if err != nil {
		return Session{}, err
	}
	m, err := q.codecs(video.SPS, &s.trim)
	if err != nil {
		return Session{}, err
	}
	if s.pc, err = s.relay.newPeer(t, m, s); err != nil {
		return Session{}, err
	}
	s.watch(t)
	s.prefer = []media.Codec{video.Codec, sound.Codec}
	if video.Codec != 0 {
		if err := s.addTrack(s.newSlot(true, videoRate), "video", o.Camera); err != nil {
			return Session{}, err
		}
	}
	if sound.Codec != 0 {
		s.ear = &ear{relay: s.relay, slot: s.newSlot(false, audioRate(sound.Codec))}
		if err := s.addTrack(s.ear.slot, "audio", o.Camera); err != nil {
			return Session{}, err
		}
	}
	text, err := s.negotiate(ctx, o.SDP)
	if err != nil {
		return Session{}, err
	}
	s.readAll()
	for _, sl := range s.slots {
		if sl.video {
			sl.show(s.feed.video, asked)
		}
	}
	out := Session{ID: s.id, SDP: text, ETag: s.etag, Sound: s.hear(q)}
	if transcoded {
		out.Warning = CodeTranscoded
	}
	if video.BFrames && video.Codec == media.H264 {
		out.Warning = CodeBFrames
		s.log.Warn("camera sends B-frames: browsers may stutter", "camera", o.Camera)
	}
	s.relay.begin(s)
	return out, nil
}

// source opens k for the session and finds what of it the offer can take.
func (s *session) source(ctx context.Context, q request, k feedKey) (video, sound media.Track, err error) {
	//nolint:contextcheck // a feed outlives the request that starts it
	if s.feed, err = s.relay.feeds.acquire(k); err != nil {
		return video, sound, err
	}
	desc, err := s.feed.wait(ctx, s.relay.cfg.StartTimeout)
	if err != nil {
		return video, sound, err
	}
	return q.match(desc, s.relay.mayTranscodeSound())
}

// hear begins with the sound, if the viewer wants any, and tells what is not as it comes. It never waits.
func (s *session) hear(q request) Code {
	switch {
	case s.ear != nil:
		return s.ear.turn(s.feed, time.Now())
	case len(q.audio) == 0 || s.feed.sound() == 0:
		return ""
	case s.feed.sound() == media.AAC && !s.relay.mayTranscodeSound():
		return CodeSoundUnsupported
	default:
		return CodeSoundNotOffered
	}
}

// offers tells whether the viewer can take pictures in a codec.
func (q *request) offers(c media.Codec) bool {
	if len(q.video) == 0 {
		return false
	}
	_, ok := q.video[0].pick(c, nil)
	return ok
}

// match finds what of the description the offer can take, AAC as Opus if asOpus. A zero Track means none. It is an
// error if the picture cannot be sent although one is asked for: the reason is what lets a console fall back to another
// profile.
func (q *request) match(d *media.Description, asOpus bool) (video, sound media.Track, err error) {
	if i := d.Audio(); i >= 0 && len(q.audio) > 0 {
		t := d.Tracks[i]
		if t.Codec == media.AAC && asOpus {
			t = media.Track{Codec: media.Opus}
		}
		if _, ok := q.audio[0].pick(t.Codec, nil); ok && audioRate(t.Codec) > 0 {
			sound = t
		}
	}
	i := d.Video()
	if i < 0 || len(q.video) == 0 {
		if sound.Codec == 0 {
			return video, sound, fail(CodeNotOffered, "camera and offer have no kind of media in common")
		}
		return video, sound, nil
	}
	video = d.Tracks[i]
	if video.Codec != media.H264 && video.Codec != media.H265 {
		return video, sound, fail(CodeUnsupported, "the camera sends %s, which WebRTC cannot carry", video.Codec)
	}
	if _, ok := q.video[0].pick(video.Codec, nil); !ok {
		return video, sound, fail(CodeNotOffered, "the camera sends %s, the offer has only %s",
			video.Codec, q.video[0].names())
	}
	return video, sound, nil
}

func (s *session) addTrack(sl *slot, id, stream string) error {
	_, err := s.pc.AddTransceiverFromTrack(&track{slot: sl, id: id, stream: stream},
		webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendrecv})
	if err != nil {
		return fmt.Errorf("add %s track: %w", id, err)
	}
	return nil
}

// readAll starts reading RTCP of every slot. The readers end when the connection closes.
func (s *session) readAll() {
	for _, sender := range s.pc.GetSenders() {
		t, ok := sender.Track().(*track)
		if !ok {
			continue
		}
		s.readers.Go(func() {
			s.readRTCP(t.slot, func(b []byte) (int, error) {
				n, _, err := sender.Read(b)
				return n, err
			})
		})
	}
}
