package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"skein/bench/sim"
	"skein/edge/media"
	"skein/edge/status"
)

const (
	soakCameras = 8
	soakViewers = 64
	soakTime    = 12 * time.Second // SKEIN_SOAK sets another
)

// weight is what a process holds.
type weight struct{ goroutines, sessions, feeds, heap float64 }

// weigh collects garbage in the node and weighs it.
func (n *node) weigh() (w weight, err error) {
	http.DefaultClient.CloseIdleConnections() // each is a goroutine over there
	if _, _, err := n.get("/debug/pprof/heap?gc=1"); err != nil {
		return w, err
	}
	for name, to := range map[string]*float64{
		"go_goroutines": &w.goroutines, "skein_relay_sessions": &w.sessions, "skein_relay_feeds": &w.feeds,
		"go_memstats_heap_inuse_bytes": &w.heap,
	} {
		if *to, err = n.metric(name); err != nil {
			return w, err
		}
	}
	return w, nil
}

// awaitIdle waits until no viewer is left, and weighs the node then.
func (n *node) awaitIdle(t *testing.T, limit time.Duration, below *weight) (w weight) {
	t.Helper()
	poll(t, "nothing left of the viewers", limit, func() (err error) {
		if w, err = n.weigh(); err != nil {
			return err
		}
		if w.sessions != 0 || w.feeds != 0 {
			return fmt.Errorf("%v sessions, %v feeds", w.sessions, w.feeds)
		}
		if below != nil && (w.goroutines > below.goroutines || w.heap > below.heap) {
			return fmt.Errorf("%v goroutines, %.1f MB heap; want at most %v, %.1f MB", w.goroutines, w.heap/1e6,
				below.goroutines, below.heap/1e6)
		}
		return nil
	})
	return w
}

// soakLength is how long a soak lasts: SKEIN_SOAK, or so long by default.
func soakLength(t *testing.T, usual time.Duration) time.Duration {
	t.Helper()
	v := os.Getenv("SKEIN_SOAK")
	if v == "" {
		return usual
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		t.Fatalf("SKEIN_SOAK: %v", err)
	}
	return d
}

// TestLiveSoak lets viewers join and leave at random, politely, by closing the connection and by vanishing, and proves
// that nothing stays behind: sessions, feeds, goroutines, memory.
func TestLiveSoak(t *testing.T) {
	beside(t, 2, 60*time.Second)
	length := soakLength(t, soakTime)
	cfg := sim.Config{}
	var ids []string
	for i := range soakCameras {
		ids = append(ids, fmt.Sprintf("cam%d", i))
		cfg.Cameras = append(cfg.Cameras, sim.Camera{ID: ids[i], Video: small(media.H264)})
	}
	cams := startSim(t, cfg)
	n := newNode(t, "all")
	more := oneUnit + access + "cameras:\n"
	for _, id := range ids {
		more += fmt.Sprintf("  - {id: %s, name: A, unit: yf, main: %q, transport: tcp}\n", id, cams.URL(id, media.Main))
	}
	n.configure(t, more)
	n.start(t)
	n.awaitState(t, status.Live, 30*time.Second, ids...)

	began := time.Now()
	n.comeAndGo(t, 4*time.Second) // what is made once is made now
	await(t, began.Add(12*time.Second))
	base := n.awaitIdle(t, 30*time.Second, nil)
	joins, frames := n.comeAndGo(t, length)
	after := n.awaitIdle(t, 40*time.Second, &weight{goroutines: base.goroutines + 4, heap: base.heap + 6e6})
	t.Logf("%d joins, %d frames in %v; goroutines %v before, %v after; heap %.1f MB before, %.1f MB after", joins, frames,
		length, base.goroutines, after.goroutines, base.heap/1e6, after.heap/1e6)
	if joins < soakViewers || frames < joins {
		t.Errorf("%d joins saw %d frames: the test proves nothing", joins, frames)
	}
}

// comeAndGo keeps up to soakViewers viewers coming and going for a while, and returns how many joined and how many
// frames they saw.
func (n *node) comeAndGo(t *testing.T, length time.Duration) (joins, frames int) {
	t.Helper()
	end := time.Now().Add(length)
	var mu sync.Mutex // guards joins, frames and errs
	var errs []error
	var wg sync.WaitGroup
	for range soakViewers {
		wg.Go(func() {
			for {
				<-time.After(rand.N(3 * time.Second))
				if time.Now().After(end) {
					return
				}
				seen, err := n.visit(rand.N(4 * time.Second))
				mu.Lock()
				joins, frames, errs = joins+1, frames+seen, append(errs, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	return joins, frames
}

// visit watches a camera for a while and leaves in one of three ways.
func (n *node) visit(length time.Duration) (frames int, err error) {
	v, err := n.join(fmt.Sprintf("cam%d", rand.IntN(soakCameras)), "127.0.0.1:0", 1<<20)
	if err != nil {
		return 0, err
	}
	<-time.After(length)
	f, _, _ := v.seen()
	switch rand.IntN(8) {
	case 0:
		v.vanish()
	case 1, 2, 3:
		err = v.end(n)
		v.close()
	default:
		v.close()
	}
	return len(f), err
}

// end ends the session as WHEP asks.
func (v *viewer) end(n *node) error {
	req, err := http.NewRequest(http.MethodDelete, "http://"+n.http+v.resource, http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+testToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode/100 != 2 && resp.StatusCode != http.StatusNotFound { // it may have ended by itself
		return fmt.Errorf("DELETE %s: %s", v.resource, resp.Status)
	}
	return nil
}
