package relay

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func rtpPacket(seq uint16) []byte {
	b := make([]byte, 20)
	b[0] = 0x80
	binary.BigEndian.PutUint16(b[2:], seq)
	return b
}

func TestReorder(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var q reorder
	var got []uint16
	push := func(after time.Duration, seqs ...uint16) {
		for _, s := range seqs {
			q.push(rtpPacket(s), now.Add(after), func(b []byte) { got = append(got, binary.BigEndian.Uint16(b[2:])) })
		}
	}
	check := func(what string, want ...uint16) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
		got = nil
	}
	push(0, 65534, 65535, 1, 2, 0, 2, 65535, 3)
	check("over the wrap, with a late one and duplicates", 65534, 65535, 0, 1, 2, 3)
	push(0, 5)
	push(100*time.Millisecond, 6, 7)
	check("4 may still come")
	push(200*time.Millisecond, 4)
	check("and does", 4, 5, 6, 7)
	push(0, 9)
	push(reorderWait, 10)
	check("8 is given up", 9, 10)
	push(0, 12, 14)
	push(2*reorderWait, 15)
	check("two holes", 12, 14, 15)
	push(0, 30000)
	check("a sender that begins anew", 30000)
	push(0, 1)
	check("backwards too", 1)
	q.push([]byte{1, 2}, now, func([]byte) { t.Error("no packet") })
	for i := range uint16(2 * reorderMost) {
		push(0, 3+i)
	}
	if len(q.held) > reorderMost || len(got) == 0 {
		t.Errorf("%d packets held", len(q.held))
	}
}

// However packets are mixed up, they come out in order, each once.
func TestReorderProperty(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 7)) //nolint:gosec // test data
	for range 200 {
		var q reorder
		next := uint16(r.Uint32())
		first := next
		now := time.Now()
		emit := func(b []byte) {
			if s := binary.BigEndian.Uint16(b[2:]); s != next {
				t.Fatalf("%d, want %d", s, next)
			}
			next++
		}
		q.push(rtpPacket(first), now, emit)
		seqs := make([]uint16, 100)
		for i := range seqs {
			seqs[i] = first + 1 + uint16(i)
		}
		r.Shuffle(len(seqs), func(i, j int) { seqs[i], seqs[j] = seqs[j], seqs[i] })
		for _, s := range seqs {
			q.push(rtpPacket(s), now, emit)
		}
		if next != first+101 {
			t.Fatalf("%d of 101 came out", next-first)
		}
	}
}

func FuzzReorder(f *testing.F) {
	f.Add([]byte{0, 1, 0, 2, 0, 4, 0, 3})
	f.Fuzz(func(t *testing.T, in []byte) {
		var q reorder
		now := time.Now()
		for ; len(in) > 1; in = in[2:] {
			now = now.Add(time.Millisecond)
			q.push(rtpPacket(binary.BigEndian.Uint16(in)), now, func([]byte) {})
			if len(q.held) > reorderMost+1 {
				t.Fatalf("%d held", len(q.held))
			}
		}
	})
}
