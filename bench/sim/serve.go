package sim

import (
	"fmt"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"
	"github.com/pion/rtp"

	"skein/bench/sim/h264"
	"skein/bench/sim/h265"
	"skein/edge/media"
)

// add makes the streams of the i-th camera.
func (s *Server) add(cam *Camera, i int) error {
	control := &Control{server: s, clock: newClock(s.cfg.Now(), cam.DriftPPM, cam.ClockOffset)}
	s.controls[cam.ID] = control
	sound, err := s.sound(cam.Audio)
	if err != nil {
		return err
	}
	profiles := []media.Profile{media.Main}
	if cam.Sub != nil {
		profiles = append(profiles, media.Sub)
	}
	for k, p := range profiles {
		video, err := cam.video(p)
		if err != nil {
			return err
		}
		st := &stream{
			path: path(cam.ID, p), camera: cam, video: video, control: control,
			phase:   spread(i*2+k, video.FPS),
			sound:   sound,
			readers: map[*gortsplib.ServerSession]bool{}, stampSending: s.cfg.StampSending,
		}
		st.describe()
		control.streams = append(control.streams, st)
		s.streams[st.path] = st
		s.ordered = append(s.ordered, st)
	}
	return nil
}

// spread returns a phase that keeps the n-th stream's pictures away from the others', on the schedule's grid.
func spread(n, fps int) time.Duration {
	slots := max(int(time.Second/time.Duration(fps)/grid), 1)
	return time.Duration(n*7%slots) * grid
}

// sound returns the loop of a codec, which cameras share; nil for none.
func (s *Server) sound(codec media.Codec) (*audioLoop, error) {
	if l, ok := s.sounds[codec]; ok {
		return l, nil
	}
	l, err := newSound(codec)
	if err == nil {
		s.sounds[codec] = l
	}
	return l, err
}

// describe makes the SDP and what sends by it.
func (s *stream) describe() {
	forma := s.video.format()
	s.picture.media = &description.Media{Type: description.MediaTypeVideo, Formats: []format.Format{forma}}
	s.picture.rate, s.picture.origin = videoClock, random32()
	s.desc = &description.Session{Title: s.camera.ID, Medias: []*description.Media{s.picture.media}}
	if s.sound != nil {
		s.audio.media = &description.Media{Type: description.MediaTypeAudio, Formats: []format.Format{s.sound.format()}}
		s.audio.rate, s.audio.origin = s.sound.clockRate, random32()
		s.desc.Medias = append(s.desc.Medias, s.audio.media)
	}
	s.packer = newPacketizer(s.video.Codec, videoPayloadType, uint16(random32()))
	s.seq = uint16(random32())
	s.emit = func(pkt *rtp.Packet) { s.send(&s.picture, pkt) }
}

// format describes the video, with its parameter sets.
func (v Video) format() format.Format {
	if v.Codec == media.H265 {
		p := h265.Params{Width: v.Width, Height: v.Height, FPS: v.DeclaredFPS}
		return &format.H265{PayloadTyp: videoPayloadType, VPS: p.VPS(), SPS: p.SPS(), PPS: p.PPS()}
	}
	p := h264.Params{Width: v.Width, Height: v.Height, FPS: v.DeclaredFPS}
	return &format.H264{PayloadTyp: videoPayloadType, SPS: p.SPS(), PPS: p.PPS(), PacketizationMode: 1}
}

// open lets readers in.
func (s *Server) open(st *stream) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.server != nil {
		return nil
	}
	out := &gortsplib.ServerStream{Server: s.rtsp, Desc: st.desc}
	if err := out.Initialize(); err != nil {
		return fmt.Errorf("serve %s: %w", st.path, err)
	}
	st.server = out
	return nil
}

func (s *stream) stop() {
	s.mu.Lock()
	out := s.server
	s.server = nil
	clear(s.readers)
	s.left = true
	s.mu.Unlock()
	if out != nil {
		out.Close()
	}
}

// handler answers RTSP requests. Its methods are called from the library's goroutines.
type handler struct{ server *Server }

// OnDescribe implements gortsplib.ServerHandlerOnDescribe.
func (h *handler) OnDescribe(
	ctx *gortsplib.ServerHandlerOnDescribeCtx,
) (*base.Response, *gortsplib.ServerStream, error) {
	return h.lookup(ctx.Conn, ctx.Request, ctx.Path)
}

// OnSetup implements gortsplib.ServerHandlerOnSetup.
func (h *handler) OnSetup(ctx *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return h.lookup(ctx.Conn, ctx.Request, ctx.Path)
}

func (h *handler) lookup(
	conn *gortsplib.ServerConn, req *base.Request, p string,
) (*base.Response, *gortsplib.ServerStream, error) {
	cfg := &h.server.cfg
	if cfg.User != "" && !conn.VerifyCredentials(req, cfg.User, cfg.Password) {
		return &base.Response{StatusCode: base.StatusUnauthorized}, nil, liberrors.ErrServerAuth{}
	}
	st := h.server.find(p)
	if st == nil {
		return &base.Response{StatusCode: base.StatusNotFound}, nil, nil
	}
	if want := st.camera.Password; want != "" && !conn.VerifyCredentials(req, "admin", want) {
		return &base.Response{StatusCode: base.StatusUnauthorized}, nil, liberrors.ErrServerAuth{}
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.server == nil {
		return &base.Response{StatusCode: base.StatusNotFound}, nil, nil
	}
	return &base.Response{StatusCode: base.StatusOK}, st.server, nil
}

// OnPlay implements gortsplib.ServerHandlerOnPlay.
func (h *handler) OnPlay(ctx *gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	st := h.server.find(ctx.Path)
	if st == nil {
		return &base.Response{StatusCode: base.StatusNotFound}, nil
	}
	st.prepare(h.server.lib, &h.server.scratch)
	st.mu.Lock()
	st.readers[ctx.Session] = true
	st.joined = h.server.cfg.Now()
	st.mu.Unlock()
	h.server.cfg.Logger.Debug("reader plays", "path", st.path)
	select {
	case h.server.poke <- struct{}{}:
	default:
	}
	return &base.Response{StatusCode: base.StatusOK}, nil
}

// prepare makes the encoder for the first reader, without holding the scheduler up.
func (s *stream) prepare(lib *library, mem *scratch) {
	s.mu.Lock()
	ready := s.encoder != nil
	s.mu.Unlock()
	if ready {
		return
	}
	e := newEncoder(lib, mem, *s.camera, s.video)
	s.mu.Lock()
	if s.encoder == nil {
		s.encoder = e
	}
	s.mu.Unlock()
}

// OnPause implements gortsplib.ServerHandlerOnPause.
func (h *handler) OnPause(ctx *gortsplib.ServerHandlerOnPauseCtx) (*base.Response, error) {
	h.leave(ctx.Session)
	return &base.Response{StatusCode: base.StatusOK}, nil
}

// OnSessionClose implements gortsplib.ServerHandlerOnSessionClose.
func (h *handler) OnSessionClose(ctx *gortsplib.ServerHandlerOnSessionCloseCtx) { h.leave(ctx.Session) }

// OnStreamWriteError implements gortsplib.ServerHandlerOnStreamWriteError: a reader that does not keep up loses
// packets.
func (h *handler) OnStreamWriteError(*gortsplib.ServerHandlerOnStreamWriteErrorCtx) {}

func (h *handler) leave(session *gortsplib.ServerSession) {
	for _, st := range h.server.ordered {
		st.mu.Lock()
		if st.readers[session] {
			delete(st.readers, session)
			st.left = st.left || len(st.readers) == 0
		}
		st.mu.Unlock()
	}
}
