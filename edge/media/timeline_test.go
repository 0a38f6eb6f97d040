package media

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

const hz = 90000

// camera simulates a sender: true time, the edge's clocks, and the RTP stamps it would send.
type camera struct {
	t     *Timeline
	e     *Epochs
	mono  time.Duration
	wall  time.Time
	stamp float64
	pts   []int64
	walls []time.Time
	epoch []uint32
}

func newCamera() *camera {
	c := &camera{e: NewEpochs(1), wall: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	c.t = NewTimeline(hz, c.e)
	c.t.clock = func(time.Time) (time.Duration, time.Time) { return c.mono, c.wall }
	return c
}

// frame lets dt of true time pass, moves the stamp by ticks, and delivers a frame delay late.
func (c *camera) frame(dt time.Duration, ticks float64, delay time.Duration) {
	c.mono += dt
	c.wall = c.wall.Add(dt)
	c.stamp += ticks
	m, w := c.mono, c.wall
	c.mono, c.wall = m+delay, w.Add(delay)
	p, e, at := c.t.Map(uint32(int64(c.stamp)), time.Time{})
	c.mono, c.wall = m, w
	c.pts, c.epoch, c.walls = append(c.pts, p), append(c.epoch, e), append(c.walls, at)
}

func (c *camera) err() time.Duration { return c.walls[len(c.walls)-1].Sub(c.wall) }

func (c *camera) epochs() int {
	seen := map[uint32]bool{}
	for _, e := range c.epoch {
		seen[e] = true
	}
	return len(seen)
}

func (c *camera) monotonic(t *testing.T) {
	t.Helper()
	for i := 1; i < len(c.pts); i++ {
		if c.pts[i] <= c.pts[i-1] {
			t.Fatalf("frame %d: pts %d follows %d", i, c.pts[i], c.pts[i-1])
		}
	}
}

const step = 40 * time.Millisecond

func TestHoursOfDriftStayWithinFewMilliseconds(t *testing.T) {
	for _, ppm := range []float64{200, -200, 50} {
		c := newCamera()
		rnd := rand.New(rand.NewPCG(1, 2))
		worst := time.Duration(0)
		for i := range 6 * 3600 * 25 {
			c.frame(step, 3600*(1+ppm/1e6), time.Duration(rnd.ExpFloat64()*float64(3*time.Millisecond)))
			if i > 1000 {
				worst = max(worst, c.err().Abs())
			}
		}
		c.monotonic(t)
		if c.epochs() != 1 || worst > 20*time.Millisecond {
			t.Errorf("%v ppm over 6 h: %d epochs, worst wall error %v, want one epoch and <= 20ms", ppm, c.epochs(), worst)
		}
	}
}

func TestWrapOf32BitTimestampsIsSeamless(t *testing.T) {
	c := newCamera()
	c.stamp = math.MaxUint32 - 50*3600
	for range 200 {
		c.frame(step, 3600, 0)
	}
	c.monotonic(t)
	if c.epochs() != 1 || c.pts[199]-c.pts[0] != 199*3600 {
		t.Errorf("%d epochs, %d ticks over the wrap, want 1 and %d", c.epochs(), c.pts[199]-c.pts[0], 199*3600)
	}
}

func TestDuplicateAndBackwardTimestampsAreRespaced(t *testing.T) {
	c := newCamera()
	for i := range 100 {
		ticks := 3600.0
		switch i % 10 {
		case 3:
			ticks = 0
		case 4:
			ticks = 7200
		case 7:
			ticks = -100
		case 8:
			ticks = 7300
		}
		c.frame(step, ticks, 0)
	}
	c.monotonic(t)
	if c.epochs() != 1 {
		t.Errorf("repair opened %d epochs, want 1", c.epochs())
	}
}

func TestBFramesKeepTheirOrder(t *testing.T) {
	c := newCamera()
	c.t.Reorder = true
	c.frame(step, 0, 0)
	for range 20 { // decode order I0 P2 B1 P4 B3 ...
		c.frame(step, 7200, 0)
		c.frame(step, -3600, 0)
		c.stamp += 3600
	}
	for i, want := range []int64{0, 7200, 3600, 14400, 10800} {
		if c.pts[i] != want {
			t.Fatalf("pts %v: a B-frame's earlier time must survive", c.pts[:5])
		}
	}
	if c.epochs() != 1 {
		t.Errorf("%d epochs, want 1", c.epochs())
	}
}

func TestSteps(t *testing.T) {
	cases := []struct {
		name   string
		step   func(*camera)
		epochs int
	}{
		{"camera clock jumps ahead an hour", func(c *camera) { c.frame(step, 3600*hz, 0) }, 2},
		{"camera clock jumps back an hour", func(c *camera) { c.frame(step, -3600*hz, 0) }, 2},
		{"edge clock steps ahead", func(c *camera) { c.wall = c.wall.Add(37 * time.Second); c.frame(step, 3600, 0) }, 2},
		{"edge clock steps back", func(c *camera) { c.wall = c.wall.Add(-37 * time.Second); c.frame(step, 3600, 0) }, 2},
		{"edge learns the time after booting in 1970", func(c *camera) {
			c.wall = c.wall.AddDate(56, 0, 0)
			c.frame(step, 3600, 0)
		}, 2},
		{"source reconnects", func(c *camera) { c.e.Next(); c.stamp = 12345; c.frame(2*time.Second, 3600, 0) }, 2},
		{"a silence of 30 s, stamps go on", func(c *camera) { c.frame(30*time.Second, 30*hz, 0) }, 1},
		{"the way is 3 s slow for 20 s", func(c *camera) {
			for range 500 {
				c.frame(step, 3600, 3*time.Second)
			}
		}, 1},
		{"the camera's clock stands still for 2 s", func(c *camera) {
			c.frame(2*time.Second, 3600, 0)
			for range 1500 {
				c.frame(step, 3600, 0)
			}
		}, 2},
		{"one frame is 3 s late, the rest catch up", func(c *camera) {
			c.frame(step, 3600, 3*time.Second)
			for i := range 74 {
				c.frame(step, 3600, 3*time.Second-time.Duration(i+1)*step)
			}
		}, 1},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			c := newCamera()
			for range 500 {
				c.frame(step, 3600, 0)
			}
			tc.step(c)
			for range 500 {
				c.frame(step, 3600, 0)
			}
			c.monotonic(t)
			if c.epochs() != tc.epochs {
				t.Errorf("%d epochs, want %d", c.epochs(), tc.epochs)
			}
			if e := c.err().Abs(); e > 20*time.Millisecond {
				t.Errorf("20 s later the wall time is off by %v", e)
			}
			if len(c.pts) < 1001 {
				t.Errorf("%d frames mapped", len(c.pts))
			}
		})
	}
}

