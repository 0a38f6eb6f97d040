package relay

import (
	"encoding/binary"
	"math"
	"net"
	"testing"
	"time"

	"skein/edge/media"
)

// spread is a slot that is live on a line, with its pacer and the viewer's socket.
type spread struct {
	*slot
	pacer  pacer
	socket *net.UDPConn
	batch  *batch
	pack   packetizer
	n      int64
}

func newSpread(t *testing.T) *spread {
	t.Helper()
	r, socket, _ := hotRelay(t, "127.0.0.1:0")
	_ = socket.SetReadBuffer(4 << 20)
	l := newLine(media.H264, videoRate)
	hotSlot(t, r, l, 1, socket.LocalAddr().(*net.UDPAddr).AddrPort()) //nolint:forcetypeassert // a UDP socket
	s := &spread{slot: (*l.viewers.Load())[0], socket: socket, batch: newBatch(r.outlet), pack: packetizer{max: 1200}}
	s.pacer = pacer{session: s.session, rate: r.cfg.CatchUpRate}
	t.Cleanup(s.pacer.stop)
	s.publish(true, 20_000)
	return s
}

// publish publishes the next picture, 40 ms after the one before.
func (s *spread) publish(key bool, bytes int) {
	u := picture(key)
	u.NALUs[0] = append(u.NALUs[0][:1], make([]byte, bytes-1)...)
	fanOut(s.line, s.batch, &s.pack, u, s.n)
	s.n++
}

// step lets the pacer send what it may after so long.
func (s *spread) step(d time.Duration) {
	s.pacer.last = time.Now().Add(-d)
	s.pacer.wake()
	s.pacer.send()
}

// arrived returns the sequence numbers in the viewer's socket.
func (s *spread) arrived(t *testing.T) (numbers []uint16) {
	t.Helper()
	buf := make([]byte, 2000)
	for {
		_ = s.socket.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		n, err := s.socket.Read(buf)
		if err != nil {
			return numbers
		}
		if n > rtpHeader {
			numbers = append(numbers, binary.BigEndian.Uint16(buf[2:]))
		}
	}
}

// A picture up to a limit leaves at once. A larger one leaves in parts, in order, what follows it waits behind it, and
// then the slot is live again.
func TestLargeLivePicturesAreSpread(t *testing.T) {
	s := newSpread(t)
	s.publish(true, largeUnit-2000)
	if got := s.arrived(t); len(got) < largeUnit/1200 || s.phase != phaseLive {
		t.Fatalf("%d packets of an ordinary key frame left at once, phase %d", len(got), s.phase)
	}
	s.publish(true, 1<<20)
	s.publish(false, 20_000)
	if got := s.arrived(t); len(got) != 0 || s.phase != phaseCatchUp {
		t.Fatalf("%d packets of a large picture left at once, phase %d", len(got), s.phase)
	}
	next, packets := uint16(0), 0
	for i := 0; s.phase == phaseCatchUp; i++ {
		s.step(time.Millisecond)
		got := s.arrived(t)
		if most := (paceBurst + 2*paceChunk*1200) / 1200; len(got) > most {
			t.Fatalf("%d packets at once, want at most %d", len(got), most)
		}
		for _, n := range got {
			if packets > 0 && n != next {
				t.Fatalf("packet %d follows %d", n, next-1)
			}
			next, packets = n+1, packets+1
		}
		if i > 1000 {
			t.Fatal("it never ends")
		}
	}
	if want := (1<<20 + 20_000) / 1200; packets < want || s.phase != phaseLive {
		t.Errorf("%d packets, want %d; phase %d", packets, want, s.phase)
	}
	if s.publish(false, 20_000); len(s.arrived(t)) < 16 {
		t.Error("the slot is not live again")
	}
}

// Live pictures go on though many viewers catch up, as fast as the path bears at most.
func TestPaceOfLargePictures(t *testing.T) {
	s := newSpread(t)
	s.session.band = &bandwidth{}
	s.session.relay.catchingUp.Store(1000)
	s.pacer.haste = 4 << 20
	for capacity, want := range map[uint32]int{0: 4 << 20, 16_000: 1_800_000, 1_000_000: 4 << 20} {
		s.session.band.capacity.Store(capacity)
		if got := s.pacer.share(); got != want {
			t.Errorf("on a path of %d kbit/s: %d bytes a second, want %d", capacity, got, want)
		}
	}
	if s.pacer.haste = 0; s.pacer.share() > 1<<20 {
		t.Error("catch-up does not share")
	}
}

