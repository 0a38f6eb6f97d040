package footage

import (
	"encoding/binary"
	"slices"

	"skein/edge/media"
)

// soundHead is the length of a sound's sample entry before its boxes (ISO/IEC 14496-12 section 12.2.3).
const soundHead = 28

// describeSound reads a sample entry of sound with the clock of its track; ok is false if it is none we know.
func describeSound(kind string, body []byte, clock int) (t *media.Track, ok bool) {
	if len(body) < soundHead {
		return nil, false
	}
	t = &media.Track{ClockRate: clock, Channels: int(binary.BigEndian.Uint16(body[16:]))}
	switch kind {
	case "alaw":
		t.Codec = media.G711A
	case "ulaw":
		t.Codec = media.G711U
	case "Opus":
		t.Codec = media.Opus
	case "mp4a":
		t.Codec = media.AAC
		t.AACConfig = specificConfig(one(body[soundHead:], "esds"))
		return t, t.AACConfig != nil
	default:
		return nil, false
	}
	return t, true
}

// specificConfig returns the AudioSpecificConfig of an esds box (ISO/IEC 14496-1 section 7.2.6), nil if there is none.
func specificConfig(b []byte) []byte {
	const version, es, decoder, specific, aac = 4, 3, 4, 5, 0x40
	if len(b) < version {
		return nil
	}
	b = descriptor(b[version:], es)
	if len(b) < 3 || b[2]&0xe0 != 0 { // with parts that files have not
		return nil
	}
	b = descriptor(b[3:], decoder)
	if len(b) < 13 || b[0] != aac {
		return nil
	}
	return descriptor(b[13:], specific)
}

// descriptor returns the body of the descriptor that b begins with, nil if it has another tag.
func descriptor(b []byte, tag byte) []byte {
	if len(b) == 0 || b[0] != tag {
		return nil
	}
	size := 0
	for i := 1; i < len(b) && i <= 4; i++ {
		size = size<<7 | int(b[i]&0x7f)
		if b[i]&0x80 == 0 {
			rest := b[i+1:]
			if size == 0 || size > len(rest) {
				return nil
			}
			return rest[:size:size]
		}
	}
	return nil
}

// sample is a unit whose description is still to be made: that of the pictures and of the sound around it.
type sample struct {
	unit  *media.AccessUnit
	track *media.Track
}

// merge puts sound between pictures, which stay in decoding order, and describes all. Sound before the first picture is
// left out.
func merge(pictures, sound []sample) []*media.AccessUnit {
	if len(pictures) == 0 {
		return nil
	}
	slices.SortStableFunc(sound, func(a, b sample) int { return a.unit.Wall.Compare(b.unit.Wall) })
	for len(sound) > 0 && sound[0].unit.Wall.Before(pictures[0].unit.Wall) {
		sound = sound[1:]
	}
	type kinds struct{ picture, sound *media.Track }
	known := map[kinds]*media.Description{}
	now := kinds{picture: pictures[0].track}
	if len(sound) > 0 {
		now.sound = sound[0].track
	}
	out := make([]*media.AccessUnit, 0, len(pictures)+len(sound))
	add := func(s sample, track int) {
		d := known[now]
		if d == nil {
			d = &media.Description{Tracks: []media.Track{*now.picture}}
			if now.sound != nil {
				d.Tracks = append(d.Tracks, *now.sound)
			}
			known[now] = d
		}
		s.unit.Desc, s.unit.Track = d, track
		out = append(out, s.unit)
	}
	for len(pictures)+len(sound) > 0 {
		if len(pictures) == 0 || len(sound) > 0 && sound[0].unit.Wall.Before(pictures[0].unit.Wall) {
			now.sound = sound[0].track
			add(sound[0], 1)
			sound = sound[1:]
			continue
		}
		now.picture = pictures[0].track
		add(pictures[0], 0)
		pictures = pictures[1:]
	}
	return out
}
