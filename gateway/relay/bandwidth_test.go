package relay

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
)

// bottleneck is a path whose narrowest part has a queue, as seen by what arrives behind it. Times are microseconds of
// the sender's clock.
type bottleneck struct {
	kbps int     // 0: no limit
	loss float64 // part of the packets
	skew float64 // of the viewer's clock, parts of one

	band   bandwidth
	viewer *twcc.Recorder
	random *rand.Rand
	under  []arrival // under way, in order
	free   int64     // when the queue is empty
	now    int64
	last   int64 // newest feedback
	t0     time.Time
}

// arrival is a packet that will reach the viewer.
type arrival struct {
	number uint16
	at     int64
}

func newBottleneck(kbps int) *bottleneck {
	return &bottleneck{
		band: bandwidth{flight: newFlight(1)},
		kbps: kbps, viewer: twcc.NewRecorder(1), random: rand.New(rand.NewPCG(1, 2)), t0: time.Unix(1e9, 0), //nolint:gosec // test data
		now: 1<<32 - 3_000_000, // the sender's clock wraps on the way
	}
}

// send puts a packet on the path at b.now.
func (b *bottleneck) send(size int) uint16 {
	n := b.band.flight.add(uint32(b.now), size)
	if b.random.Float64() < b.loss {
		return n
	}
	b.free = max(b.free, b.now)
	if b.kbps > 0 {
		b.free += int64(size) * 8000 / int64(b.kbps)
	}
	b.under = append(b.under, arrival{n, b.free + 5000})
	return n
}

// picture sends one of size bytes in packets of 1,200, and feedback every 100 ms.
func (b *bottleneck) picture(size int) {
	for ; size > 0; size -= 1200 {
		b.send(min(size, 1200))
	}
	b.now += 40_000
	if b.now-b.last >= 100_000 {
		b.last = b.now
		b.report()
	}
}

// report brings the viewer's feedback, over the wire.
func (b *bottleneck) report() {
	for len(b.under) > 0 && b.under[0].at <= b.now {
		a := b.under[0]
		b.under = b.under[1:]
		b.viewer.Record(1, a.number, int64(float64(a.at)*(1+b.skew))+77_777_777)
	}
	for _, p := range b.viewer.BuildFeedbackPacket() {
		wire, err := p.Marshal()
		if err != nil {
			panic(err)
		}
		var got rtcp.TransportLayerCC
		if err := got.Unmarshal(wire); err != nil {
			panic(err)
		}
		b.band.feedback(&got, b.t0.Add(time.Duration(b.now)*time.Microsecond))
	}
}

// second sends a camera's second of about kbps, which begins with a key frame, and reads what the path did.
func (b *bottleneck) second(kbps int) reading {
	bytes := kbps * 125
	b.picture(bytes / 4)
	for range 24 {
		b.picture(bytes * 3 / 4 / 24)
	}
	return b.band.read(time.Second)
}

func TestBandwidthOfAPath(t *testing.T) {
	t.Parallel()
	type between struct{ low, high float64 }
	for name, c := range map[string]struct {
		path    *bottleneck
		seconds int
		kbps    int
		queue   between // ms
		loss    between
		arrived between // kbit/s
		limit   between // kbit/s
	}{
		"no limit":                   {newBottleneck(0), 30, 4000, between{0, 5}, between{0, 0}, between{3800, 4200}, between{0, 0}},
		"twice as wide as needed":    {newBottleneck(8000), 30, 4000, between{0, 10}, between{0, 0}, between{3800, 4200}, between{7000, 9000}},
		"too narrow":                 {newBottleneck(3000), 5, 4000, between{600, 2000}, between{0, 0}, between{2700, 3300}, between{2700, 3300}},
		"loses packets":              {&bottleneck{loss: 0.05}, 30, 4000, between{0, 5}, between{0.02, 0.09}, between{3500, 4100}, between{0, 0}},
		"the viewer's clock is fast": {&bottleneck{skew: 2e-4}, 300, 4000, between{0, 25}, between{0, 0}, between{3800, 4200}, between{0, 0}},
		"the viewer's clock is slow": {&bottleneck{skew: -2e-4}, 300, 4000, between{0, 25}, between{0, 0}, between{3800, 4200}, between{0, 0}},
		"a picture a second":         {newBottleneck(8000), 60, 30, between{0, 5}, between{0, 0}, between{20, 40}, between{0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.path.viewer == nil {
				fresh := newBottleneck(0)
				fresh.loss, fresh.skew = c.path.loss, c.path.skew
				c.path = fresh
			}
			var r reading
			for range c.seconds {
				r = c.path.second(c.kbps)
			}
			check := func(what string, v float64, want between) {
				if v < want.low || v > want.high {
					t.Errorf("%s %.2f, want %.2f to %.2f", what, v, want.low, want.high)
				}
			}
			check("queue", float64(r.queue.Microseconds())/1000, c.queue)
			check("loss", r.loss, c.loss)
			check("arrived", float64(r.kbps), c.arrived)
			check("limit", float64(r.capacity), c.limit)
		})
	}
}

