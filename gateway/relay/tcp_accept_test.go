package relay

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// scarce is a listener that has no file descriptor left at first.
type scarce struct {
	net.Listener
	short int
}

func (s *scarce) Accept() (net.Conn, error) {
	if s.short > 0 {
		s.short--
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
	}
	return s.Listener.Accept()
}

// pion stops listening for good at the first error; a shortage of descriptors passes.
func TestICETCPOutlivesAShortageOfDescriptors(t *testing.T) {
	t.Parallel()
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newTCPListener(&scarce{raw, 2}, 8)
	viewer, err := net.Dial("tcp", raw.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer viewer.Close()
	if _, err := l.Accept(); err != nil {
		t.Errorf("accept after a shortage: %v", err)
	}
	_ = l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after the end: %v", err)
	}
	l.writers.Wait()
}

// Whoever reaches the port can connect without a word. The gateway's other ports need descriptors too.
func TestICETCPConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const most = 4
	l := newTCPListener(raw, most)
	accepted := make(chan net.Conn, 10)
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	var viewers []net.Conn
	for range most + 1 {
		c, err := net.Dial("tcp", raw.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		viewers = append(viewers, c)
	}
	_ = viewers[most].SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := viewers[most].Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("connection %d is open: %v", most+1, err)
	}
	_ = (<-accepted).Close()
	again, err := net.Dial("tcp", raw.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	for range most {
		select {
		case <-accepted:
		case <-time.After(10 * time.Second):
			t.Fatal("no new connection after one has ended")
		}
	}
	_ = l.Close()
	for range accepted { // until the listener has ended
	}
	l.writers.Wait()
}
