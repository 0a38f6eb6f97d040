package relay

import (
	"encoding/binary"
	"fmt"
	"net"
	"testing"
	"time"

	"skein/edge/media"
)

// A viewer begins with a picture that can be decoded: pictures that lead the group it begins with are left out, those of
// later groups are not, sequence numbers have no holes, and H.264 begins with an IDR picture while one is kept.
//
// Letters are pictures: K an IDR picture, O an open key, l one that leads its group, p any other.
func TestViewersBeginWithWhatCanBeDecoded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		codec         media.Codec
		before, after string
		most          int    // bytes to catch up with
		want          string // places of the pictures sent
	}{
		{"next key", media.H265, "", "pOllpOllp", 1 << 20, "[1 4 5 6 7 8]"},
		{"catch-up", media.H265, "KppOllp", "pOllp", 1 << 20, "[3 6 7 8 9 10 11]"},
		{"in the middle of what leads", media.H265, "KppOl", "lpOllp", 1 << 20, "[3 6 7 8 9 10]"},
		{"H.264 begins with an IDR picture", media.H264, "KppOllp", "p", 1 << 20, "[0 1 2 3 4 5 6 7]"},
		{"H.264 without one", media.H264, "OppOllp", "p", 1 << 20, "[3 6 7]"},
		{"H.264 waits for an IDR picture that may come", media.H264, "", "pKpOlp", 1 << 20, "[1 2 3 4 5]"},
		{"too much to catch up with: its key frame, then the next", media.H265, "Kpppp", "pKp", 1000, "[0 6 7]"},
	} {
		r, sink, _ := hotRelay(t, "127.0.0.1:0")
		r.cfg.CatchUpBytes = c.most
		l := newLine(c.codec, videoRate)
		b := newBatch(r.outlet)
		n := 0
		now := time.Now()
		publish := func(pictures string) {
			for _, p := range pictures {
				key := p == 'K' || p == 'O'
				pkts := make([]packet, 3)
				for i := range pkts {
					pkts[i] = packet{
						body: make([]byte, 100+n), codec: c.codec, key: key, leading: p == 'l', marker: i == 2,
					}
				}
				m := moment{ts: int64(n) * 3600, arrival: now.Add(time.Duration(n) * 40 * time.Millisecond)}
				u := l.append(pkts, key, p == 'O' && c.codec == media.H264, m)
				b.begin()
				for _, s := range *l.viewers.Load() {
					s.deliver(b, l, &u)
				}
				b.flush()
				n++
			}
		}
		publish(c.before)
		hotSlot(t, r, l, 1, sink.LocalAddr().(*net.UDPAddr).AddrPort()) //nolint:forcetypeassert // a UDP socket
		sl := (*l.viewers.Load())[0]
		sl.payload[media.H265] = 103 | payloadKnown
		for more := true; more; {
			b.begin()
			_, more = sl.catchUp(b, make([]packet, 2))
			b.flush()
		}
		publish(c.after)
		if got := fmt.Sprint(shown(t, sink, sl)); got != c.want {
			t.Errorf("%s: pictures %s, want %s", c.name, got, c.want)
		}
	}
}

// shown returns the places of the pictures that a slot sent, by the size of their packets, and fails where sequence
// numbers have a hole or timestamps do not rise.
func shown(t *testing.T, sink *net.UDPConn, sl *slot) []int {
	t.Helper()
	var places []int
	var seq uint16
	var stamp uint32
	buf := make([]byte, 1500)
	for want := sl.stats.packets; want > 0; want-- {
		_ = sink.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := sink.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		s, ts := binary.BigEndian.Uint16(buf[2:]), binary.BigEndian.Uint32(buf[4:])
		if len(places) > 0 && s != seq+1 {
			t.Errorf("packet %d follows %d", s, seq)
		}
		if len(places) == 0 || ts != stamp {
			if len(places) > 0 && int32(ts-stamp) <= 0 {
				t.Errorf("timestamp %d follows %d", ts, stamp)
			}
			places = append(places, n-sl.room(&packet{body: make([]byte, 100)}))
		}
		seq, stamp = s, ts
	}
	return places
}
