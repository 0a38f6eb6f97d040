package link_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"skein/config/secret"
	"skein/edge/link"
	"skein/edge/media"
	"skein/edge/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pipes is a network without a network: it works inside a synctest bubble.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once

	mu    sync.Mutex
	open  []net.Conn
	cut   bool // dialling fails
	dials int
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 80} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	x, y := net.Pipe()
	a, b := newBuffered(x), newBuffered(y)
	p.mu.Lock()
	p.dials++
	cut := p.cut
	p.open = append(p.open, a, b)
	p.mu.Unlock()
	if cut {
		return nil, errors.New("no route")
	}
	select {
	case p.conns <- b:
		return a, nil
	case <-p.done:
		return nil, errors.New("refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// buffered is one end of a pipe that, like TCP, takes writes before the other end reads, and delivers them after Close.
type buffered struct {
	net.Conn
	queue  chan []byte
	closed chan struct{}
	once   sync.Once
}

func newBuffered(c net.Conn) *buffered {
	b := &buffered{Conn: c, queue: make(chan []byte, 1024), closed: make(chan struct{})}
	go b.pump()
	return b
}

func (b *buffered) pump() {
	defer b.Conn.Close()
	for {
		select {
		case p := <-b.queue:
			if _, err := b.Conn.Write(p); err != nil {
				return
			}
			continue
		default:
		}
		select {
		case p := <-b.queue:
			if _, err := b.Conn.Write(p); err != nil {
				return
			}
		case <-b.closed:
			if len(b.queue) == 0 {
				return
			}
		}
	}
}

func (b *buffered) Write(p []byte) (int, error) {
	select {
	case <-b.closed:
		return 0, net.ErrClosed
	case b.queue <- slices.Clone(p):
		return len(p), nil
	}
}

func (b *buffered) Close() error {
	b.once.Do(func() {
		b.Conn.SetDeadline(time.Now().Add(time.Millisecond))
		close(b.closed)
	})
	return nil
}

func (b *buffered) SetWriteDeadline(time.Time) error { return nil }

// drop closes all connections and lets no new one through, or lets them again.
func (p *pipes) drop(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	for _, c := range p.open {
		c.Close()
	}
	p.open = nil
}

// site is an edge: its cameras and what it was told to publish.
type site struct {
	mu      sync.Mutex
	states  map[string]status.State
	running map[link.Key]link.Target
	starts  int
	log     []string
}

func (s *site) Cameras() []status.Camera {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []status.Camera
	for id, st := range s.states {
		out = append(out, status.Camera{ID: id, Profiles: map[string]status.Profile{"main": {State: st}}})
	}
	return out
}

func (s *site) set(id string, st status.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.states[id] = st
}

func (s *site) offer() []link.Camera {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []link.Camera
	for id := range s.states {
		out = append(out, link.Camera{ID: id, Profiles: []media.Profile{media.Main}})
	}
	return out
}

func (s *site) Start(camera string, p media.Profile, t link.Target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.starts++
	s.running[link.Key{Camera: camera, Profile: p}] = t
	s.log = append(s.log, "start "+camera)
}

func (s *site) Stop(camera string, p media.Profile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, link.Key{Camera: camera, Profile: p})
	s.log = append(s.log, "stop "+camera)
}

func (s *site) target(camera string) (link.Target, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.running[link.Key{Camera: camera, Profile: media.Main}]
	return t, ok
}

func (s *site) events() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log)
}

// world is a gateway and the edge "east", joined by pipes.
type world struct {
	net     *pipes
	hub     *link.Hub
	streams *link.Streams
	site    *site
	client  *link.Client
	stop    func() // ends everything, in order
	stopHub func()
}

func newWorld(t *testing.T, edit func(*link.HubOptions, *link.ClientOptions)) *world {
	t.Helper()
	w := &world{net: newPipes(), site: &site{
		states: map[string]status.State{"cam0": status.Live, "cam1": status.Offline}, running: map[link.Key]link.Target{},
	}}
	ho := link.HubOptions{
		RTSP: "rtsp://:8554",
		Node: func(r *http.Request) (string, bool) {
			id, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer token-of-")
			return id, ok
		},
	}
	co := link.ClientOptions{
		URL: "http://gateway.example:80", Node: "east", Token: secret.New("token-of-east"), Software: "test",
		Offer: w.site.offer, Statuses: w.site, Publisher: w.site, Dial: w.net.dial,
	}
	if edit != nil {
		edit(&ho, &co)
	}
	w.hub = link.NewHub(ho)
	w.streams = link.NewStreams(w.hub, link.StreamsOptions{Unknown: errOther})
	var err error
	if w.client, err = link.NewClient(co); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /v1/link", w.hub)
	srv := &http.Server{Handler: mux}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(w.net) }()
	hubCtx, stopHub := context.WithCancel(t.Context())
	hubDone := make(chan error, 1)
	go func() { hubDone <- w.hub.Run(hubCtx) }()
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- w.client.Run(ctx) }()
	w.stopHub = stopHub
	w.stop = func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		stopHub()
		<-hubDone
		w.streams.Close()
		srv.Close()
		<-served
		w.net.drop(true)
	}
	synctest.Wait()
	return w
}

