package relay_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"skein/gateway/relay"
)

// narrow is a TCP link to the relay whose way down can be slow, or stand still with the connection left open. What
// comes down is checked to be whole frames (RFC 4571).
type narrow struct {
	listener net.Listener
	rate     int         // bytes a second, 0: no limit
	stopped  atomic.Bool // the way down stands still
	broken   atomic.Bool // a frame was cut
	taken    atomic.Int64
	held     atomic.Int64 // nanoseconds: the most that a busy machine held it up beyond its rate
	run      sync.WaitGroup
	ctl      sync.Mutex // guards conns
	conns    []net.Conn
}

// narrowBuffer is what the link's socket takes in without being read: the smaller, the less the kernel hides.
const narrowBuffer = 64 << 10

// linkDebt is how much of what a busy machine held up the link makes good.
const linkDebt = 200 * time.Millisecond

func newNarrow(tb testing.TB, to net.Addr, rate int) *narrow {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(tb, err)
	n := &narrow{listener: l, rate: rate}
	n.run.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to.String())
			if err != nil {
				_ = client.Close()
				continue
			}
			_ = server.(*net.TCPConn).SetReadBuffer(narrowBuffer) //nolint:forcetypeassert // by Dial
			n.ctl.Lock()
			n.conns = append(n.conns, client, server)
			n.ctl.Unlock()
			n.run.Go(func() { _, _ = io.Copy(server, client) })
			n.run.Go(func() { n.down(client, server) })
		}
	})
	tb.Cleanup(func() {
		_ = l.Close()
		n.stopped.Store(false)
		n.cut()
		n.run.Wait()
	})
	return n
}

// cut ends all connections.
func (n *narrow) cut() {
	n.ctl.Lock()
	defer n.ctl.Unlock()
	for _, c := range n.conns {
		_ = c.Close()
	}
}

// down passes frames on at the link's rate.
func (n *narrow) down(client, server net.Conn) {
	buf := make([]byte, 2+1<<16)
	for due := time.Now(); ; {
		if _, err := io.ReadFull(server, buf[:2]); err != nil {
			return
		}
		size := int(binary.BigEndian.Uint16(buf))
		if size == 0 || size > 1500 {
			n.broken.Store(true)
			return
		}
		if _, err := io.ReadFull(server, buf[2:2+size]); err != nil {
			return
		}
		n.taken.Add(int64(size))
		for n.stopped.Load() {
			time.Sleep(time.Millisecond)
		}
		if n.rate > 0 {
			due = due.Add(time.Duration(size) * time.Second / time.Duration(n.rate))
			if now := time.Now(); due.Before(now.Add(-linkDebt)) {
				due = now.Add(-linkDebt)
			}
			if wait := time.Until(due); wait > 0 {
				time.Sleep(wait)
				n.held.Store(max(n.held.Load(), int64(time.Since(due))))
			}
		}
		if _, err := client.Write(buf[:2+size]); err != nil {
			return
		}
	}
}

// overTCP makes the player reach the relay by ICE-TCP alone, through the link.
func overTCP(tb testing.TB, n *narrow) *player {
	tb.Helper()
	p := newPlayer(tb, playerOptions{setup: func(se *webrtc.SettingEngine) {
		se.SetICEUDPMux(nil)
		se.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4})
	}})
	p.link = n
	return p
}

// through rewrites the answer's TCP candidates to the link's address.
func (n *narrow) through(sdp string) string {
	_, port, _ := net.SplitHostPort(n.listener.Addr().String())
	var b strings.Builder
	for line := range strings.Lines(sdp) {
		f := strings.Fields(line)
		if strings.HasPrefix(line, "a=candidate:") && len(f) > 6 && strings.EqualFold(f[2], "tcp") {
			f[4], f[5] = "127.0.0.1", port
			line = strings.Join(f, " ") + "\r\n"
		}
		b.WriteString(line)
	}
	return b.String()
}

// seen is what a player has received: pictures by number, and how old each was.
type seen struct {
	numbers []int
	ages    []time.Duration
}

// watch collects whole pictures for a while. Each must be as published, in order, and after a hole a key frame.
func (p *player) watch(c *camera, length time.Duration) (s seen) {
	p.t.Helper()
	for end := time.After(length); ; {
		select {
		case r := <-p.nalus:
			kind := r.nalu[0] & 0x1f
			if kind != 1 && kind != 5 {
				continue
			}
			i := int(binary.BigEndian.Uint32(r.nalu[1:]))
			if !bytes.Equal(r.nalu, c.slice(i)) {
				p.t.Errorf("picture %d differs from what was published", i)
			}
			if n := len(s.numbers); n > 0 && i != s.numbers[n-1]+1 && (kind != 5 || i <= s.numbers[n-1]) {
				p.t.Errorf("picture %d (NAL unit type %d) follows %d", i, kind, s.numbers[n-1])
			}
			c.mu.Lock()
			age := r.at.Sub(c.at[i])
			c.mu.Unlock()
			s.numbers, s.ages = append(s.numbers, i), append(s.ages, age)
		case <-end:
			return s
		}
	}
}

// holes counts where pictures are missing.
func (s seen) holes() (n int) {
	for i := 1; i < len(s.numbers); i++ {
		if s.numbers[i] != s.numbers[i-1]+1 {
			n++
		}
	}
	return n
}

