package rtsp

import (
	"bytes"
	"testing"
	"time"
)

// A picture that is nothing but start codes keeps its camera's goroutine busy in proportion to its size, not to the
// square: 8 MiB took many minutes, with the camera's lock held.
func TestUnitOfStartCodesIsTakenApartInTime(t *testing.T) {
	d := newNALDepacketizer(h264NALs{})
	var got []unit
	emit := func(u unit) { got = append(got, u) }
	part := append([]byte{0x7c, 0x05}, bytes.Repeat([]byte{0, 0, 1}, 20_000)...)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 140 {
			p := packet{seq: uint16(i), payload: bytes.Clone(part), marker: i == 139}
			switch i {
			case 0:
				p.payload[1] |= 0x80
			case 139:
				p.payload[1] |= 0x40
				p.payload = append(p.payload, 0x65, 0x88, 0x84)
			}
			_ = d.push(&p, false, emit)
		}
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("8 MiB of start codes are not taken apart after a minute")
	}
	if len(got) != 1 || len(got[0].nalus) != 2 || !bytes.Equal(got[0].nalus[1], []byte{0x65, 0x88, 0x84}) {
		t.Errorf("%d units, want one of its header and the slice behind the start codes", len(got))
	}
}
