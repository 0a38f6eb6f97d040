package relay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"skein/edge/media"
)

const (
	// keyEvery is how often a publisher is asked for a key frame: encoders of phones make none by themselves, and footage
	// is cut at key frames.
	keyEvery = 2 * time.Second
	// keyPause is the least time between two requests, whoever has a reason.
	keyPause = 400 * time.Millisecond
	// keyBurst is how many requests viewers may cause in short order, each once more after keyEvery.
	keyBurst = 2
	// replaceLimit is how long a publisher that dials again waits for its former session to end.
	replaceLimit = 3 * time.Second
)

// publishing is the part of a session that sends us a camera's pictures (WHIP, RFC 9725).
type publishing struct {
	session  *session
	key      feedKey
	receiver Receiver
	tracks   []PublishedTrack

	ask    chan struct{} // capacity 1: a key frame is needed
	wanted chan struct{} // capacity 1: a viewer would like one

	mu      sync.Mutex // guards the fields below
	closed  bool
	video   uint32 // SSRC, 0 before the first packet
	damaged uint64 // pictures known to be damaged
}

// Publish starts a WHIP session: what the client sends is the camera's stream from now on. A login that publishes the
// camera already takes its own place: a phone that changed networks need not wait for its former session to time out.
func (r *Relay) Publish(ctx context.Context, o PublishOffer) (Session, error) {
	if err := r.pace(o.Viewer, o.SDP); err != nil {
		return Session{}, err
	}
	q, err := parseSections(o.SDP, maxOffer)
	if err != nil {
		return Session{}, err
	}
	tracks, m, err := q.publication()
	switch {
	case err != nil:
		return Session{}, err
	case r.parts.Publishers == nil:
		return Session{}, fail(CodeNotHere, "this gateway takes no publications")
	case !o.Viewer.allowed(o.Camera):
		return Session{}, fail(CodeForbidden, "you may not publish camera %q", o.Camera)
	}
	k := feedKey{camera: o.Camera, profile: o.Profile}
	in, err := r.accept(ctx, k, o.Viewer, tracks)
	if err != nil {
		return Session{}, err
	}
	s, t, err := r.open(o.Viewer, 1)
	if err != nil {
		in.Close(err)
		return Session{}, err
	}
	s.push = &publishing{
		session: s, key: k, receiver: in, tracks: tracks, ask: make(chan struct{}, 1), wanted: make(chan struct{}, 1),
	}
	out, err := s.answerPublisher(ctx, t, m, o.SDP)
	if err != nil {
		s.end("not answered: " + err.Error())
		s.close()
		return Session{}, asError(err)
	}
	return out, nil
}

// accept begins the publication, after ending one of the same login.
func (r *Relay) accept(ctx context.Context, k feedKey, v Viewer, tracks []PublishedTrack) (Receiver, error) {
	in, err := r.parts.Publishers.Accept(k.camera, k.profile, tracks)
	if errors.Is(err, ErrBusy) && r.replace(ctx, k, v) {
		in, err = r.parts.Publishers.Accept(k.camera, k.profile, tracks)
	}
	var told *Error
	switch {
	case err == nil:
		return in, nil
	case errors.Is(err, ErrBusy):
		return nil, &Error{Code: CodeBusy, Detail: r.publishedBy(k), Err: err}
	case errors.As(err, &told):
		return nil, told
	case errors.Is(err, ErrUnknownCamera):
		return nil, &Error{Code: CodeUnknownCamera, Detail: "camera " + k.camera + " is none that publishes here", Err: err}
	}
	return nil, &Error{Code: CodeInternal, Detail: "the publication cannot be taken", Err: err}
}

// publishedBy tells who has k's place.
func (r *Relay) publishedBy(k feedKey) string {
	if old, ok := r.publishers.Load(k); ok {
		s := old.(*publishing).session //nolint:forcetypeassert // nothing else is stored
		return fmt.Sprintf("camera %s is being published already, by %s since %s", k.camera, s.viewer.Name,
			s.since.UTC().Format(time.RFC3339))
	}
	return "camera " + k.camera + " is being published already"
}

// replace ends v's own publication of k and waits for that. It reports whether there was one.
func (r *Relay) replace(ctx context.Context, k feedKey, v Viewer) bool {
	old, ok := r.publishers.Load(k)
	if !ok {
		return false
	}
	s := old.(*publishing).session //nolint:forcetypeassert // nothing else is stored
	if s.viewer.Key != v.Key {
		return false
	}
	s.end("replaced by a newer publication")
	select {
	case <-s.over:
		return true
	case <-time.After(replaceLimit):
	case <-ctx.Done():
	}
	return false
}

