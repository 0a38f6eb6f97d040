package edge

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"sync"

	"skein/config/secret"
	"skein/edge/link"
	"skein/edge/media"
	"skein/edge/rtsp"
)

// Publisher publishes streams to the gateway when the control link asks for them. Start and Stop do not block; they are
// called from one goroutine at a time. Publications run inside Run.
type Publisher struct {
	edge *Edge
	log  *slog.Logger

	mu      sync.Mutex // guards the fields below
	ctx     context.Context
	wg      sync.WaitGroup
	running map[link.Key]context.CancelFunc
	failed  func(camera string, p media.Profile, token secret.String, why error)
}

// NewPublisher returns a publisher of e's streams.
func NewPublisher(e *Edge, log *slog.Logger) *Publisher {
	return &Publisher{edge: e, log: log, running: map[link.Key]context.CancelFunc{}}
}

// OnFailure has f told when a publication ended by itself. It must be called before Run.
func (p *Publisher) OnFailure(f func(camera string, profile media.Profile, token secret.String, why error)) {
	p.failed = f
}

// Run holds the publications until ctx ends; it returns after all have ended.
func (p *Publisher) Run(ctx context.Context) error {
	p.mu.Lock()
	p.ctx = ctx
	p.mu.Unlock()
	<-ctx.Done()
	p.mu.Lock() // nothing starts after this: Start checks ctx with mu held
	wg := &p.wg
	p.mu.Unlock()
	wg.Wait()
	return nil
}

// Start publishes a profile to t, in place of a former publication of it.
func (p *Publisher) Start(camera string, profile media.Profile, t link.Target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx == nil || p.ctx.Err() != nil {
		return
	}
	k := link.Key{Camera: camera, Profile: profile}
	if cancel := p.running[k]; cancel != nil {
		cancel()
	}
	ctx, cancel := context.WithCancel(p.ctx)
	p.running[k] = cancel
	p.wg.Go(func() {
		defer cancel()
		err := p.publish(ctx, k, t)
		if ctx.Err() == nil && p.failed != nil {
			p.failed(camera, profile, t.Token, err)
		}
	})
}

// Stop ends the publication, if there is one.
func (p *Publisher) Stop(camera string, profile media.Profile) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := link.Key{Camera: camera, Profile: profile}
	if cancel := p.running[k]; cancel != nil {
		cancel()
		delete(p.running, k)
	}
}

// publish sends one stream until ctx ends or something fails.
func (p *Publisher) publish(ctx context.Context, k link.Key, t link.Target) error {
	s, release, err := p.edge.Open(ctx, k.Camera, k.Profile)
	if err != nil {
		return err
	}
	defer release()
	u, err := url.Parse(t.URL)
	if err != nil {
		return errors.New("the gateway gave a malformed RTSP address")
	}
	u.User = url.UserPassword(t.User, t.Token.Reveal())
	p.log.Info("publishing to the gateway", "stream", k)
	err = rtsp.Publish(ctx, rtsp.PublishConfig{Camera: k.Camera, URL: u.String(), Logger: p.log}, s)
	p.log.Info("publication ended", "stream", k, "error", err)
	return err
}
