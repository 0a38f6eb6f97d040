package main

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"skein/bench/sim"
	"skein/edge/media"
)

// faultMode is how a faultProxy treats its connections.
type faultMode int

const (
	pass faultMode = iota
	cut            // refuses: every connection is closed
	hang           // takes everything and hands nothing on
	busy           // answers every HTTP request with 503
)

// faultProxy is a TCP proxy between two parts under test. It is safe for concurrent use.
type faultProxy struct {
	l      net.Listener
	target string
	tap    func() func(p []byte, end bool) // of each connection: told what reached the client's socket, and the end

	wg sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	mode    faultMode
	changed chan struct{} // closed and replaced when the mode changes
	conns   map[net.Conn]bool
}

// newFaultProxy starts a proxy that ends with the test.
func newFaultProxy(t testing.TB, target string, tap func() func(p []byte, end bool)) *faultProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &faultProxy{l: l, target: target, tap: tap, changed: make(chan struct{}), conns: map[net.Conn]bool{}}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.set(cut)
		p.wg.Wait()
	})
	return p
}

func (p *faultProxy) addr() string { return p.l.Addr().String() }

// set changes the mode. All modes but hang and pass end the connections there are.
func (p *faultProxy) set(m faultMode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = m
	close(p.changed)
	p.changed = make(chan struct{})
	if m == cut || m == busy {
		for c := range p.conns {
			_ = c.Close()
		}
	}
}

func (p *faultProxy) now() (faultMode, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mode, p.changed
}

// track notes a connection; forget closes it.
func (p *faultProxy) track(c net.Conn) (forget func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, c)
		_ = c.Close()
	}
}

func (p *faultProxy) accept() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.serve(c) })
	}
}

func (p *faultProxy) serve(c net.Conn) {
	defer p.track(c)()
	switch m, _ := p.now(); m {
	case cut:
		return
	case busy:
		refuseBusy(c)
		return
	}
	up, err := net.DialTimeout("tcp", p.target, 5*time.Second)
	if err != nil {
		return
	}
	defer p.track(up)()
	var watch func([]byte, bool)
	if p.tap != nil {
		watch = p.tap()
		defer watch(nil, true)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		p.copy(up, c, nil)
		_ = up.Close()
	})
	p.copy(c, up, watch)
	_ = c.Close()
	wg.Wait()
}

// copy hands bytes on until either side ends.
func (p *faultProxy) copy(to, from net.Conn, watch func([]byte, bool)) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		for m, changed := p.now(); m == hang; m, changed = p.now() {
			<-changed
		}
		if n > 0 {
			if _, werr := to.Write(buf[:n]); werr != nil {
				return
			}
			if watch != nil {
				watch(buf[:n], false)
			}
		}
		if err != nil {
			return
		}
	}
}

// refuseBusy answers as an overloaded S3 endpoint does.
func refuseBusy(c net.Conn) {
	_ = c.SetDeadline(time.Now().Add(time.Second))
	head := make([]byte, 4096)
	if _, err := c.Read(head); err != nil {
		return
	}
	_, _ = io.WriteString(c, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/xml\r\nConnection: close\r\n"+
		"Content-Length: 71\r\n\r\n<Error><Code>SlowDown</Code><Message>reduce your rate</Message></Error>")
	_ = c.SetDeadline(time.Now().Add(200 * time.Millisecond))
	_, _ = io.Copy(io.Discard, c) // what is still sent must not reset the answer
}

// session is what one connection to a camera delivered to the edge's socket, in order.
type session struct {
	camera uint64
	frames []sim.Mark
	ended  time.Time // zero while it lasts
}

// ledger knows every picture that was handed to the edge.
type ledger struct {
	uuid []byte // begins our message in a picture

	mu       sync.Mutex // guards sessions and their content
	sessions []*session
}

func newLedger() *ledger { return &ledger{uuid: sim.Mark{}.AppendSEI(nil, media.H264)[3:19]} }

// markRoom is the most bytes a mark takes on the wire, emulation prevention included.
const markRoom = 16 + 24 + 12 + 1

// tap watches one connection.
func (l *ledger) tap() func(p []byte, end bool) {
	s := &session{}
	var rest []byte
	l.mu.Lock()
	l.sessions = append(l.sessions, s)
	l.mu.Unlock()
	return func(p []byte, end bool) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if end {
			s.ended = time.Now()
			return
		}
		rest = append(rest, p...)
		for {
			i := bytes.Index(rest, l.uuid)
			if i < 0 {
				rest = rest[max(0, len(rest)-len(l.uuid)):]
				return
			}
			if rest = rest[i:]; len(rest) < markRoom {
				return
			}
			nalu := append([]byte{6, 5, 40}, rest[:markRoom]...)
			if m, ok := sim.ParseSEI(nalu, media.H264); ok {
				s.camera = m.Camera
				s.frames = append(s.frames, m)
			}
			rest = rest[len(l.uuid):]
		}
	}
}

// of returns the sessions of a camera that delivered something.
func (l *ledger) of(camera string) []session {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []session
	for _, s := range l.sessions {
		if s.camera == sim.CameraHash(camera) && len(s.frames) > 0 {
			out = append(out, *s)
		}
	}
	return out
}
