package rtsp

import (
	"slices"
	"testing"
	"time"
)

// Packets that overtook each other come out in order, a lost one holds up what is behind it for a tenth of a second, and
// a sender that begins anew is followed.
func TestReorder(t *testing.T) {
	t.Parallel()
	type in struct {
		seq uint16
		at  int // milliseconds
	}
	for _, c := range []struct {
		name string
		in   []in
		want []uint16
	}{
		{"in order over the wrap", []in{{65534, 0}, {65535, 0}, {0, 0}, {1, 0}}, []uint16{65534, 65535, 0, 1}},
		{"overtaken", []in{{10, 0}, {12, 1}, {13, 2}, {11, 3}, {14, 4}}, []uint16{10, 11, 12, 13, 14}},
		{"overtaken over the wrap", []in{{65535, 0}, {1, 1}, {2, 1}, {0, 3}}, []uint16{65535, 0, 1, 2}},
		{"lost", []in{{10, 0}, {12, 10}, {13, 60}, {14, 111}}, []uint16{10, 12, 13, 14}},
		{"not yet given up", []in{{10, 0}, {12, 10}, {13, 60}, {14, 109}}, []uint16{10}},
		{"two lost", []in{{10, 0}, {12, 10}, {14, 20}, {15, 115}, {16, 130}}, []uint16{10, 12, 14, 15, 16}},
		{"twice", []in{{10, 0}, {12, 1}, {12, 1}, {11, 2}, {11, 3}}, []uint16{10, 11, 12, 11}},
		{"too late", []in{{10, 0}, {12, 1}, {13, 140}, {11, 150}, {14, 151}}, []uint16{10, 12, 13, 11, 14}},
		{"begun anew", []in{{10, 0}, {12, 1}, {30000, 2}, {30001, 3}}, []uint16{10, 12, 30000, 30001}},
		{"begun anew before", []in{{30000, 0}, {30002, 1}, {10, 2}, {11, 3}}, []uint16{30000, 30002, 10, 11}},
	} {
		var r reorder
		var got []uint16
		start := time.Now()
		for _, p := range c.in {
			b := []byte{byte(p.seq)}
			at := start.Add(time.Duration(p.at) * time.Millisecond)
			r.push(&packet{seq: p.seq, payload: b}, at, func(p *packet, _ time.Time) {
				if p.payload[0] != byte(p.seq) {
					t.Errorf("%s: packet %d has the bytes of another", c.name, p.seq)
				}
				got = append(got, p.seq)
			})
			b[0] = 0xee // a packet's bytes are valid during the call only
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