// publication finds what we take of what the client sends: one picture in H.264 and one sound in Opus or G.711.
func (q *request) publication() ([]PublishedTrack, *webrtc.MediaEngine, error) {
	m := &webrtc.MediaEngine{}
	var tracks []PublishedTrack
	add := func(sections []section, kind webrtc.RTPCodecType, mime string, want ...media.Codec) error {
		if len(sections) == 0 {
			return nil
		}
		for _, w := range want {
			c, ok := sections[0].pick(w, nil)
			if !ok {
				continue
			}
			tracks = append(tracks, PublishedTrack{Codec: w, Payload: c.payload, Channels: max(c.channels, 1)})
			if err := m.RegisterCodec(parameters(c, mime), kind); err != nil {
				return err
			}
			ext := webrtc.RTPHeaderExtensionCapability{URI: sdp.SDESMidURI} // tells tracks without announced SSRCs apart
			return m.RegisterHeaderExtension(ext, kind)
		}
		return nil
	}
	if len(q.sentVideo) > 1 || len(q.sentAudio) > 1 {
		return nil, nil, fail(CodeBadOffer, "a publication has one video section and at most one for audio")
	}
	err := errors.Join(add(q.sentVideo, webrtc.RTPCodecTypeVideo, mimeVideo, media.H264),
		add(q.sentAudio, webrtc.RTPCodecTypeAudio, mimeAudio, media.Opus, media.G711A, media.G711U))
	switch {
	case err != nil:
		return nil, nil, &Error{Code: CodeBadOffer, Detail: "the offer's codecs cannot be used", Err: err}
	case len(tracks) > 1 && tracks[0].Payload == tracks[1].Payload:
		return nil, nil, fail(CodeBadOffer, "video and audio have the same payload type %d", tracks[0].Payload)
	case len(q.sentVideo) == 0:
		return nil, nil, fail(CodeBadOffer, "the offer has no section that sends video")
	case len(tracks) == 0 || tracks[0].Codec != media.H264:
		return nil, nil, fail(CodeNotOffered, "publish H.264; the offer has only %s", q.sentVideo[0].names())
	}
	return tracks, m, nil
}

func (s *session) answerPublisher(
	ctx context.Context, t *transport, m *webrtc.MediaEngine, offer string,
) (Session, error) {
	se, err := s.relay.settings(t, s)
	if err != nil {
		return Session{}, err
	}
	reg := &interceptor.Registry{}
	// Lost packets are asked for again, and the sender learns what the path bears.
	logs := se.LoggerFactory // interceptors do not take it from there, and write to standard error without
	if err := errors.Join(
		webrtc.ConfigureNackWithOptions(m, reg, []nack.GeneratorOption{nack.WithGeneratorLoggerFactory(logs)},
			nack.WithResponderLoggerFactory(logs)),
		webrtc.ConfigureRTCPReportsWithOptions(reg, []report.ReceiverOption{report.WithReceiverLoggerFactory(logs)},
			report.WithSenderLoggerFactory(logs)),
		webrtc.ConfigureTWCCSenderWithOptions(m, reg, twcc.WithLoggerFactory(logs)),
	); err != nil {
		return Session{}, fmt.Errorf("configure reception: %w", err)
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithSettingEngine(se), webrtc.WithInterceptorRegistry(reg))
	s.pc, err = api.NewPeerConnection(webrtc.Configuration{Certificates: []webrtc.Certificate{t.cert}})
	if err != nil {
		return Session{}, fmt.Errorf("make peer connection: %w", err)
	}
	s.watch(t)
	s.pc.OnTrack(s.push.take)
	text, err := s.negotiate(ctx, offer)
	if err != nil {
		return Session{}, err
	}
	s.relay.publishers.Store(s.push.key, s.push)
	out := Session{ID: s.id, SDP: text, ETag: s.etag}
	s.relay.begin(s)
	return out, nil
}

// askKey tells whoever publishes k that a viewer has no key frame to begin with. Cameras that are
// pulled are not asked: they rarely listen.
func (r *Relay) askKey(k feedKey) {
	if p, ok := r.publishers.Load(k); ok {
		poke(p.(*publishing).wanted) //nolint:forcetypeassert // nothing else is stored
	}
}