func TestDeclared25FramesDelivered21(t *testing.T) {
	c := newCamera()
	for range 21 * 600 { // ten minutes
		c.frame(time.Second/21, 3600, 0)
	}
	c.monotonic(t)
	if c.epochs() > 4 {
		t.Errorf("%d epochs in ten minutes: the rate must be learned, not jumped after", c.epochs())
	}
	if e := c.err().Abs(); e > 300*time.Millisecond {
		t.Errorf("wall error %v after ten minutes", e)
	}
	if d := c.pts[len(c.pts)-1] - c.pts[len(c.pts)-22]; d < hz*98/100 || d > hz*102/100 {
		t.Errorf("a second holds %d ticks, want about %d", d, hz)
	}
}

func TestDeclared25FramesDelivered29(t *testing.T) {
	c := newCamera()
	for range 29 * 600 {
		c.frame(time.Second/29, 3600, 0)
	}
	c.monotonic(t)
	if c.epochs() > 6 {
		t.Errorf("%d epochs in ten minutes: the rate must be learned, not jumped after", c.epochs())
	}
	if e := c.err().Abs(); e > 300*time.Millisecond {
		t.Errorf("wall error %v after ten minutes", e)
	}
}

func TestAFirstFrameThatCameLateDoesNotSpoilTheRate(t *testing.T) {
	c := newCamera()
	c.frame(step, 3600, 8*time.Second)
	for i := range 200 {
		c.frame(step, 3600, 8*time.Second-time.Duration(i)*step)
	}
	for range 3000 {
		c.frame(step, 3600, 0)
	}
	c.monotonic(t)
	if e := c.err().Abs(); e > 20*time.Millisecond {
		t.Errorf("wall error %v after two minutes", e)
	}
	if d := c.pts[len(c.pts)-1] - c.pts[len(c.pts)-26]; d != hz {
		t.Errorf("a second holds %d ticks, want %d", d, hz)
	}
}

