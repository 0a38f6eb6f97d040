package relay_test

import (
	"testing"
	"time"

	"github.com/pion/rtcp"

	"skein/gateway/relay"
)

// A browser asks for a key frame also when pictures just stop coming. Old ones sent as new would show a dead camera as
// one that moves.
func TestKeyFrameRequestOfADeadCameraShowsNothingOld(t *testing.T) {
	t.Parallel()
	c := newCamera()
	r, _ := start(t, relay.Config{}, map[string]*camera{"gate/main": c})
	for range 10 {
		c.publish()
	}
	p := newPlayer(t, playerOptions{}).play(r, "gate")
	for range 10 {
		p.slice()
	}
	<-time.After(1600 * time.Millisecond) // the newest picture is no longer live
	before := p.raw.Load()
	must(t, p.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{
		MediaSSRC: uint32(p.pc.GetReceivers()[0].Track().SSRC()),
	}}))
	<-time.After(200 * time.Millisecond)
	if n := p.raw.Load() - before; n > 0 {
		t.Errorf("%d packets of old pictures were sent again", n)
	}
	c.publish()
	if n, _ := p.slice(); n != 10 {
		t.Errorf("picture %d came next, want 10", n)
	}
}