// take reads one track until the connection closes.
func (p *publishing) take(track *webrtc.TrackRemote, rcv *webrtc.RTPReceiver) {
	i := p.index(track)
	p.mu.Lock()
	if p.closed || i < 0 {
		p.mu.Unlock()
		return
	}
	if track.Kind() == webrtc.RTPCodecTypeVideo {
		p.video = uint32(track.SSRC())
	}
	p.session.readers.Go(func() { p.readRTP(i, track) })
	p.session.readers.Go(func() { p.readReports(i, rcv) })
	p.mu.Unlock()
	poke(p.ask)
}

// index returns the track's place in the publication, or -1.
func (p *publishing) index(track *webrtc.TrackRemote) int {
	for i, t := range p.tracks {
		if t.Payload == uint8(track.PayloadType()) {
			return i
		}
	}
	return -1
}

func (p *publishing) readRTP(i int, track *webrtc.TrackRemote) {
	var q reorder
	buf := make([]byte, 2048)
	for {
		n, _, err := track.Read(buf)
		if err != nil {
			return
		}
		now := time.Now()
		q.push(buf[:n], now, func(b []byte) { p.receiver.RTP(i, b, now) })
		if p.tracks[i].Codec.IsVideo() {
			p.watchDamage()
		}
	}
}

// watchDamage asks for a key frame when a picture is broken for good: without it the rest cannot be decoded.
func (p *publishing) watchDamage() {
	n := p.receiver.Damaged()
	p.mu.Lock()
	worse := n != p.damaged
	p.damaged = n
	p.mu.Unlock()
	if worse {
		poke(p.ask)
	}
}

func (p *publishing) readReports(i int, rcv *webrtc.RTPReceiver) {
	buf := make([]byte, 2048)
	for {
		n, _, err := rcv.Read(buf)
		if err != nil {
			return
		}
		p.receiver.RTCP(i, buf[:n], time.Now())
	}
}

// serve asks for key frames until the session ends.
func (p *publishing) serve(ctx context.Context) {
	s := p.session
	s.log.Info("publisher connected", "camera", p.key.camera, "profile", p.key.profile)
	keys, check := time.NewTicker(keyEvery), time.NewTicker(reportEvery)
	defer keys.Stop()
	defer check.Stop()
	var last time.Time
	var viewers allowance
	for {
		select {
		case <-p.ask:
			if wait := keyPause - time.Since(last); wait > 0 {
				time.AfterFunc(wait, func() { poke(p.ask) })
				continue
			}
			last = time.Now()
			p.requestKey()
			keys.Reset(keyEvery)
		case <-p.wanted:
			if viewers.take(time.Now()) { // otherwise the next comes within keyEvery anyway
				poke(p.ask)
			}
		case <-keys.C:
			last = time.Now()
			viewers.take(last) // it serves them too
			p.requestKey()
		case <-check.C:
			if !s.viewer.allowed(p.key.camera) {
				s.end("no longer permitted")
			}
		case <-p.receiver.Withdrawn():
			s.end("the camera was removed or edited")
			return
		case <-s.closing:
			return
		case <-ctx.Done():
			s.end("gateway stops")
			return
		}
	}
}

// allowance bounds the key frames that viewers can make a publisher send, however many there are and whatever they do.
type allowance struct {
	spent time.Time // until when what was taken is paid off
}

// take spends one request.
func (a *allowance) take(now time.Time) bool {
	if a.spent.Sub(now) > (keyBurst-1)*keyEvery {
		return false
	}
	if a.spent.Before(now) {
		a.spent = now
	}
	a.spent = a.spent.Add(keyEvery)
	return true
}

func (p *publishing) requestKey() {
	p.mu.Lock()
	ssrc := p.video
	p.mu.Unlock()
	if ssrc == 0 {
		return
	}
	if err := p.session.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: ssrc}}); err != nil {
		p.session.log.Debug("key frame request not sent", "error", err)
		return
	}
	p.session.relay.metrics.asked.Inc()
}

// shut lets no further reader begin. It is called before the readers are waited for.
func (p *publishing) shut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
}

// close ends the publication after its readers.
func (p *publishing) close() {
	p.session.relay.publishers.CompareAndDelete(p.key, p)
	p.receiver.Close(nil)
}
