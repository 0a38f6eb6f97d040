package transcode

import (
	"sync"
	"testing"
	"time"

	"skein/edge/media"
	"skein/edge/stream"
)

// listener takes what comes out of a stream.
type listener struct {
	done  sync.WaitGroup
	mu    sync.Mutex // guards units
	units []*media.AccessUnit
}

func listen(t *testing.T, out *stream.Stream) *listener {
	t.Helper()
	l := &listener{}
	r := out.Subscribe(stream.ReaderOptions{Name: "test", History: true})
	l.done.Go(func() {
		for {
			u, err := r.Next(t.Context())
			if err != nil {
				return
			}
			l.mu.Lock()
			l.units = append(l.units, u)
			l.mu.Unlock()
		}
	})
	return l
}

// first returns how long after base the first unit came; an hour if none has.
func (l *listener) first(base time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.units) == 0 {
		return time.Hour
	}
	return l.units[0].Arrival.Sub(base)
}

// all waits for the end and returns everything that came.
func (l *listener) all() []*media.AccessUnit {
	l.done.Wait()
	return l.units
}
