package spool

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// clocks is the seam to the machine's clocks.
type clocks struct {
	now    func() time.Time                        // wall, with Go's monotonic reading
	boot   func() (id string, since time.Duration) // which boot this is, and how long it has lasted, sleep included
	synced func() bool                             // the system says that its clock follows a reference
	least  time.Time                               // a clock that shows an earlier time was never set
}

// bootTime is a moment on the clock that runs from a boot on.
type bootTime struct {
	id string // of the boot, 12 hexadecimal digits
	at time.Duration
}

func osClocks() clocks {
	return clocks{
		now: time.Now, boot: bootClock, synced: clockSynced, least: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

const bootDigits = 12

func bootClock() (string, time.Duration) {
	raw, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	id := strings.ReplaceAll(strings.TrimSpace(string(raw)), "-", "")
	var ts unix.Timespec
	if err != nil || len(id) < bootDigits || unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return strings.Repeat("0", bootDigits), 0 // then what was recorded is placed after what is known
	}
	return id[:bootDigits], time.Duration(ts.Nano())
}

// clockSynced asks the kernel (adjtimex): an NTP client keeps its STA_UNSYNC off.
func clockSynced() bool {
	var t unix.Timex
	_, err := unix.Adjtimex(&t)
	return err == nil && t.Status&unix.STA_UNSYNC == 0
}

// clockBack is how far behind the newest known time a clock may be that follows no reference, and still be believed.
const clockBack = time.Minute

// sane reports whether a wall time can be believed: it is not that of a clock never set, and does not lie before what
// an earlier process has seen, unless the system vouches for its clock.
func (s *Spool) sane(wall time.Time) bool {
	if wall.Before(s.fs.clocks.least) {
		return false
	}
	return s.aliveThen.IsZero() || !wall.Before(s.aliveThen.Add(-clockBack)) || s.fs.clocks.synced()
}

// now returns the wall time, whether it can be believed or not.
func (s *Spool) now() time.Time { return s.fs.clocks.now() }

// bootAt returns where on the boot's clock a moment of this process lies; arrival has a monotonic reading.
func (s *Spool) bootAt(arrival time.Time) bootTime {
	id, since := s.fs.clocks.boot()
	if !arrival.IsZero() {
		since -= time.Since(arrival)
	}
	return bootTime{id: id, at: max(0, since)}
}

// wallOf returns the wall time of a moment of this boot by the clock as it is now; ok is false for another boot's.
func (s *Spool) wallOf(b bootTime) (wall time.Time, ok bool) {
	id, since := s.fs.clocks.boot()
	if id != b.id || since == 0 {
		return time.Time{}, false
	}
	return s.now().Add(b.at - since), true
}