// oldest returns the age below which a share q of the pictures came.
func (s seen) oldest(q float64) time.Duration {
	ages := slices.Sorted(slices.Values(s.ages))
	if len(ages) == 0 {
		return 0
	}
	return ages[min(len(ages)-1, int(q*float64(len(ages))))]
}

// busyStreet is a camera of 4 Mbit/s with a key frame every second.
func busyStreet(tb testing.TB) *camera {
	tb.Helper()
	c := newCamera()
	c.size = 18_000
	c.publish()
	live(tb, c, 25)
	return c
}

// A viewer whose link bears a quarter of the stream sees the beginnings of groups of pictures, whole and of now; one
// whose link bears it sees all.
func TestTCPViewerSeesWhatItsLinkBears(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rate, least, holes int // bytes a second; pictures; groups of pictures that end early
		oldest             time.Duration
	}{
		"a quarter": {rate: 125_000, least: 30, holes: 10, oldest: 4 * time.Second},
		"twice":     {rate: 1_000_000, least: 200, holes: 0, oldest: 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			street := busyStreet(t)
			r, _ := start(t, relay.Config{TCP: "127.0.0.1:0"}, map[string]*camera{"gate/main": street})
			link := newNarrow(t, r.TCPAddr(), c.rate)
			p := overTCP(t, link).play(r, "gate")
			p.slice()
			s := p.watch(street, 10*time.Second)
			for tries := 1; s.holes() > c.holes && tries < 5; tries++ {
				held := time.Duration(link.held.Swap(0))
				if held < linkDebt {
					break
				}
				t.Logf("%d holes, but the machine held up the link itself for %v: once more", s.holes(), held)
				s = p.watch(street, 10*time.Second)
			}
			t.Logf("%d pictures, %d holes, age p50 %v, worst %v; drops %v", len(s.numbers), s.holes(), s.oldest(.5),
				s.oldest(1), r.Sessions()[0].Slots[0].Drops)
			if len(s.numbers) < c.least || s.holes() > c.holes {
				t.Errorf("%d pictures with %d holes, want %d with at most %d", len(s.numbers), s.holes(), c.least, c.holes)
			}
			if s.oldest(1) > c.oldest {
				t.Errorf("a picture was %v old when it came", s.oldest(1))
			}
			if gaps := p.gaps.Load(); gaps > 0 {
				t.Errorf("%d packets missing in between", gaps)
			}
			if link.broken.Load() {
				t.Error("a frame was cut")
			}
		})
	}
}

// A viewer over ICE-TCP that stops reading, with its connection left open and ICE alive the other way, costs nobody
// else a picture or time, holds little memory, and is sent away.
func TestStalledTCPViewerCostsOthersNothing(t *testing.T) {
	t.Parallel()
	street := busyStreet(t)
	const patience = 6 * time.Second
	r, _ := start(t, relay.Config{TCP: "127.0.0.1:0", SilentTimeout: patience}, map[string]*camera{"gate/main": street})
	link := newNarrow(t, r.TCPAddr(), 0)
	stalled := overTCP(t, link).play(r, "gate")
	stalled.slice()
	id, its := r.Sessions()[0].ID, relay.TCPConns(r)
	others := map[string]*player{
		"UDP": newPlayer(t, playerOptions{}).play(r, "gate"),
		"TCP": overTCP(t, newNarrow(t, r.TCPAddr(), 0)).play(r, "gate"),
	}
	for _, p := range others {
		p.slice()
		p.drain()
	}
	watchAll := func(when string) {
		t.Helper()
		var wg sync.WaitGroup
		for name, p := range others {
			wg.Go(func() {
				s := p.watch(street, 3*time.Second)
				t.Logf("%s %s: %d pictures, age p50 %v, worst %v", name, when, len(s.numbers), s.oldest(.5), s.oldest(1))
				if len(s.numbers) < 60 || s.holes() > 0 || p.gaps.Load() > 0 || s.oldest(.5) > 100*time.Millisecond {
					t.Errorf("%s %s: %d pictures, %d holes, age p50 %v", name, when, len(s.numbers), s.holes(), s.oldest(.5))
				}
			})
		}
		wg.Wait()
	}
	watchAll("before")
	all := relay.TCPConns(r)
	link.stopped.Store(true)
	began := time.Now()
	watchAll("beside the stalled viewer")
	queued := relay.Queued(r)
	var drops map[string]uint64
	for _, s := range r.Sessions() {
		if s.ID == id {
			drops = s.Slots[0].Drops
		}
	}
	t.Logf("%d bytes wait for the stalled viewer; drops %v", queued, drops)
	if queued > 1<<20 {
		t.Errorf("%d bytes wait for the stalled viewer", queued)
	}
	if drops["overflow"] == 0 {
		t.Errorf("drops %v do not name what was not sent", drops)
	}
	eventually(t, "stalled viewer sent away", func() bool { return len(r.Sessions()) == 2 && relay.TCPConns(r) == all-its })
	if took := time.Since(began); took > 3*patience {
		t.Errorf("the stalled viewer stayed for %v", took)
	}
	watchAll("after")
}
