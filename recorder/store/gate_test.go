package store_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// gate is a TCP proxy that a test closes and opens again: a link that is cut.
type gate struct {
	addr   string
	target string

	wg    sync.WaitGroup
	mu    sync.Mutex // guards the fields below
	shut  bool
	conns map[net.Conn]bool
}

func newGate(t testing.TB, target string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{addr: l.Addr().String(), target: target, conns: make(map[net.Conn]bool)}
	g.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			g.wg.Go(func() { g.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		g.close()
		g.wg.Wait()
	})
	return g
}

// keep registers a connection, or refuses it when the gate is shut.
func (g *gate) keep(c net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		_ = c.Close()
		return false
	}
	g.conns[c] = true
	return true
}

func (g *gate) serve(c net.Conn) {
	defer c.Close()
	if !g.keep(c) {
		return
	}
	up, err := net.Dial("tcp", g.target)
	if err != nil {
		return
	}
	defer up.Close()
	if !g.keep(up) {
		return
	}
	g.wg.Go(func() {
		_, _ = io.Copy(up, c)
		_ = up.Close()
	})
	_, _ = io.Copy(c, up)
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
	for c := range g.conns {
		_ = c.Close()
	}
	g.conns = make(map[net.Conn]bool)
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = false
}
