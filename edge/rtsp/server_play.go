package rtsp

import (
	"errors"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"

	"skein/edge/stream"
)

// playing is one client's hold on a feed, from DESCRIBE or SETUP to the end of its session.
type playing struct {
	request Request
	feed    *feed
	lib     *gortsplib.ServerStream
	release func() // may be called once
}

// OnDescribe answers with the stream's SDP; the connection keeps the feed for the SETUP that follows.
func (h *handler) OnDescribe(
	ctx *gortsplib.ServerHandlerOnDescribeCtx,
) (*base.Response, *gortsplib.ServerStream, error) {
	s := (*Server)(h)
	p, res, err := s.hold(ctx.Conn, ctx.Request, Request{Action: ActionPlay, Path: cleanPath(ctx.Path), Query: ctx.Query})
	if res != nil {
		return res, nil, err
	}
	return respond(base.StatusOK), p.lib, nil
}

// OnSetup joins a playing session to its feed.
func (h *handler) OnSetup(ctx *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	s := (*Server)(h)
	path := cleanPath(ctx.Path)
	switch p := ctx.Session.UserData().(type) {
	case *publishing:
		if c := s.client(ctx.Conn); c == nil || !c.may(ActionPublish, p.request.Path) {
			return respond(base.StatusForbidden), nil, nil
		}
		if s.cfg.PublishTCP && ctx.Transport.Protocol != gortsplib.ProtocolTCP {
			return respond(base.StatusUnsupportedTransport), nil, nil
		}
		return respond(base.StatusOK), nil, nil
	case *playing:
		if c := s.client(ctx.Conn); c == nil || !c.may(ActionPlay, p.request.Path) {
			return respond(base.StatusForbidden), nil, nil
		}
		return respond(base.StatusOK), p.lib, nil
	}
	p, res, err := s.hold(ctx.Conn, ctx.Request, Request{Action: ActionPlay, Path: path, Query: ctx.Query})
	if res != nil {
		return res, nil, err
	}
	if err := s.enter(p.request); err != nil {
		res, err := refuse(err)
		return res, nil, err
	}
	// The hold moves from the connection to the session.
	if c := s.client(ctx.Conn); c != nil {
		c.mu.Lock()
		delete(c.held, path)
		c.mu.Unlock()
	}
	ctx.Session.SetUserData(p)
	s.watch(ctx.Session, p.request)
	return respond(base.StatusOK), p.lib, nil
}

// OnPlay sends the current group of pictures, then joins the session to the live packets without a hole.
func (h *handler) OnPlay(ctx *gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	s := (*Server)(h)
	p, ok := ctx.Session.UserData().(*playing)
	if !ok {
		return respond(base.StatusBadRequest), nil
	}
	if c := s.client(ctx.Conn); c == nil || !c.may(ActionPlay, p.request.Path) {
		return respond(base.StatusForbidden), nil
	}
	if ctx.Session.State() != gortsplib.ServerSessionStatePlay {
		p.feed.add(ctx.Session)
		s.cfg.Logger.Info("RTSP reader plays", "path", p.request.Path, "remote", p.request.Remote.String(),
			"user", p.request.User)
	}
	return respond(base.StatusOK), nil
}

// hold authorizes r and returns the connection's hold on the stream it names. Errors come with their response.
func (s *Server) hold(conn *gortsplib.ServerConn, req *base.Request, r Request) (*playing, *base.Response, error) {
	r, res, err := s.authorize(conn, req, r)
	if res != nil {
		return nil, res, err
	}
	c := s.client(conn)
	if c == nil {
		return nil, respond(base.StatusServiceUnavailable), nil
	}
	c.mu.Lock()
	p := c.held[r.Path]
	c.mu.Unlock()
	if p != nil {
		return p, nil, nil
	}
	p, err = s.acquire(r)
	if err != nil {
		res, err := refuse(err)
		return nil, res, err
	}
	c.mu.Lock()
	gone := c.held == nil
	if !gone {
		c.held[r.Path] = p
	}
	c.mu.Unlock()
	if gone { // the connection closed meanwhile
		p.release()
		return nil, respond(base.StatusServiceUnavailable), nil
	}
	return p, nil, nil
}

// describeTimeout is how long DESCRIBE waits for the first unit of a stream that has none yet.
const describeTimeout = 8 * time.Second

// acquire finds the stream of r and a feed that packetises it.
func (s *Server) acquire(r Request) (*playing, error) {
	if s.cfg.OnPlay == nil {
		return nil, ErrForbidden
	}
	st, done, err := s.cfg.OnPlay(s.ctx, r)
	if err != nil {
		return nil, err
	}
	if done == nil {
		done = func() {}
	}
	f := s.feedOf(st)
	p := &playing{request: r, feed: f}
	var once sync.Once
	p.release = func() {
		once.Do(func() {
			if p.lib != nil {
				f.part(p.lib)
			}
			s.dropFeed(st, f)
			done()
		})
	}
	wait := time.NewTimer(describeTimeout)
	defer wait.Stop()
	select {
	case <-f.ready:
		if p.lib, err = f.join(); err != nil {
			p.release()
			return nil, err
		}
		return p, nil
	case <-f.ended:
	case <-wait.C:
	case <-s.ctx.Done():
	}
	p.release()
	return nil, errNoPicture
}

var (
	errNoPicture    = errors.New("the camera delivers no picture: see its state")
	errClosedByPeer = &closedByPeer{}
)

// feedOf returns the feed of st, started if need be, with one more user.
func (s *Server) feedOf(st *stream.Stream) *feed {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.feeds[st]
	if f == nil || f.over() {
		f = newFeed(s, st)
		s.feeds[st] = f
		s.wg.Go(f.run)
	}
	f.users++
	return f
}

func (s *Server) dropFeed(st *stream.Stream, f *feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.users--; f.users == 0 {
		f.cancel()
		if s.feeds[st] == f {
			delete(s.feeds, st)
		}
	}
}