var errOther = errors.New("unknown camera, in the relay's words")

func (w *world) state(id string) status.Profile {
	for _, c := range w.hub.Cameras() {
		if c.ID == id {
			return c.Profiles["main"]
		}
	}
	return status.Profile{}
}

func TestHelloAndStates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		nodes := w.hub.Nodes()
		if len(nodes) != 1 || !nodes[0].Up || nodes[0].ID != "east" || nodes[0].Cameras != 2 || nodes[0].Software != "test" {
			t.Fatalf("nodes %+v", nodes)
		}
		if !w.client.Up() || w.state("cam0").State != status.Live || w.state("cam1").State != status.Offline {
			t.Fatalf("states %+v", w.hub.Cameras())
		}
		w.site.set("cam0", status.Frozen)
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		if got := w.state("cam0").State; got != status.Frozen {
			t.Fatalf("a second later: %s", got)
		}
		// a camera is added
		w.site.set("cam2", status.Live)
		w.client.OfferChanged()
		synctest.Wait()
		if got := w.state("cam2").State; got != status.Live {
			t.Fatalf("new camera: %q", got)
		}
	})
}

func TestSilentEdge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		w.net.drop(true)
		synctest.Wait()
		if got := w.state("cam0"); got.State != status.Live {
			t.Fatalf("a short cut is not shown: %+v", got)
		}
		time.Sleep(11 * time.Second)
		if got := w.state("cam0"); got.State != status.EdgeSilent || got.Reason != status.ReasonLink {
			t.Fatalf("after 11 s: %+v", got)
		}
		if _, _, err := w.streams.Open(t.Context(), "cam0", media.Main); !errors.Is(err, link.ErrNodeDown) {
			t.Fatalf("open: %v", err)
		}
		w.net.drop(false)
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if got := w.state("cam0"); got.State != status.Live {
			t.Fatalf("link is back: %+v", got)
		}
	})
}

// The gateway's host vanishes without a word: no FIN, no RST. Pings find out.
func TestHalfOpenLinkIsFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var frozen sync.Mutex
		w := newWorld(t, func(_ *link.HubOptions, c *link.ClientOptions) {
			dial := c.Dial
			c.Dial = func(ctx context.Context, n, a string) (net.Conn, error) {
				conn, err := dial(ctx, n, a)
				return &gate{Conn: conn, mu: &frozen}, err
			}
		})
		defer w.stop()
		_ = frozen.TryLock() // from now on nothing gets through, either way
		time.Sleep(30 * time.Second)
		up := w.client.Up()
		node := w.hub.Nodes()[0]
		frozen.Unlock()
		if up || node.Up {
			t.Fatalf("after 30 s of silence: client up %v, node up %v", up, node.Up)
		}
		time.Sleep(40 * time.Second)
		synctest.Wait()
		if !w.client.Up() || !w.hub.Nodes()[0].Up {
			t.Fatal("the link did not come back")
		}
	})
}

// gate swallows everything while mu is locked.
type gate struct {
	net.Conn
	mu *sync.Mutex
}

func (g *gate) frozen() bool {
	if g.mu.TryLock() {
		g.mu.Unlock()
		return false
	}
	return true
}

func (g *gate) Write(b []byte) (int, error) {
	if g.frozen() {
		return len(b), nil
	}
	return g.Conn.Write(b)
}

func (g *gate) Read(b []byte) (int, error) {
	for {
		n, err := g.Conn.Read(b)
		if err != nil || !g.frozen() {
			return n, err
		}
	}
}

func TestBackOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		w.net.drop(true)
		w.net.mu.Lock()
		before := w.net.dials
		w.net.mu.Unlock()
		time.Sleep(10 * time.Minute)
		w.net.mu.Lock()
		n := w.net.dials - before
		w.net.mu.Unlock()
		if n < 20 || n > 60 { // pauses grow to between 15 and 30 s
			t.Fatalf("%d attempts in ten minutes", n)
		}
	})
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*link.HubOptions, *link.ClientOptions){
		"no node's token":      func(_ *link.HubOptions, c *link.ClientOptions) { c.Token = secret.New("guess") },
		"another node's token": func(_ *link.HubOptions, c *link.ClientOptions) { c.Token = secret.New("token-of-west") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, edit)
				defer w.stop()
				time.Sleep(3 * time.Second)
				if w.client.Up() || len(w.hub.Cameras()) != 0 {
					t.Fatal("the node was let in")
				}
			})
		})
	}
}

