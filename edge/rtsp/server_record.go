package rtsp

import (
	"errors"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"
	"github.com/pion/rtp"

	"skein/edge/media"
)

// publishing is a client's ANNOUNCE and RECORD.
type publishing struct {
	request Request
	pub     Publication
	chosen  []*selected
	stats   *Stats
	rates   rates // guarded by Server.mu
	done    sync.Once

	in   *ingest       // from RECORD on
	over chan struct{} // closed with the session
}

// OnAnnounce asks where to put the publication.
func (h *handler) OnAnnounce(ctx *gortsplib.ServerHandlerOnAnnounceCtx) (*base.Response, error) {
	s := (*Server)(h)
	r, res, err := s.authorize(ctx.Conn, ctx.Request, Request{
		Action: ActionPublish, Path: cleanPath(ctx.Path), Query: ctx.Query,
	})
	if res != nil {
		return res, err
	}
	p := &publishing{request: r, over: make(chan struct{})}
	var skipped []string
	if p.chosen, skipped = choose(ctx.Description); len(p.chosen) == 0 {
		s.cfg.Logger.Warn("RTSP publication refused: no codec we can take", "path", r.Path, "offered", skipped)
		return refuse(errUnsupported)
	}
	if s.cfg.OnPublish == nil {
		return refuse(ErrForbidden)
	}
	if err := s.enter(r); err != nil {
		return refuse(err)
	}
	if p.pub, err = s.cfg.OnPublish(s.ctx, r); err != nil {
		s.leave(r)
		s.cfg.Logger.Warn("RTSP publication refused", "path", r.Path, "remote", r.Remote.String(), "err", err)
		return refuse(err)
	}
	if p.stats = p.pub.Stats; p.stats == nil {
		p.stats = &Stats{}
	}
	ctx.Session.SetUserData(p)
	s.watch(ctx.Session, r)
	return respond(base.StatusOK), nil
}

// OnRecord starts the depacketisers.
func (h *handler) OnRecord(ctx *gortsplib.ServerHandlerOnRecordCtx) (*base.Response, error) {
	s := (*Server)(h)
	p, ok := ctx.Session.UserData().(*publishing)
	if !ok || p.in != nil {
		return respond(base.StatusBadRequest), nil
	}
	if c := s.client(ctx.Conn); c == nil || !c.may(ActionPublish, p.request.Path) {
		return respond(base.StatusForbidden), nil
	}
	epochs := p.pub.Epochs
	if epochs == nil {
		epochs = media.NewEpochs(0)
	}
	epochs.Next()
	p.in = newIngest(p.chosen, p.pub.Sink, p.stats, ingestOptions{epochs: epochs, trustSender: p.pub.TrustClock})
	for i, c := range p.chosen {
		t := p.in.tracks[i]
		take := pionRTP(t)
		ctx.Session.OnPacketRTP(c.medi, c.forma, func(pkt *rtp.Packet) {
			p.stats.read(12+len(pkt.Payload), time.Now())
			take(pkt)
		})
		ctx.Session.OnPacketRTCP(c.medi, pionRTCP(t))
	}
	p.stats.begin(label(ctx.Session.Transport().Protocol), time.Now())
	s.mu.Lock()
	s.pubs[p] = struct{}{}
	s.mu.Unlock()
	if p.pub.Withdrawn != nil {
		s.wg.Go(func() {
			select {
			case <-p.pub.Withdrawn:
				ctx.Session.Close()
			case <-p.over:
			}
		})
	}
	s.cfg.Logger.Info("RTSP publication accepted", "path", p.request.Path, "remote", p.request.Remote.String(),
		"user", p.request.User)
	return respond(base.StatusOK), nil
}

// OnSessionClose ends what the session was doing.
func (h *handler) OnSessionClose(ctx *gortsplib.ServerHandlerOnSessionCloseCtx) {
	s := (*Server)(h)
	s.mu.Lock()
	delete(s.watched, ctx.Session)
	s.mu.Unlock()
	switch p := ctx.Session.UserData().(type) {
	case *publishing:
		close(p.over)
		if p.in != nil {
			p.in.close()
		}
		s.mu.Lock()
		delete(s.pubs, p)
		s.mu.Unlock()
		s.leave(p.request)
		p.done.Do(func() {
			if p.pub.Done != nil {
				p.pub.Done(p.failure(ctx.Error))
			}
		})
	case *playing:
		p.feed.remove(ctx.Session)
		s.leave(p.request)
		p.release()
	}
}

// failure names why a publication ended.
func (p *publishing) failure(err error) error {
	e := &Error{Camera: p.request.Path, Op: "receive", Remote: p.request.Remote.String(), Reason: classify(err), Err: err}
	var (
		torn    liberrors.ErrServerSessionTornDown
		unused  liberrors.ErrServerSessionNotInUse
		timeout liberrors.ErrServerSessionTimedOut
	)
	switch {
	case errors.As(err, &torn), errors.As(err, &unused):
		e.Reason = classify(errClosedByPeer)
	case errors.As(err, &timeout):
		e.Reason = classify(errSilent)
	}
	return e
}

// may reports whether the client passed Auth for action on path.
func (c *client) may(a Action, path string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.allowed[grant{a, path}]
	return ok
}

// OnPacketsLost keeps the library from logging; our own counters are per track.
func (h *handler) OnPacketsLost(*gortsplib.ServerHandlerOnPacketsLostCtx) {}

// OnDecodeError keeps the library from logging.
func (h *handler) OnDecodeError(ctx *gortsplib.ServerHandlerOnDecodeErrorCtx) {
	if p, ok := ctx.Session.UserData().(*publishing); ok && p.stats != nil {
		p.stats.malformed.Add(1)
	}
}

// OnStreamWriteError keeps the library from logging: feeds do not write through its streams.
func (h *handler) OnStreamWriteError(*gortsplib.ServerHandlerOnStreamWriteErrorCtx) {}