// A packet sent again arrives late by a round trip and more: that is no queue.
func TestPacketsSentAgainSayNothingOfTheQueue(t *testing.T) {
	t.Parallel()
	b := newBottleneck(0)
	for range 3 {
		b.second(4000)
	}
	b.loss = 1
	n := b.send(1200)
	b.loss = 0
	b.report()
	b.band.flight.forget(n)
	b.now += 900_000
	b.under = append(b.under, arrival{n, b.now})
	b.report()
	if r := b.band.read(time.Second); r.queue > 5*time.Millisecond {
		t.Errorf("queue %v", r.queue)
	}
}

// A wall's packets are remembered for as long as its queue may be.
func TestQueueOfAWallIsSeen(t *testing.T) {
	t.Parallel()
	b := newBottleneck(0)
	b.band.flight = newFlight(16)
	for range 3 {
		b.second(48_000)
	}
	b.kbps = 40_000
	var longest time.Duration
	for range 6 {
		longest = max(longest, b.second(48_000).queue)
	}
	if longest < queueMost {
		t.Errorf("the longest queue seen is %v", longest)
	}
}

// What a path bore an hour ago says nothing of now.
func TestCapacityIsForgotten(t *testing.T) {
	t.Parallel()
	b := newBottleneck(1000)
	for range 10 {
		b.second(1500)
	}
	if b.band.capacity.Load() == 0 {
		t.Fatal("no limit seen")
	}
	b.kbps, b.free = 0, 0
	for range trainsLast + 15 {
		b.second(200) // too little at once to measure anything
	}
	if c := b.band.capacity.Load(); c != 0 {
		t.Errorf("still %d kbit/s", c)
	}
}

// Reports about packets that were never sent, or of more than can be known, count for nothing.
func TestFeedbackOnWhatWasNeverSent(t *testing.T) {
	t.Parallel()
	b := newBottleneck(0)
	b.second(2000)
	first := uint16(b.band.flight.next.Load() + 1)
	report := &rtcp.TransportLayerCC{BaseSequenceNumber: first, PacketStatusCount: math.MaxUint16}
	for range 8 {
		report.PacketChunks = append(report.PacketChunks, &rtcp.RunLengthChunk{RunLength: 8191})
	}
	b.band.feedback(report, b.t0)
	if r := b.band.read(time.Second); r.heard {
		t.Errorf("%+v", r)
	}
	if r := b.second(2000); !r.heard || r.loss > 0 || r.kbps < 1500 {
		t.Errorf("reports after it: %+v", r)
	}
}

func TestGovernor(t *testing.T) {
	t.Parallel()
	good := reading{heard: true}
	queue := func(d time.Duration) reading { return reading{heard: true, queue: d} }
	lossy := reading{heard: true, loss: 0.12}
	many := func(n int, r reading) []reading { return slices.Repeat([]reading{r}, n) }
	type at struct {
		second int
		verdict
	}
	for name, c := range map[string]struct {
		readings []reading
		want     []at
	}{
		"a good path is tried now and then":     {many(31, good), []at{{14, roomy}, {29, roomy}}},
		"one bad second is none":                {append(many(1, lossy), many(5, good)...), nil},
		"a standing queue":                      {many(3, queue(150*time.Millisecond)), []at{{1, overloaded}}},
		"decisions are given time":              {many(8, lossy), []at{{1, overloaded}, {4, overloaded}, {7, overloaded}}},
		"a long queue is seen at once":          {many(5, queue(time.Second)), []at{{0, overloaded}, {3, overloaded}}},
		"a little loss is neither good nor bad": {many(40, reading{loss: 0.03}), nil},
	} {
		var g governor
		var got []at
		now := time.Unix(1e9, 0)
		for i, r := range c.readings {
			if v := g.judge(r, now.Add(time.Duration(i)*time.Second)); v != fine {
				got = append(got, at{i, v})
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// A path that does not bear more is tried less and less often.
func TestGovernorLearns(t *testing.T) {
	t.Parallel()
	var g governor
	now, tried, limited := time.Unix(1e9, 0), []int{}, false
	for i := range 400 {
		r := reading{heard: true}
		if limited {
			r.queue = 200 * time.Millisecond
		}
		at := now.Add(time.Duration(i) * time.Second)
		switch g.judge(r, at) {
		case roomy:
			tried, limited, g.raised = append(tried, i), true, at
		case overloaded:
			limited = false
		case fine:
		}
	}
	for i := 2; i < len(tried); i++ {
		if a, b := tried[i-1]-tried[i-2], tried[i]-tried[i-1]; b <= a {
			t.Errorf("tried after %v s: the pauses do not grow", tried)
		}
	}
	if len(tried) < 3 {
		t.Errorf("tried after %v s only", tried)
	}
}

func FuzzFeedback(f *testing.F) {
	b := newBottleneck(0)
	for range 10 {
		b.viewer.Record(1, b.send(1000), b.now)
	}
	for _, p := range b.viewer.BuildFeedbackPacket() {
		wire, err := p.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		var p rtcp.TransportLayerCC
		if p.Unmarshal(wire) != nil {
			return
		}
		b := newBottleneck(0)
		for range 100 {
			b.send(1000)
		}
		b.band.feedback(&p, time.Unix(1e9, 0))
		if r := b.band.read(time.Second); r.queue < 0 || r.loss < 0 || r.loss > 1 || r.kbps < 0 {
			t.Errorf("%+v", r)
		}
	})
}