func TestForeignCamerasAreIgnored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(h *link.HubOptions, _ *link.ClientOptions) {
			h.Allow = func(node, camera string) bool { return node == "east" && camera == "cam1" }
		})
		defer w.stop()
		all := w.hub.Cameras()
		if len(all) != 1 || all[0].ID != "cam1" {
			t.Fatalf("cameras %+v", all)
		}
		if _, _, err := w.streams.Open(t.Context(), "cam0", media.Main); !errors.Is(err, link.ErrUnknown) ||
			!errors.Is(err, errOther) {
			t.Fatalf("open: %v", err)
		}
	})
}

// Which node speaks for a camera is asked whenever it matters: an inventory changes while links stand.
func TestACameraGivenToAnotherNodeIsLostToTheFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var taken atomic.Bool
		w := newWorld(t, func(h *link.HubOptions, _ *link.ClientOptions) {
			h.Allow = func(_, camera string) bool { return camera != "cam0" || !taken.Load() }
		})
		defer w.stop()
		cam0 := link.Key{Camera: "cam0", Profile: media.Main}
		if _, known, _ := w.hub.NodeOf(cam0); !known {
			t.Fatal("nobody has cam0")
		}
		taken.Store(true)
		if id, known, _ := w.hub.NodeOf(cam0); known || w.state("cam0").State != "" {
			t.Errorf("cam0 is given to another node, and still %s speaks for it: %+v", id, w.state("cam0"))
		}
		if err := w.hub.Hurry(t.Context(), "cam0", time.Now()); !errors.Is(err, link.ErrUnknown) {
			t.Errorf("hurry: %v, want that nobody has it", err)
		}
		taken.Store(false)
		if _, known, _ := w.hub.NodeOf(cam0); !known {
			t.Error("cam0 is given back, and nobody has it")
		}
	})
}

// The whole way: two viewers, one publication, an interruption, and its end.
func TestStreamOnDemand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		type opened struct {
			release func()
			err     error
		}
		got := make(chan opened, 2)
		for range 2 {
			go func() {
				_, release, err := w.streams.Open(t.Context(), "cam0", media.Main)
				got <- opened{release, err}
			}()
		}
		synctest.Wait()
		target, ok := w.site.target("cam0")
		if !ok || target.URL != "rtsp://gateway.example:8554/live/cam0/main" || target.User != "east" {
			t.Fatalf("asked to publish to %+v", target)
		}
		if w.streams.Authorize("live/cam0/main", "east", "guess") ||
			w.streams.Authorize("live/cam0/main", "west", target.Token.Reveal()) ||
			w.streams.Authorize("live/cam1/main", "east", target.Token.Reveal()) {
			t.Fatal("a wrong credential was taken")
		}
		if !w.streams.Authorize("live/cam0/main", "east", target.Token.Reveal()) {
			t.Fatal("the right credential was not taken")
		}
		a, err := w.streams.Accept("live/cam0/main", "east")
		if err != nil {
			t.Fatal(err)
		}
		if w.streams.Authorize("live/cam0/main", "east", target.Token.Reveal()) {
			t.Fatal("the token can be used twice")
		}
		var all [2]opened
		for i := range all {
			if all[i] = <-got; all[i].err != nil {
				t.Fatal(all[i].err)
			}
		}
		reader := a.Stream.Subscribe(readerOptions())

		// the gateway says again and again what it wants: that must not restart anything
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := w.site.events(); len(n) != 1 {
			t.Fatalf("events %v", n)
		}

		// the publication breaks: the node is asked again, with another token, and the stream goes on
		a.Done(errors.New("connection reset"))
		w.client.Failed("cam0", media.Main, target.Token, errors.New("connection reset"))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		again, _ := w.site.target("cam0")
		if again.Token.Reveal() == target.Token.Reveal() {
			t.Fatal("no new token")
		}
		b, err := w.streams.Accept("/live/cam0/main", "east")
		if err != nil || b.Stream != a.Stream || b.Epochs != a.Epochs {
			t.Fatalf("the stream does not go on: %v", err)
		}

		// one leaves, nothing happens; the other leaves, and it stops after the linger time
		all[0].release()
		all[0].release()
		time.Sleep(time.Minute)
		if len(w.streams.Active()) != 1 {
			t.Fatal("stopped while somebody looks")
		}
		all[1].release()
		time.Sleep(9 * time.Second)
		if len(w.streams.Active()) != 1 {
			t.Fatal("stopped before the linger time")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if _, ok := w.site.target("cam0"); ok || len(w.streams.Active()) != 0 {
			t.Fatalf("still published: %v", w.site.events())
		}
		if _, err := reader.Next(t.Context()); err == nil {
			t.Fatal("the stream was not closed")
		}
		b.Done(nil)
	})
}

