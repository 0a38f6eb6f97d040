package fmp4

import "encoding/binary"

// builder appends big-endian fields and boxes to b. The zero value is ready.
type builder struct{ b []byte }

func (w *builder) u8(v ...byte)             { w.b = append(w.b, v...) }
func (w *builder) u16(v uint16)             { w.b = binary.BigEndian.AppendUint16(w.b, v) }
func (w *builder) u32(v uint32)             { w.b = binary.BigEndian.AppendUint32(w.b, v) }
func (w *builder) u64(v uint64)             { w.b = binary.BigEndian.AppendUint64(w.b, v) }
func (w *builder) str(s string)             { w.b = append(w.b, s...) }
func (w *builder) zero(n int)               { w.b = append(w.b, make([]byte, n)...) }
func (w *builder) raw(p []byte)             { w.b = append(w.b, p...) }
func (w *builder) end(at int)               { binary.BigEndian.PutUint32(w.b[at:], uint32(len(w.b)-at)) }
func (w *builder) patch32(at int, v uint32) { binary.BigEndian.PutUint32(w.b[at:], v) }

// box opens a box and returns what end wants.
func (w *builder) box(typ string) int {
	at := len(w.b)
	w.u32(0)
	w.str(typ)
	return at
}

// full opens a FullBox (ISO/IEC 14496-12 section 4.2).
func (w *builder) full(typ string, version byte, flags uint32) int {
	at := w.box(typ)
	w.u32(uint32(version)<<24 | flags&0xffffff)
	return at
}

// matrix appends the unity matrix of mvhd and tkhd.
func (w *builder) matrix() {
	for _, v := range [9]uint32{0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000} {
		w.u32(v)
	}
}

// descriptor opens an MPEG-4 descriptor (ISO/IEC 14496-1 section 8.3.3) with a four-byte length.
func (w *builder) descriptor(tag byte) int {
	w.u8(tag, 0x80, 0x80, 0x80, 0)
	return len(w.b)
}

func (w *builder) endDescriptor(at int) {
	n := len(w.b) - at
	w.b[at-4] = 0x80 | byte(n>>21)
	w.b[at-3] = 0x80 | byte(n>>14)&0x7f
	w.b[at-2] = 0x80 | byte(n>>7)&0x7f
	w.b[at-1] = byte(n) & 0x7f
}

// cursor reads big-endian fields; after the first field beyond the end, bad is set and all reads return zero.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) take(n int) []byte {
	if c.bad || n < 0 || n > len(c.b) {
		c.bad = true
		return nil
	}
	p := c.b[:n]
	c.b = c.b[n:]
	return p
}

func (c *cursor) u16() uint16 {
	if p := c.take(2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if p := c.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if p := c.take(8); p != nil {
		return binary.BigEndian.Uint64(p)
	}
	return 0
}

// box takes the next child box: its type and its body. ok is false at the end or at a malformed box (then bad is set).
func (c *cursor) box() (typ string, body []byte, ok bool) {
	if c.bad || len(c.b) == 0 {
		return "", nil, false
	}
	if len(c.b) < 8 {
		c.bad = true
		return "", nil, false
	}
	size := int64(binary.BigEndian.Uint32(c.b))
	typ = string(c.b[4:8])
	if size < 8 || size > int64(len(c.b)) {
		c.bad = true
		return "", nil, false
	}
	p := c.take(int(size))
	return typ, p[8:], true
}

// child returns the body of the first child of that type in body, nil if there is none.
func child(body []byte, typ string) []byte {
	c := cursor{b: body}
	for {
		t, b, ok := c.box()
		if !ok {
			return nil
		}
		if t == typ {
			return b
		}
	}
}