func TestBurstOfOldFramesAtTheStartIsPulledBack(t *testing.T) {
	c := newCamera()
	for range 50 { // two seconds of history at once
		c.frame(0, 3600, 0)
	}
	for range 500 {
		c.frame(step, 3600, 0)
	}
	c.monotonic(t)
	for i := 1; i < len(c.walls); i++ {
		if !c.walls[i].After(c.walls[i-1]) {
			t.Fatalf("wall time of frame %d does not advance", i)
		}
	}
	if e := c.err().Abs(); e > 20*time.Millisecond {
		t.Errorf("20 s later the wall time is off by %v", e)
	}
}

func TestOffsetIsCameraMinusEdge(t *testing.T) {
	c := newCamera()
	for range 100 {
		c.frame(step, 3600, 0)
	}
	c.t.SenderReport(c.wall.Add(-90*time.Second), uint32(int64(c.stamp)))
	off, ok := c.t.Offset()
	if !ok || (off+90*time.Second).Abs() > 5*time.Millisecond {
		t.Errorf("offset %v %v, want -90s: the camera is slow", off, ok)
	}
}

// A unit of several packets is mapped when its last one is here; over UDP the report sent before it may come in between.
func TestReportBeforeTheFirstUnitIsKeptForIt(t *testing.T) {
	c := newCamera()
	c.t.SenderReport(c.wall.Add(step).Add(5*time.Second), uint32(int64(c.stamp))+3600)
	if _, ok := c.t.Offset(); ok {
		t.Error("an offset before there is anything to measure it by")
	}
	c.frame(step, 3600, 0)
	off, ok := c.t.Offset()
	if !ok || (off-5*time.Second).Abs() > 5*time.Millisecond {
		t.Errorf("offset %v %v, want 5 s: the camera is fast", off, ok)
	}
}

func TestTrustSenderTakesWallTimeFromReports(t *testing.T) {
	c := newCamera()
	c.t.TrustSender = true
	c.frame(step, 3600, 0)
	want := c.wall.Add(-700 * time.Millisecond)
	c.t.SenderReport(want, uint32(int64(c.stamp)))
	c.frame(step, 3600, 0)
	if got := c.walls[1]; got.Sub(want.Add(step)).Abs() > time.Microsecond {
		t.Errorf("wall %v, want %v", got, want.Add(step))
	}
}

// A camera whose clock runs at a wrong rate keeps its epoch, and no two of its pictures are given the same time: footage
// of a new epoch would be labelled with times that were given out before, and be lost where it is read back.
func TestWrongRateIsLearntWithinTheEpoch(t *testing.T) {
	for _, rate := range []float64{1.005, 1.002, 1.03, 1.1, 0.995, 0.98} {
		c := newCamera()
		rnd := rand.New(rand.NewPCG(3, 4))
		worst, end := time.Duration(0), time.Duration(0)
		const frames = 16 * 60 * 25
		for i := range frames {
			c.frame(step, 3600*rate, time.Duration(rnd.ExpFloat64()*float64(4*time.Millisecond)))
			if i > 0 && !c.walls[i].After(c.walls[i-1]) {
				t.Fatalf("rate %v: picture %d is at %v, the one before at %v", rate, i, c.walls[i], c.walls[i-1])
			}
			worst = max(worst, c.err().Abs())
			if i > frames-25*60 {
				end = max(end, c.err().Abs())
			}
		}
		c.monotonic(t)
		ticks := float64(c.pts[frames-1]-c.pts[frames-1501]) / 1500
		epochs := 1
		if rate < 0.99 {
			epochs = 2 // it may yet be the network: in the end the labels step ahead
		}
		if c.epochs() > epochs || worst > 2*time.Second || rate > 1 && worst > 600*time.Millisecond ||
			end > 30*time.Millisecond || math.Abs(ticks-3600) > 4 {
			t.Errorf("rate %v: %d epochs, wall error up to %v, in the end %v, %v ticks a picture", rate, c.epochs(), worst, end, ticks)
		}
	}
}

// A network that fills up for a while and empties again is not taken for a wrong clock for long, and costs no epoch.
func TestFillingNetworkKeepsTheRate(t *testing.T) {
	c := newCamera()
	for i := range 6000 {
		fill := time.Duration(0)
		switch {
		case i > 2000 && i <= 3000:
			fill = time.Duration(i-2000) * 400 * time.Microsecond // up to 0.4 s in 40 s
		case i > 3000 && i <= 4000:
			fill = time.Duration(4000-i) * 400 * time.Microsecond
		}
		c.frame(step, 3600, fill)
	}
	c.monotonic(t)
	if c.epochs() != 1 || c.err().Abs() > 100*time.Millisecond {
		t.Errorf("%d epochs, wall error %v", c.epochs(), c.err())
	}
}