// The link is cut while a stream is published: media has its own way, so nothing restarts when the link is back.
func TestPublicationsSurviveTheLink(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		go func() {
			_, release, err := w.streams.Open(t.Context(), "cam0", media.Main)
			if err != nil {
				t.Error(err)
				return
			}
			<-t.Context().Done()
			release()
		}()
		synctest.Wait()
		if _, err := w.streams.Accept("/live/cam0/main", "east"); err != nil {
			t.Fatal(err)
		}
		w.net.drop(true)
		time.Sleep(20 * time.Second)
		w.net.drop(false)
		time.Sleep(40 * time.Second)
		synctest.Wait()
		if ev := w.site.events(); len(ev) != 1 || !w.client.Up() {
			t.Fatalf("events %v, up %v", ev, w.client.Up())
		}
	})
}

func TestOpenTimesOutWithTheReason(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		result := make(chan error, 1)
		go func() {
			_, _, err := w.streams.Open(t.Context(), "cam0", media.Main)
			result <- err
		}()
		began := time.Now()
		var err error
		for err == nil {
			synctest.Wait()
			if tg, ok := w.site.target("cam0"); ok {
				w.client.Failed("cam0", media.Main, tg.Token, errors.New("camera is offline"))
			}
			select {
			case err = <-result:
			case <-time.After(100 * time.Millisecond):
			}
		}
		if !errors.Is(err, link.ErrTimeout) || !strings.Contains(err.Error(), "camera is offline") {
			t.Fatalf("got %v", err)
		}
		if d := time.Since(began); d < 15*time.Second || d > 16*time.Second {
			t.Fatalf("after %v", d)
		}
		w.site.mu.Lock()
		n := w.site.starts
		w.site.mu.Unlock()
		if n < 3 || n > 8 {
			t.Fatalf("%d attempts in 15 s: want growing pauses", n)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if _, ok := w.site.target("cam0"); ok {
			t.Fatal("still wanted though nobody looks")
		}
	})
}

func TestGatewayStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		w.stopHub()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if w.client.Up() || w.hub.Nodes()[0].Up {
			t.Fatal("the link outlived the gateway")
		}
	})
}

func TestNodeDialsTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		twin, err := link.NewClient(link.ClientOptions{
			URL: "ws://gateway.example/v1/link", Node: "east", Token: secret.New("token-of-east"),
			Offer: w.site.offer, Statuses: w.site, Publisher: &site{running: map[link.Key]link.Target{}}, Dial: w.net.dial,
			RetryMin: time.Hour, RetryMax: time.Hour,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- twin.Run(ctx) }()
		synctest.Wait()
		if !twin.Up() || w.client.Up() {
			t.Fatalf("newest wins: twin %v, former %v", twin.Up(), w.client.Up())
		}
		cancel()
		<-done
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if !w.client.Up() || !w.hub.Nodes()[0].Up {
			t.Fatal("the former does not come back")
		}
	})
}

// Many cameras: the report is split, and cameras that are gone from it are forgotten.
func TestManyCameras(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		for i := range 1203 {
			w.site.set(fmt.Sprintf("c-%d", i), status.Live)
		}
		w.client.OfferChanged()
		synctest.Wait()
		live := 0
		for _, c := range w.hub.Cameras() {
			if c.Profiles["main"].State == status.Live {
				live++
			}
		}
		if live != 1204 {
			t.Fatalf("%d live", live)
		}
		w.site.mu.Lock()
		w.site.states = map[string]status.State{"cam0": status.Live}
		w.site.mu.Unlock()
		w.client.OfferChanged()
		synctest.Wait()
		if n := len(w.hub.Cameras()); n != 1 {
			t.Fatalf("%d cameras", n)
		}
	})
}

func TestClientOptions(t *testing.T) {
	t.Parallel()
	good := link.ClientOptions{URL: "https://gw", Node: "n", Token: secret.New("t")}
	for want, edit := range map[string]func(*link.ClientOptions){
		"want http://":     func(o *link.ClientOptions) { o.URL = "ftp://gw" },
		"has no host":      func(o *link.ClientOptions) { o.URL = "https://" },
		"no URL":           func(o *link.ClientOptions) { o.URL = "http://a b" },
		"must not hold":    func(o *link.ClientOptions) { o.URL = "https://user:hunter2@gw" },
		"node id":          func(o *link.ClientOptions) { o.Node = "A B" },
		"token is missing": func(o *link.ClientOptions) { o.Token = secret.String{} },
	} {
		o := good
		edit(&o)
		_, err := link.NewClient(o)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v, want one with %q", err, want)
		}
	}
	if _, err := link.NewClient(good); err != nil {
		t.Error(err)
	}
}
