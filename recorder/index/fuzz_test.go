package index

import (
	"bytes"
	"testing"
	"time"

	"skein/recorder/segment"
)

// Whatever Redis returns, decoding does not crash, and what it accepts packs to the same bytes again.
func FuzzHour(f *testing.F) {
	start := time.Date(2026, 3, 1, 5, 10, 0, 0, time.UTC)
	good, err := appendRecord(nil, segment.Record{
		Start: start, Duration: 30 * time.Second, Seq: 77, Bytes: 15e6, Hash: [6]byte{1, 2, 3}, Gap: segment.CauseClock,
	}, 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(append(bytes.Clone(good), good...))
	f.Add(good[:recordSize-1])
	f.Add(bytes.Repeat([]byte{0xff}, recordSize))
	f.Add([]byte{})
	h := hourOf(start)
	f.Fuzz(func(t *testing.T, b []byte) {
		whole := segment.Range{From: hourStart(h), To: hourStart(h + 1)}
		n, err := countHour(b, h, whole)
		if err != nil {
			return
		}
		list := appendHour(nil, b, h, []string{"a", "b"}, whole)
		if len(list) != n {
			t.Fatalf("counted %d, unpacked %d", n, len(list))
		}
		if len(list)*recordSize != len(b) {
			t.Fatalf("%d bytes made %d records", len(b), len(list))
		}
		for i, r := range list {
			if hourOf(r.Start) != h || r.Duration < 0 || r.Duration > MaxDuration || r.Bytes < 0 {
				t.Fatalf("record %+v", r)
			}
			if i > 0 && r.Start.Before(list[i-1].Start) {
				t.Fatal("not in order")
			}
			p, err := appendRecord(nil, r, b[i*recordSize+offShard])
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(p[:offGap], b[i*recordSize:i*recordSize+offGap]) {
				t.Fatalf("%x packs to %x", b[i*recordSize:(i+1)*recordSize], p)
			}
		}
	})
}

// The shard table and day list: no crash, and an accepted head is consistent.
func FuzzHead(f *testing.F) {
	f.Add([]byte{1, 2, 1, 'a', 3, 'b', 'c', 'd', 0x50, 0x11, 0x50, 0x12})
	f.Add([]byte{1, 0})
	f.Add([]byte{1, 1, 200, 'a'})
	f.Add([]byte{2, 0, 0, 1})
	f.Add([]byte{1, 0, 0, 2, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeHead(b)
		if err != nil {
			if len(c.days) != 0 && len(c.shards) != 0 {
				t.Fatal("a refused head gave results")
			}
			return
		}
		n := 2 + 2*len(c.days)
		for _, s := range c.shards {
			n += 1 + len(s)
		}
		if len(b) > 0 && n != len(b) {
			t.Fatalf("%d of %d bytes are explained", n, len(b))
		}
		for i := 1; i < len(c.days); i++ {
			if c.days[i] <= c.days[i-1] {
				t.Fatal("days are not ascending")
			}
		}
	})
}
