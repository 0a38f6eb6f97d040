package recorder_test

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"skein/recorder"
)

// trickle opens n uploads as edge-1, each of a camera of its own, and sends a byte each now and then until stop is
// closed. Those the recorder ends are opened again.
func (b *bed) trickle(n int, stop <-chan struct{}) *sync.WaitGroup {
	b.t.Helper()
	u, err := url.Parse(b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	list := chainFrom(b.t, "cam", recently(), 1)
	q := b.request(list[0].m, list[0].data)
	var whole bytes.Buffer
	q.Body = io.NopCloser(bytes.NewReader(list[0].data))
	if err := q.Write(&whole); err != nil {
		b.t.Fatal(err)
	}
	head := whole.Bytes()[:whole.Len()-len(list[0].data)]
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for {
				conn, err := net.Dial("tcp", u.Host)
				if err != nil {
					return
				}
				if _, err := conn.Write(head); err == nil {
					_ = drip(conn, list[0].data, stop) // it is cut off when its place is wanted
				}
				conn.Close()
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
				}
			}
		})
	}
	return &wg
}

// drip sends a byte each 20 ms until the recorder answers or stop is closed.
func drip(conn net.Conn, data []byte, stop <-chan struct{}) error {
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		_, _ = conn.Read(make([]byte, 1))
	}()
	defer func() {
		conn.Close()
		<-answered
	}()
	for _, one := range data[:len(data)-1] {
		select {
		case <-stop:
			return nil
		case <-answered:
			return nil
		case <-time.After(20 * time.Millisecond):
		}
		if _, err := conn.Write([]byte{one}); err != nil {
			return err
		}
	}
	return nil
}

// A node that trickles into every place it can get keeps nobody else out.
func TestATricklingNodeKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]recorder.Config{
		"its share":   {Parallel: 8},
		"every place": {Parallel: 4, PerNode: 4}, // then slow uploads give way
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, cfg, withInventory)
			b.rec.SetSlowGrace(200 * time.Millisecond)
			share := cfg.WithDefaults().PerNode
			stop := make(chan struct{})
			trickles := b.trickle(12, stop)
			defer trickles.Wait()
			defer close(stop)
			for deadline := time.Now().Add(20 * time.Second); b.rec.Uploading("edge-1") < share; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%d uploads are under way, want %d", b.rec.Uploading("edge-1"), share)
				}
			}
			turned := 0
			for _, s := range chainFrom(t, "yard", recently(), 5) {
				for deadline := time.Now().Add(20 * time.Second); ; turned++ {
					status := b.send(edge2Token, s)
					if status == 200 {
						break
					}
					if status != 503 || time.Now().After(deadline) {
						t.Fatalf("segment %d of another node: %d", s.m.Seq, status)
					}
					time.Sleep(10 * time.Millisecond)
				}
			}
			if n := b.rec.Uploading("edge-1"); n > share {
				t.Errorf("%d uploads of one node, its share is %d", n, share)
			}
			if turned > 0 && name == "its share" {
				t.Errorf("turned away %d times", turned)
			}
			b.want("the other node's footage", 5)
		})
	}
}
