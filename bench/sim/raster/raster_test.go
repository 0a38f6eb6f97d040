package raster_test

import (
	"bytes"
	"testing"

	"skein/bench/sim/raster"
)

func TestEscape(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"\x00\x00\x00\x00\x00": "\x00\x00\x03\x00\x00\x03\x00",
		"\x00\x00\x01":         "\x00\x00\x03\x01",
		"\x00\x00\x03":         "\x00\x00\x03\x03",
		"\x00\x00\x04\x00\x00": "\x00\x00\x04\x00\x00",
		"\x01\x00\x02":         "\x01\x00\x02",
	} {
		if got := raster.Escape(nil, []byte(in)); string(got) != want {
			t.Errorf("%x becomes %x, want %x", in, got, want)
		}
	}
}

func TestBits(t *testing.T) {
	t.Parallel()
	var b raster.Bits
	b.UE(0) // 1
	b.UE(3) // 00100
	b.SE(-1)
	b.SE(1)
	b.Flag(true)
	b.Trail()
	if want := []byte{0b10010001, 0b10101100}; !bytes.Equal(b.Buf, want) {
		t.Errorf("got %08b, want %08b", b.Buf, want)
	}
	b.Put(0xdeadbeef, 32)
	if want := []byte{0xde, 0xad, 0xbe, 0xef}; !bytes.Equal(b.Buf[2:], want) || !b.Aligned() {
		t.Errorf("got %x, want %x", b.Buf[2:], want)
	}
}

func TestPCMSurvives(t *testing.T) {
	t.Parallel()
	p := raster.New(40, 20)
	if p.W != 48 || p.H != 32 {
		t.Fatalf("picture of 40x20 is %dx%d, want 48x32", p.W, p.H)
	}
	p.Fill(5, 3, 30, 20, raster.RGB(0xff0000))
	q := raster.New(40, 20)
	for b := range p.Cols() * p.Rows() {
		q.SetPCM(b, p.AppendPCM(nil, b))
	}
	if !bytes.Equal(p.Y, q.Y) || !bytes.Equal(p.Cb, q.Cb) || !bytes.Equal(p.Cr, q.Cr) {
		t.Error("samples got lost")
	}
	if c := raster.RGB(0xffffff); c.Y != 235 || c.Cb != 128 || c.Cr != 128 {
		t.Errorf("white is %+v", c)
	}
}
