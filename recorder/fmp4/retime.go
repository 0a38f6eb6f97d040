package fmp4

import (
	"encoding/binary"
	"slices"
	"time"
)

// Patch is bytes of a file that are to be others, as many as there are.
type Patch struct {
	At    int64
	Bytes []byte
}

// ntpField is where the NTP time lies in a prft box (ISO/IEC 14496-12 section 8.16.5): after size, type, version and
// flags, and the track's id.
const ntpField = 16

// Retime returns what must change in a file for decode time 0 to be at start: the capture time of every fragment and
// the dates of creation. x must come from Scan. The mfra, which repeats both, is not covered: cut it off, and append
// the trailer of the file scanned anew.
func Retime(x *Index, start time.Time) []Patch {
	if len(x.Fragments) == 0 {
		return nil
	}
	shift := start.Sub(x.Start)
	moov := slices.Clone(x.moov)
	redate(moov, uint64(max(0, start.Unix()-mp4Epoch)))
	out := []Patch{{At: x.Fragments[0].Offset - int64(len(moov)), Bytes: moov}}
	for _, f := range x.Fragments {
		ntp := fromNTP(binary.BigEndian.Uint64(f.head[ntpField:]))
		out = append(out, Patch{
			At: f.Offset + ntpField, Bytes: binary.BigEndian.AppendUint64(nil, toNTP(ntp.Add(shift))),
		})
	}
	return out
}

// redate sets the dates of creation and modification in the boxes that have them, version 1.
func redate(box []byte, created uint64) {
	for c := (cursor{b: box}); ; {
		typ, body, ok := c.box()
		if !ok {
			return
		}
		switch typ {
		case "moov", "trak", "mdia":
			redate(body, created)
		case "mvhd", "tkhd", "mdhd":
			if len(body) >= 20 && body[0] == 1 {
				binary.BigEndian.PutUint64(body[4:], created)
				binary.BigEndian.PutUint64(body[12:], created)
			}
		}
	}
}
