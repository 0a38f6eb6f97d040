package rtsp

import (
	"bytes"

	"github.com/pion/rtp"
)

// unit is one access unit as it came out of RTP. Its slices are the receiver's to keep.
type unit struct {
	nalus   [][]byte
	ts      uint32
	damaged bool // a part of it was lost
}

// depacketizer turns the packets of one track into whole units. It keeps no payload after push returns.
type depacketizer interface {
	// push takes the next packet; lost tells that packets before it are missing. It reports malformed packets.
	push(p *packet, lost bool, emit func(unit)) error
	// flush ends the unit at hand: nothing more of it will come.
	flush(emit func(unit))
	// end is flush at the end of the stream: what is not known to be whole is given up.
	end(emit func(unit))
}

// Limits of one access unit. A camera that exceeds them is broken or hostile.
const (
	maxUnitBytes = 16 << 20
	maxUnitNALUs = 512
)

// nalBuilder collects the NAL units of one access unit in a scratch buffer and copies them out at the end: one exact
// allocation per unit, whatever the number of packets.
type nalBuilder struct {
	scratch []byte
	ends    []int
	open    bool // the last NAL unit is a fragment still growing
	active  bool
	picture bool // holds at least one coded slice
	first   bool // and the first slice of the picture
	damaged bool
	ts      uint32
}

func (b *nalBuilder) start() int {
	if len(b.ends) == 0 {
		return 0
	}
	return b.ends[len(b.ends)-1]
}

// dropOpen ends a NAL unit that will never be whole. Of a slice what came before the loss is kept: a decoder shows it
// and conceals the rest, which is better than a picture that is missing where others refer to it.
func (d *nalDepacketizer) dropOpen() {
	if !d.open {
		return
	}
	d.damaged = true
	if d.codec.slice(d.scratch[d.start():]) {
		d.closeNALU(d.noteFn)
		return
	}
	d.scratch = d.scratch[:d.start()]
	d.open = false
}

// dropOrphans forgets what accompanied a picture that was lost, but not the parameter sets: others need them.
func (d *nalDepacketizer) dropOrphans() {
	from, kept := 0, 0
	ends := d.ends[:0]
	for _, end := range d.ends {
		nalu := d.scratch[from:end]
		from = end
		if d.codec.parameters(nalu) {
			kept += copy(d.scratch[kept:], nalu)
			ends = append(ends, kept)
		}
	}
	d.scratch, d.ends = d.scratch[:kept], ends
}

// fits reports whether n more bytes stay within the limits; if not, the unit is given up.
func (b *nalBuilder) fits(n int) bool {
	if len(b.scratch)+n <= maxUnitBytes && len(b.ends) < maxUnitNALUs {
		return true
	}
	b.reset()
	b.damaged = true
	return false
}

func (b *nalBuilder) reset() {
	b.scratch, b.ends = b.scratch[:0], b.ends[:0]
	b.open, b.active, b.picture, b.first, b.damaged = false, false, false, false, false
}

// closeNALU ends the NAL unit at the end of the scratch. Some cameras put several, divided by start codes, where one
// belongs; they are taken apart (a start code cannot occur inside a NAL unit, ITU-T H.264 section 7.4.1).
func (b *nalBuilder) closeNALU(note func(nalu []byte)) {
	b.open = false
	from := b.start()
	for rest, more := b.scratch[from:], true; more; { // what is kept moves up in one pass
		var nalu []byte
		if nalu, rest, more = bytes.Cut(rest, []byte{0, 0, 1}); more {
			nalu = bytes.TrimRight(nalu, "\x00")
		}
		switch {
		case len(nalu) == 0:
		case len(b.ends) == maxUnitNALUs:
			b.damaged = true
		default:
			end := from + copy(b.scratch[from:], nalu)
			note(b.scratch[from:end])
			b.ends = append(b.ends, end)
			from = end
		}
	}
	b.scratch = b.scratch[:from]
}

// take returns the finished unit and clears the builder.
func (b *nalBuilder) take() unit {
	buf := make([]byte, b.start())
	copy(buf, b.scratch)
	nalus := make([][]byte, len(b.ends))
	from := 0
	for i, end := range b.ends {
		nalus[i] = buf[from:end:end]
		from = end
	}
	u := unit{nalus: nalus, ts: b.ts, damaged: b.damaged || !b.first}
	b.reset()
	return u
}

// course is what a packet says about the picture that it belongs to.
type course uint8

const (
	neither course = iota // may come at the end of a picture or before one
	begins                // a picture begins with it
	goesOn                // it is the middle or the end of one
)

// codecNALs is what differs between H.264 and H.265.
type codecNALs interface {
	// course judges one payload.
	course(payload []byte) course
	// split hands the NAL units or fragments of one payload to the builder.
	split(b *nalDepacketizer, payload []byte) error
	// note looks at one whole NAL unit.
	note(b *nalBuilder, nalu []byte)
	// slice reports whether a NAL unit, perhaps cut short, is a coded slice that can be decoded up to its end.
	slice(nalu []byte) bool
	// parameters reports whether a NAL unit is a parameter set.
	parameters(nalu []byte) bool
}

