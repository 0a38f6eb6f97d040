package raster

import "math/bits"

// Bits writes a bit string most significant bit first. The zero value is an empty string.
type Bits struct {
	Buf []byte // whole bytes so far
	acc uint64
	n   uint // bits in acc not yet in Buf, less than 8
}

// Reset empties b and continues in buf's memory.
func (b *Bits) Reset(buf []byte) { b.Buf, b.acc, b.n = buf[:0], 0, 0 }

// Put writes the n low bits of v, n at most 32.
func (b *Bits) Put(v uint32, n uint) {
	b.acc = b.acc<<n | uint64(v)&(1<<n-1)
	b.n += n
	for b.n >= 8 {
		b.n -= 8
		b.Buf = append(b.Buf, byte(b.acc>>b.n))
	}
}

// Flag writes one bit.
func (b *Bits) Flag(v bool) {
	if v {
		b.Put(1, 1)
	} else {
		b.Put(0, 1)
	}
}

// UE writes an unsigned Exp-Golomb code.
func (b *Bits) UE(v uint32) {
	n := uint(bits.Len32(v + 1))
	b.Put(0, n-1)
	b.Put(v+1, n)
}

// SE writes a signed Exp-Golomb code.
func (b *Bits) SE(v int) {
	if v > 0 {
		b.UE(uint32(2*v - 1))
	} else {
		b.UE(uint32(-2 * v))
	}
}

// Align fills the current byte with zero bits.
func (b *Bits) Align() {
	if b.n > 0 {
		b.Put(0, 8-b.n)
	}
}

// Trail writes the stop bit of a raw byte sequence payload and aligns.
func (b *Bits) Trail() {
	b.Put(1, 1)
	b.Align()
}

// Aligned reports whether the string ends on a byte boundary.
func (b *Bits) Aligned() bool { return b.n == 0 }

// Escape appends rbsp to dst with emulation prevention bytes. dst must not end in a zero byte.
func Escape(dst, rbsp []byte) []byte {
	from, zeros := 0, 0
	for i := 0; i < len(rbsp); i++ {
		v := rbsp[i]
		if v > 3 {
			zeros = 0
			continue
		}
		if zeros >= 2 {
			dst = append(dst, rbsp[from:i]...)
			dst = append(dst, 3)
			from, zeros = i, 0
		}
		if v == 0 {
			zeros++
		} else {
			zeros = 0
		}
	}
	return append(dst, rbsp[from:]...)
}