// Where what is spread gets lost the next picture goes slower, and faster again later.
func TestPacerLearns(t *testing.T) {
	s := newSpread(t)
	most := s.pacer.rate
	second := func(loss float64) {
		s.pacer.sent = 1 << 20
		s.pacer.learn(reading{heard: true, loss: loss})
	}
	if second(0.3); s.pacer.rate != most/2 {
		t.Errorf("%d after loss", s.pacer.rate)
	}
	for range 10 {
		second(0.3)
	}
	if s.pacer.rate != paceLeast {
		t.Errorf("%d at least", s.pacer.rate)
	}
	if s.pacer.learn(reading{heard: true}); s.pacer.rate != paceLeast {
		t.Error("a second without large pictures taught something")
	}
	for range 20 {
		second(0)
	}
	if s.pacer.rate != most {
		t.Errorf("%d in the end", s.pacer.rate)
	}
}

// A large picture that was begun is finished; what is too old by then is left out up to the next key frame.
func TestSpreadPicturesDoNotGetOld(t *testing.T) {
	s := newSpread(t)
	s.publish(true, 300_000)
	for range 25 {
		s.publish(false, 10_000)
	}
	s.mu.Lock()
	s.fetching = s.fetching.Add(-time.Second)
	s.mu.Unlock()
	for range 100 {
		s.step(time.Millisecond)
	}
	if got := s.arrived(t); s.phase != phaseWait || s.stats.drops[dropLinkSlow] != 1 || !s.shedding(time.Now()) ||
		len(got) > 300_000/1100+17 {
		t.Errorf("phase %d, drops %v, %d packets", s.phase, s.stats.drops, len(got))
	}
	if s.publish(true, 20_000); s.phase != phaseLive {
		t.Error("the next key frame is not shown")
	}
}

// Where the next group of pictures has begun by then it is shown from its beginning.
func TestSpreadPicturesGoOnWithTheNewestGroup(t *testing.T) {
	s := newSpread(t)
	s.publish(true, 300_000)
	for i := range 26 {
		s.publish(i == 25, 10_000)
	}
	s.mu.Lock()
	s.fetching = s.fetching.Add(-time.Second)
	s.mu.Unlock()
	for i := 0; s.phase == phaseCatchUp && i < 1000; i++ {
		s.step(time.Millisecond)
	}
	if s.phase != phaseLive || s.stats.drops[dropLinkSlow] != 1 || s.stats.catchUps != 1 {
		t.Errorf("phase %d, drops %v, %d catch-ups", s.phase, s.stats.drops, s.stats.catchUps)
	}
}

// Packets that leave no faster than the path is known to bear do not show that it bears anything, but a little more.
func TestSpreadPacketsSayLittleOfALimit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		left, came uint32 // us for 100 kB
		known      float64
		kbps       float64
		ok         bool
	}{
		"a burst":                 {0, 1000, 10_000, math.Inf(1), true},
		"a burst that is spread":  {0, 80_000, 0, 10_000, true},
		"paced, nothing known":    {80_000, 81_000, 0, math.Inf(1), true},
		"paced as is known":       {80_000, 81_000, 10_000, 12_500, true},
		"paced slower":            {80_000, 81_000, 20_000, 0, false},
		"paced faster than known": {40_000, 41_000, 10_000, math.Inf(1), true},
		"paced too fast":          {40_000, 80_000, 10_000, 10_000, true},
	} {
		tr := train{packets: 84, bytes: 100_000, lastSent: c.left, lastArrive: c.came}
		if kbps, ok := tr.rate(c.known); ok != c.ok || ok && kbps != c.kbps {
			t.Errorf("%s: %v, %v", name, kbps, ok)
		}
	}
}

// A group of pictures of a 4K camera is shown from its beginning to whoever joins; one that would take over a second at
// the pace of catch-up is not.
func TestGroupsOfLargePicturesAreCaughtUpWith(t *testing.T) {
	s := newSpread(t)
	l := s.line
	join := func() phase {
		s.hide()
		s.show(l, time.Now())
		return s.phase
	}
	s.hide()
	s.slot.line = l // for publish
	s.publish(true, 1<<20)
	for range 55 {
		s.publish(false, 200_000)
	}
	if p := join(); p != phaseCatchUp {
		t.Errorf("12 MB: phase %d", p)
	}
	for range 25 {
		s.publish(false, 200_000)
	}
	if p := join(); p != phaseCatchUp || len(s.still) == 0 || s.stats.drops[dropCatchUpTooLarge] != 1 {
		t.Errorf("17 MB: phase %d, %d packets of the key frame alone, drops %v", p, len(s.still), s.stats.drops)
	}
}
