package transcode

import (
	"sync"
	"time"

	"skein/edge/media"
)

// opusRate is the clock of Opus, whatever the rate of what it was made of (RFC 7587 section 4.1).
const opusRate = 48000

// moment is when a frame of sound was captured.
type moment struct {
	n       int64 // number of the frame
	pts     int64 // in ticks of opusRate
	epoch   uint32
	wall    time.Time
	arrival time.Time
}

// moments remembers the newest frames given to the program. Safe for concurrent use.
type moments struct {
	samples, rate int64 // of a frame, and of its clock

	mu    sync.Mutex // guards the fields below
	ring  [512]moment
	given int64 // frames
	asked int64 // newest frame asked for
}

// begin returns where frame n begins, in ticks of scale.
func (m *moments) begin(n, scale int64) int64 { return n * m.samples * scale / m.rate }

// add notes frame i of a unit as the next one given.
func (m *moments) add(u *media.AccessUnit, i int) (n int64) {
	clock := int64(u.Desc.Tracks[u.Track].ClockRate)
	pts := u.PTS/clock*opusRate + u.PTS%clock*opusRate/clock
	later := m.begin(int64(i), int64(time.Second))
	m.mu.Lock()
	defer m.mu.Unlock()
	n = m.given
	m.given++
	m.ring[n%int64(len(m.ring))] = moment{
		n: n, pts: pts + m.begin(int64(i), opusRate), epoch: u.Epoch,
		wall: u.Wall.Add(time.Duration(later)), arrival: u.Arrival,
	}
	return n
}

// at returns the moment of a position, in ticks of opusRate since the first frame; ok is false if that is no longer, or
// not yet, known.
func (m *moments) at(position int64) (at moment, ok bool) {
	n := max(position, 0) * m.rate / (m.samples * opusRate)
	m.mu.Lock()
	defer m.mu.Unlock()
	if n >= m.given { // a little more may come out than went in
		n = m.given - 1
	}
	if n < 0 || m.ring[n%int64(len(m.ring))].n != n {
		return at, false
	}
	m.asked = max(m.asked, n)
	at = m.ring[n%int64(len(m.ring))]
	off := position - m.begin(n, opusRate)
	at.pts += off
	at.wall = at.wall.Add(time.Duration(off) * time.Second / opusRate)
	return at, true
}

// behind returns how much sound went in since the newest that came out.
func (m *moments) behind() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Duration(m.begin(m.given-m.asked, int64(time.Second)))
}
