package relay_test

import (
	"context"
	"testing"
	"time"

	"skein/gateway/relay"
)

func TestViewerGetsEveryPictureByteForByte(t *testing.T) {
	c := newCamera()
	r, _ := start(t, relay.Config{}, map[string]*camera{"gate/main": c})
	for range 12 {
		c.publish()
	}
	p := newPlayer(t, playerOptions{}).play(r, "gate")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go c.run(ctx, 50)
	first := p.follow(c, 100)
	if first != 0 {
		t.Errorf("first picture is %d, want 0: the current group of pictures", first)
	}
	if p.gaps.Load() != 0 {
		t.Errorf("%d packets missing", p.gaps.Load())
	}
	t.Logf("connected and first picture after %v", time.Since(p.begun))
}
