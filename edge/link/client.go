package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"skein/config/secret"
	"skein/edge/media"
	"skein/edge/status"
)

// Target is where a stream is to be published.
type Target struct {
	URL   string // rtsp:// or rtsps://, without credentials
	User  string // this node's id
	Token secret.String
}

// Publisher starts and stops publications. Its methods must not block; they are called from one goroutine at a time.
type Publisher interface {
	// Start publishes the profile of the camera to t, in place of a former publication of it. If that fails or ends by
	// itself, the publisher tells Client.Failed, and does not try again by itself: the token is used.
	Start(camera string, p media.Profile, t Target)
	// Stop ends the publication, if there is one.
	Stop(camera string, p media.Profile)
}

// Statuses tells how all cameras are.
type Statuses interface {
	Cameras() []status.Camera
}

// ClientOptions configure the node's end.
type ClientOptions struct {
	// URL is the gateway's address: http, https, ws or wss. The path /v1/link is added if it has none.
	URL       string
	Node      string
	Token     secret.String
	Software  string // version, for people
	TLS       *tls.Config
	Dial      func(ctx context.Context, network, addr string) (net.Conn, error) // nil: the network
	Offer     func() []Camera                                                   // the cameras this node has, now
	Statuses  Statuses
	Publisher Publisher
	// Hurry brings a camera's footage up to until into the archive, or returns why that was not done before ctx ended.
	// Nil: this node ships nothing.
	Hurry func(ctx context.Context, camera string, until time.Time) error
	// Poll is how often states are looked at for changes. Default 1 s.
	Poll time.Duration
	// Resync is how often all states are sent, changed or not. Default 15 s.
	Resync time.Duration
	// RetryMin and RetryMax bound the pause between attempts to dial. Defaults 1 s and 30 s.
	RetryMin, RetryMax time.Duration
	// Ping is how often the gateway is pinged, Pong how long it may take to answer. Defaults 5 s and 10 s.
	Ping, Pong time.Duration
	Logger     *slog.Logger // nil: discard
}

// Client is the node's end of the link.
type Client struct {
	o    ClientOptions
	url  *url.URL
	http *http.Client
	log  *slog.Logger
	live liveness
	poke chan struct{} // capacity 1: the offer changed

	mu      sync.Mutex // guards the fields below
	running map[Key]Publish
	failed  []Failed // still to be told
	failing chan struct{}
	up      bool
}

// NewClient checks the options. Nothing is dialled before Run.
func NewClient(o ClientOptions) (*Client, error) {
	u, err := linkURL(o.URL)
	if err != nil {
		return nil, err
	}
	if !validID(o.Node) {
		return nil, fmt.Errorf("link: node id %q: want 1-64 of a-z, 0-9 and -", o.Node)
	}
	if o.Token.IsZero() {
		return nil, errors.New("link: the node's token is missing")
	}
	def := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&o.Poll, time.Second)
	def(&o.Resync, 15*time.Second)
	def(&o.RetryMin, time.Second)
	def(&o.RetryMax, 30*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	transport := &http.Transport{TLSClientConfig: o.TLS, DialContext: o.Dial, Proxy: http.ProxyFromEnvironment}
	return &Client{
		o: o, url: u, log: o.Logger, live: liveness{every: o.Ping, within: o.Pong}.withDefaults(),
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		poke: make(chan struct{}, 1), running: map[Key]Publish{}, failing: make(chan struct{}, 1),
	}, nil
}

func linkURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("link: the gateway's address is no URL")
	}
	if u.User != nil {
		return nil, errors.New("link: the gateway's address must not hold credentials; use the node's token")
	}
	switch u.Scheme {
	case "http", "ws":
		u.Scheme = "ws"
	case "https", "wss":
		u.Scheme = "wss"
	default:
		return nil, fmt.Errorf("link: gateway address %q: want http://, https://, ws:// or wss://", raw)
	}
	if u.Host == "" {
		return nil, fmt.Errorf("link: gateway address %q has no host", raw)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/link"
	}
	return u, nil
}

