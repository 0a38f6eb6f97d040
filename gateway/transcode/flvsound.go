package transcode

import "encoding/binary"

// An FLV of AAC sound (Adobe Flash Video File Format Specification 10.1, annex E) is what the program is given: it has
// times, so that sound the program cannot decode leaves a hole in what it makes of it, and takes any configuration.

// maxFrame bounds one frame of sound, in bytes; the format has room for more.
const maxFrame = 64 << 10

// appendSoundHead appends the beginning of a stream: an AudioSpecificConfig (ISO/IEC 14496-3 section 1.6.2.1).
func appendSoundHead(b, config []byte) []byte {
	const soundOnly, headSize = 4, 9
	b = append(b, 'F', 'L', 'V', 1, soundOnly, 0, 0, 0, headSize, 0, 0, 0, 0)
	return appendSoundTag(b, 0, 0, config)
}

// appendSound appends a frame that begins at a time in milliseconds.
func appendSound(b []byte, stamp uint32, frame []byte) []byte {
	return appendSoundTag(b, stamp, 1, frame)
}

func appendSoundTag(b []byte, stamp uint32, kind byte, body []byte) []byte {
	const sound, aac, tagHead, soundHead = 8, 0xaf, 11, 2
	size := uint32(soundHead + len(body))
	b = append(b, sound, byte(size>>16), byte(size>>8), byte(size))
	b = append(b, byte(stamp>>16), byte(stamp>>8), byte(stamp), byte(stamp>>24), 0, 0, 0, aac, kind)
	b = append(b, body...)
	return binary.BigEndian.AppendUint32(b, tagHead+size)
}
