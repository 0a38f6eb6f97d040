package transcode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

var errOgg = errors.New("malformed Ogg")

// maxPacket bounds one packet, in bytes: five times the largest of Opus.
const maxPacket = 64 << 10

// ogg reads an Ogg stream with one track (RFC 3533 section 6). It checks no checksums: it reads from a pipe.
type ogg struct {
	r       io.Reader
	partial []byte // of a packet that goes on in the next page
}

// page is the packets that end in a page, with the position at which the last of them ends.
type page struct {
	packets [][]byte
	end     int64
}

// next returns the next page in which a packet ends.
func (o *ogg) next() (page, error) {
	for {
		var h [27]byte
		if _, err := io.ReadFull(o.r, h[:]); err != nil {
			return page{}, err
		}
		if string(h[:4]) != "OggS" || h[4] != 0 {
			return page{}, fmt.Errorf("%w: no page", errOgg)
		}
		var lacing [255]byte
		sizes := lacing[:h[26]]
		if _, err := io.ReadFull(o.r, sizes); err != nil {
			return page{}, err
		}
		p := page{end: int64(binary.LittleEndian.Uint64(h[6:]))}
		if err := o.body(&p, sizes); err != nil {
			return page{}, err
		}
		if len(p.packets) > 0 {
			return p, nil
		}
	}
}

// body reads a page's segments: one shorter than 255 bytes ends a packet.
func (o *ogg) body(p *page, sizes []byte) error {
	for _, n := range sizes {
		at := len(o.partial)
		if at+int(n) > maxPacket {
			return fmt.Errorf("%w: a packet of more than %d bytes", errOgg, maxPacket)
		}
		o.partial = append(o.partial, make([]byte, n)...)
		if _, err := io.ReadFull(o.r, o.partial[at:]); err != nil {
			return err
		}
		if n < 255 {
			p.packets = append(p.packets, o.partial)
			o.partial = nil
		}
	}
	return nil
}
