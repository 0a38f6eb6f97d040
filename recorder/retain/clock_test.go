package retain

import (
	"context"
	"testing"
	"time"
	"unsafe"

	"skein/recorder/segment"
)

// machine is a machine's clocks: true time passes on both, and somebody sets the wall clock.
type machine struct {
	start time.Time
	gone  time.Duration
	set   time.Duration
}

func (m *machine) now() time.Time {
	t := m.start.Add(m.gone)
	const secondsAt = 30 // package time: the wall seconds lie above 30 bits of nanoseconds
	*(*uint64)(unsafe.Pointer(&t)) += uint64(int64(m.set/time.Second)) << secondsAt
	return t
}

const year = 365 * 24 * time.Hour

func TestClockDoesNotFollowALeap(t *testing.T) {
	t.Parallel()
	m := &machine{start: time.Now()}
	c := NewClock(m.now, nil)
	check := func(what string, want time.Duration) {
		t.Helper()
		if got := c.Now().Sub(m.start.Round(0)); (got - want).Abs() > time.Second {
			t.Errorf("%s: %v after the start, want %v", what, got, want)
		}
	}
	check("at first", 0)
	m.gone, m.set = time.Hour, 10*time.Minute
	check("set a little", time.Hour+10*time.Minute)
	m.gone, m.set = 2*time.Hour, 10*year
	check("set ten years ahead", 2*time.Hour+10*time.Minute)
	m.gone = 25 * time.Hour
	check("for 23 hours", 25*time.Hour+10*time.Minute)
	m.set = 0
	check("put right", 25*time.Hour)
	m.gone, m.set = 30*time.Hour, -2*time.Hour
	check("set back", 28*time.Hour)
	m.set = 0 // two hours at once
	check("ahead again", 28*time.Hour)
	m.gone = 55 * time.Hour
	check("for a day", 55*time.Hour)
}

// days is an index that knows days only.
type days map[string][]time.Time

func (d days) Cameras(context.Context) ([]string, error) {
	var ids []string
	for id := range d {
		ids = append(ids, id)
	}
	return ids, nil
}
func (d days) Days(_ context.Context, id string) ([]time.Time, error) { return d[id], nil }
func (days) Add(context.Context, string, segment.Record) error        { return nil }
func (days) Remove(context.Context, string, segment.Record) error     { return nil }
func (days) Range(context.Context, string, segment.Range) ([]segment.Record, error) {
	return nil, nil
}

// A machine that boots with a wrong year must not find all of its archive too old.
func TestClockThatBootsInAnotherYear(t *testing.T) {
	t.Parallel()
	today := time.Now().UTC().Truncate(24 * time.Hour)
	forged := time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		newest time.Time
		set    time.Duration
		follow bool
	}{
		"right":              {today, 0, true},
		"after a short rest": {today.AddDate(0, 0, -5), 0, true},
		"ten years ahead":    {today, 10 * year, false},
		"ten years behind":   {today, -10 * year, true},
		"a new archive":      {time.Time{}, 10 * year, true},
	} {
		m := &machine{start: time.Now(), set: c.set}
		ix := days{}
		if !c.newest.IsZero() {
			ix["gate"], ix["yard"] = []time.Time{c.newest.AddDate(0, -1, 0), c.newest, forged}, nil
		}
		clock := NewClock(m.now, nil)
		if err := clock.Begin(t.Context(), ix); err != nil {
			t.Fatal(err)
		}
		m.gone = time.Minute
		if got := clock.Now().Sub(m.now().Round(0)).Abs() < time.Second; got != c.follow {
			t.Errorf("%s: it is %v, the machine says %v", name, clock.Now(), m.now())
		}
	}
}