// Run keeps the link up until ctx ends: it dials, and after a failure dials again with growing, jittered pauses.
// Running publications survive a lost link, as their media has a way of its own; they are stopped before Run returns.
func (c *Client) Run(ctx context.Context) error {
	defer c.http.CloseIdleConnections()
	defer c.stopAll()
	for fails := 0; ; fails++ {
		began := time.Now()
		err := c.serve(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > time.Minute {
			fails = 0
		}
		pause := c.pause(fails)
		c.log.Warn("link down", "gateway", c.url.Host, "err", err, "retry", pause.Round(time.Millisecond))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// pause returns a random time between half of the exponential back-off and all of it.
func (c *Client) pause(fails int) time.Duration {
	d := min(c.o.RetryMin<<min(fails, 16), c.o.RetryMax)
	return d/2 + rand.N(d/2+1)
}

// Up reports whether the gateway has welcomed this node and the link has not ended since.
func (c *Client) Up() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.up
}

func (c *Client) setUp(up bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.up = up
}

// OfferChanged tells that the inventory changed: it is sent again.
func (c *Client) OfferChanged() {
	select {
	case c.poke <- struct{}{}:
	default:
	}
}

// Failed tells that a publication to the target with that token failed or ended by itself. It does not block.
func (c *Client) Failed(camera string, p media.Profile, token secret.String, why error) {
	f := Failed{Camera: camera, Profile: p, Token: token.Reveal(), Reason: "ended"}
	if why != nil {
		f.Reason = why.Error()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if cur, ok := c.running[Key{camera, p}]; !ok || cur.Token != f.Token {
		return // stopped or replaced meanwhile
	}
	c.failed = append(c.failed, f)
	select {
	case c.failing <- struct{}{}:
	default:
	}
}

func (c *Client) takeFailed() []Failed {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.failed
	c.failed = nil
	return f
}

// serve dials once and serves the link until it ends.
func (c *Client) serve(ctx context.Context) error {
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	conn.SetReadLimit(MaxMessage)
	ctx, cancel := context.WithCancel(ctx)
	err = c.talk(ctx, conn)
	cancel()
	closeWith(conn, err)
	return err
}

func (c *Client) dial(ctx context.Context) (*websocket.Conn, error) {
	dctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	h := http.Header{}
	h.Set("Authorization", "Bearer "+c.o.Token.Reveal())
	//nolint:bodyclose // the library says: resp.Body never needs to be closed
	conn, resp, err := websocket.Dial(dctx, c.url.String(), &websocket.DialOptions{
		HTTPClient: c.http, HTTPHeader: h, CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
			why, _ := io.ReadAll(io.LimitReader(resp.Body, 300)) // only to tell people more
			return nil, fmt.Errorf("link: %s answers %s: %s", c.url.Host, resp.Status, strings.TrimSpace(string(why)))
		}
		return nil, fmt.Errorf("link: %w", err)
	}
	return conn, nil
}

// talk says hello and then keeps both directions going.
func (c *Client) talk(ctx context.Context, conn *websocket.Conn) error {
	offer := c.o.Offer()
	err := send(ctx, conn, Message{Type: TypeHello, Hello: &Hello{
		Version: Version, Node: c.o.Node, Software: c.o.Software, Now: time.Now().UTC(), Cameras: offer,
	}})
	if err != nil {
		return err
	}
	wctx, cancel := context.WithTimeout(ctx, helloTimeout)
	m, err := receive(wctx, conn)
	cancel()
	switch {
	case err != nil:
		return err
	case m.Type != TypeWelcome:
		return fmt.Errorf("%w: first message is %q, want welcome", errMessage, m.Type)
	case m.Welcome.Version != Version:
		return fmt.Errorf("link: the gateway speaks version %d, we speak %d", m.Welcome.Version, Version)
	}
	base, err := c.base(m.Welcome.RTSP)
	if err != nil {
		return err
	}
	c.setUp(true)
	defer c.setUp(false)
	c.log.Info("link up", "gateway", c.url.Host, "clock", time.Until(m.Welcome.Now).Round(time.Millisecond))

	ctx, cancel = context.WithCancel(ctx)
	results := make(chan error, 3)
	go func() { results <- newReporter(c, conn).run(ctx) }()
	go func() { results <- c.live.run(ctx, conn) }()
	go func() { results <- c.read(ctx, conn, base) }()
	err = <-results
	cancel()
	<-results
	<-results
	return err
}

// base returns the address to publish to.
func (c *Client) base(raw string) (*url.URL, error) {
	if raw == "" {
		return nil, nil //nolint:nilnil // no address: this gateway takes no publications
	}
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "rtsp" && u.Scheme != "rtsps") {
		return nil, fmt.Errorf("%w: welcome: rtsp address %q", errMessage, raw)
	}
	if u.Hostname() == "" {
		host := c.url.Hostname()
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		if p := u.Port(); p != "" {
			host += ":" + p
		}
		u.Host = host
	}
	return u, nil
}

func (c *Client) read(ctx context.Context, conn *websocket.Conn, base *url.URL) error {
	ctx, cancel := context.WithCancel(ctx)
	hurries := newHurries(c)
	defer hurries.wait()
	defer cancel()
	for {
		m, err := receive(ctx, conn)
		if err != nil {
			return err
		}
		switch m.Type {
		case TypeDesired:
			c.reconcile(m.Desired.Publish, base)
		case TypeHurry:
			hurries.take(ctx, conn, m.Hurry)
		}
	}
}

// reconcile makes the publications match what is desired. A publication whose token is unchanged is left alone.
func (c *Client) reconcile(ps []Publish, base *url.URL) {
	want := make(map[Key]Publish, len(ps))
	for _, p := range ps {
		want[Key{p.Camera, p.Profile}] = p
	}
	if base == nil {
		clear(want)
	}
	var stop []Key
	var start []Publish
	c.mu.Lock()
	for k := range c.running {
		if _, ok := want[k]; !ok {
			stop = append(stop, k)
			delete(c.running, k)
		}
	}
	for k, p := range want {
		if cur, ok := c.running[k]; !ok || cur != p {
			start = append(start, p)
			c.running[k] = p
		}
	}
	c.mu.Unlock()
	for _, k := range stop {
		c.log.Info("stop publishing", "stream", k)
		c.o.Publisher.Stop(k.Camera, k.Profile)
	}
	for _, p := range start {
		u := *base
		u.Path = p.Path
		c.log.Info("publish", "stream", p, "to", u.Redacted())
		c.o.Publisher.Start(p.Camera, p.Profile, Target{URL: u.String(), User: c.o.Node, Token: secret.New(p.Token)})
	}
}

func (c *Client) stopAll() {
	c.reconcile(nil, nil)
}
