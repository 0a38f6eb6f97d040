package relay

import "encoding/binary"

// URIs of the RTP header extensions we send.
const (
	playoutDelayURI  = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
	transportWideURI = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
)

// maxExtensions is the length of a block with both extensions.
const maxExtensions = 12

// extensions is the block of header extensions of a slot's packets in the one-byte form (RFC 8285 section 4.2): the
// playout delay asked for and the transport-wide sequence number, each if the viewer knows it.
type extensions struct {
	block   [maxExtensions]byte
	n       int // bytes of block, 0 without extensions
	delayAt int // where the delay's three bytes are, 0 for nowhere
	wideAt  int // where the number's two bytes are, 0 for nowhere
}

// makeExtensions returns the block for the negotiated ids, 0 where one is not.
func makeExtensions(delayID, wideID uint8) extensions {
	var e extensions
	at := 4
	if delayID != 0 {
		e.block[at] = delayID<<4 | 2 // length minus one
		e.delayAt = at + 1
		at += 4
	}
	if wideID != 0 {
		e.block[at] = wideID<<4 | 1
		e.wideAt = at + 1
		at += 3
	}
	if at == 4 {
		return e
	}
	e.n = (at + 3) &^ 3
	binary.BigEndian.PutUint16(e.block[:], 0xBEDE)
	binary.BigEndian.PutUint16(e.block[2:], uint16(e.n/4-1))
	return e
}

// put writes the block and returns its length. delay is a value of playoutValue.
func (e *extensions) put(buf []byte, delay uint32, wide uint16) int {
	n := copy(buf, e.block[:e.n])
	if e.delayAt != 0 {
		buf[e.delayAt], buf[e.delayAt+1], buf[e.delayAt+2] = byte(delay>>16), byte(delay>>8), byte(delay)
	}
	if e.wideAt != 0 {
		binary.BigEndian.PutUint16(buf[e.wideAt:], wide)
	}
	return n
}
