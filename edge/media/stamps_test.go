package media_test

import (
	"testing"
	"time"

	"skein/edge/media"
)

// Whatever a camera writes into its timestamps: each picture has a time of its own, two milliseconds from any other at
// least, that goes with its arrival, in one epoch; and it is known that the camera is at fault.
func TestBadStampsAreRepairedFromArrival(t *testing.T) {
	t.Parallel()
	const step = 3600
	for _, c := range []struct {
		name    string
		stamp   func(n int) int
		reorder bool
		bad     bool
	}{
		{"right", func(n int) int { return n * step }, false, false},
		{"one for all", func(int) int { return 7 }, false, true},
		{"in pairs", func(n int) int { return n / 2 * 2 * step }, false, true},
		{"one in four goes back", func(n int) int { return n*step - n%4/3*3700 }, false, true},
		{"two fields share one", func(n int) int { return n / 2 * step }, false, false},
		{"reordered", func(n int) int { return []int{0, 3, 1, 2, 6, 4, 5, 9, 7, 8}[n%10]*step + n/10*10*step }, true, false},
		{"reordered, in pairs", func(n int) int { return n / 2 * 2 * step }, true, true},
		{"stands still, then goes on", func(n int) int { return max(n, 100) * step }, false, false},
	} {
		start := time.Now()
		tl := media.NewTimeline(90000, media.NewEpochs(1))
		tl.Reorder = c.reorder
		seen := map[int64]bool{} // in steps of two milliseconds
		interval := 40 * time.Millisecond
		if c.name == "two fields share one" {
			interval /= 2
			tl.Fields = true
		}
		const n = 400
		first := time.Time{}
		for i := range n {
			arrival := start.Add(time.Duration(i) * interval)
			pts, epoch, wall := tl.Map(uint32(c.stamp(i)), arrival)
			for d := int64(-179); d < 180; d++ {
				if seen[pts+d] {
					t.Fatalf("%s: picture %d at %d is too near to another", c.name, i, pts)
				}
			}
			seen[pts] = true
			if i == 0 {
				first = wall
			}
			off := wall.Sub(first) - time.Duration(i)*interval
			if epoch != 1 || off.Abs() > 300*time.Millisecond {
				t.Fatalf("%s: picture %d in epoch %d is %v from its arrival", c.name, i, epoch, off)
			}
		}
		if tl.BadStamps() != c.bad {
			t.Errorf("%s: bad timestamps %v, want %v", c.name, tl.BadStamps(), c.bad)
		}
	}
}

// Pictures keep their order on the wall while an epoch settles, although those shown later came earlier.
func TestReorderedPicturesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	start := time.Now()
	tl := media.NewTimeline(90000, media.NewEpochs(1))
	tl.Reorder = true
	order := []int{0, 4, 2, 1, 3}
	walls := map[int]time.Time{}
	for i := range 500 {
		n := i/5*5 + order[i%5]
		_, _, walls[n] = tl.Map(uint32(n*3600), start.Add(time.Duration(i)*40*time.Millisecond))
	}
	for n := 1; n < 500; n++ {
		if !walls[n].After(walls[n-1]) {
			t.Fatalf("picture %d is shown %v after the one before", n, walls[n].Sub(walls[n-1]))
		}
	}
}
