package rtsp_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"skein/edge/rtsp"
	"skein/edge/rtsp/rtsptest"
	"skein/edge/stream"
)

// TestSessionsEndWithWhatPermitsThem: who may no longer play or publish does not go on because it began in time, and
// cannot begin anew on the same connection.
func TestSessionsEndWithWhatPermitsThem(t *testing.T) {
	t.Parallel()
	var plays, publishes atomic.Bool
	plays.Store(true)
	publishes.Store(true)
	h := startHub(t, func(c *rtsp.ServerConfig) {
		c.Auth = func(_ context.Context, r rtsp.Request) (func() bool, error) {
			may := &plays
			if r.Action == rtsp.ActionPublish {
				may = &publishes
			}
			if !may.Load() || !r.Verify("u", "p@ss/w0rd") {
				return nil, rtsp.ErrUnauthorized
			}
			return may.Load, nil
		}
	})
	cam := rtsptest.Start(t, rtsptest.Options{})
	s := both{stream.New(stream.Options{}), collect(pictures(5))}
	background(t, func(ctx context.Context) error { return rtsp.Pull(ctx, rtsp.PullConfig{URL: cam.URL()}, s) })
	_, published := background(t, func(ctx context.Context) error {
		return rtsp.Publish(ctx, rtsp.PublishConfig{URL: h.url("one")}, s.Stream)
	})
	waitFor(t, func() bool { return h.stream("one").Description() != nil })
	heard := collect(pictures(10))
	_, played := background(t, func(ctx context.Context) error {
		return rtsp.Pull(ctx, rtsp.PullConfig{URL: h.url("one"), Transport: "tcp"}, heard)
	})
	<-heard.done

	ends := func(what string, ended <-chan error) {
		t.Helper()
		select {
		case err := <-ended:
			if err == nil {
				t.Errorf("%s ends without an error", what)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s goes on", what)
		}
	}
	plays.Store(false)
	ends("playing", played)
	select {
	case err := <-published:
		t.Fatalf("publishing ends too: %v", err)
	case <-time.After(1500 * time.Millisecond):
	}
	publishes.Store(false)
	ends("publishing", published)
	ends("the publication", h.ended)
}