// nalDepacketizer assembles H.264 (RFC 6184) and H.265 (RFC 7798) access units.
type nalDepacketizer struct {
	nalBuilder
	codec  codecNALs
	noteFn func([]byte)

	// Some cameras set the marker on each NAL unit, some on each packet. Where a picture went on behind a marker, markers
	// mean nothing any more. Where one stands behind parameter sets, those of the first picture do not: such a picture
	// ends where the next one begins, by timestamp or by its first slice.
	untrue bool
	doubt  bool // about the markers of the unit at hand
	sure   bool // there was a doubt, and the picture did not go on
	marked bool // the picture at hand had one
	ended  bool // the last unit ended with its marker, and its timestamp was ts
}

func newNALDepacketizer(c codecNALs) *nalDepacketizer {
	d := &nalDepacketizer{codec: c}
	d.noteFn = func(nalu []byte) { c.note(&d.nalBuilder, nalu) }
	return d
}

func (d *nalDepacketizer) push(p *packet, lost bool, emit func(unit)) error {
	if lost {
		d.dropOpen()
		if d.active {
			d.damaged = true
		}
	}
	switch same := p.ts == d.ts; {
	case d.active && !same:
		d.sure = d.sure || d.marked && !d.untrue
		d.dropOpen() // its end never came
		// Parameter sets sent with a timestamp of their own belong to the picture that follows.
		d.finish(emit)
	case d.active && d.marked && d.codec.course(p.payload) == begins:
		d.dropOpen()
		d.finish(emit)
	case same && (d.ended || d.marked) && d.codec.course(p.payload) == goesOn:
		d.untrue = true
	}
	d.active, d.ts, d.ended = true, p.ts, false
	err := d.codec.split(d, p.payload)
	if p.marker {
		d.mark(emit)
	}
	return err
}

// mark takes the marker, which should be on the last packet of a picture.
func (d *nalDepacketizer) mark(emit func(unit)) {
	d.untrue = d.untrue || d.open
	d.doubt = d.doubt || !d.sure && !d.picture && len(d.ends) > 0
	if d.untrue || d.doubt {
		d.marked = d.marked || d.picture
		return
	}
	d.dropOpen()
	d.ended = d.picture
	d.finish(emit)
}

// finish ends a unit if it holds a picture. If not, what it holds goes to the next picture, and what it lost is gone.
func (d *nalDepacketizer) finish(emit func(unit)) {
	d.doubt, d.marked = false, false
	if d.picture {
		emit(d.take())
		return
	}
	if d.damaged {
		d.dropOrphans()
	}
	d.damaged = false
}

func (d *nalDepacketizer) end(emit func(unit)) {
	if d.active && d.marked && !d.open {
		d.finish(emit)
	}
}

func (d *nalDepacketizer) flush(emit func(unit)) {
	if d.active {
		d.dropOpen()
		d.finish(emit)
	}
	d.active = false
}

// whole appends one NAL unit.
func (d *nalDepacketizer) whole(nalu []byte) {
	d.dropOpen()
	if len(nalu) == 0 || !d.fits(len(nalu)) {
		return
	}
	d.scratch = append(d.scratch, nalu...)
	d.closeNALU(d.noteFn)
}

// fragment appends a part of a NAL unit; header is the rebuilt NAL unit header.
func (d *nalDepacketizer) fragment(start, end bool, header, part []byte) {
	if start {
		d.dropOpen()
		if !d.fits(len(header) + len(part)) {
			return
		}
		d.scratch = append(append(d.scratch, header...), part...)
		d.open = true
	} else {
		if !d.open {
			d.damaged = true // its beginning was lost
			return
		}
		if !d.fits(len(part)) {
			return
		}
		d.scratch = append(d.scratch, part...)
	}
	if end {
		d.closeNALU(d.noteFn)
	}
}

func (*frames) flush(func(unit)) {} // a unit that is not whole is given up
func (*frames) end(func(unit))   {}

// frames depacketises codecs whose units the RTSP library assembles: audio and JPEG, a few small packets each.
type frames struct {
	decode func(*rtp.Packet) ([][]byte, error)
	more   func(error) bool // the unit goes on in the next packet
}

// push ignores losses: the library's decoders give up a unit of which a fragment is missing.
func (f *frames) push(p *packet, _ bool, emit func(unit)) error {
	out, err := f.decode(&rtp.Packet{
		Header: rtp.Header{
			Version: 2, Marker: p.marker, PayloadType: p.pt, SequenceNumber: p.seq, Timestamp: p.ts, SSRC: p.ssrc,
		},
		Payload: bytes.Clone(p.payload),
	})
	if err != nil {
		if f.more(err) {
			return nil
		}
		return err
	}
	if len(out) > 0 {
		emit(unit{nalus: out, ts: p.ts})
	}
	return nil
}
