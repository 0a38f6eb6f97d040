package fmp4

import "encoding/binary"

// indexUUID marks the box inside mfra that repeats moov and all prft and moof of the segment:
//
//	uuid { extended_type[16], u32 version = 1, moov, ( u64 offset_of_prft, prft, moof )* }
const indexUUID = "\x5b\x1e\x0c\x6f\x3a\x9d\x4e\x52\x8f\x21\x73\x6b\x65\x69\x6e\x31"

const indexVersion = 1

// heads collects what the mfra repeats.
type heads struct {
	moov  []byte
	list  []byte // ( u64 offset, prft, moof )*
	track int
	keys  []keyPoint
}

// keyPoint is an entry of tfra: a fragment that begins with a key frame.
type keyPoint struct {
	time   int64
	offset int64 // of moof
	traf   int
}

// add takes the head (prft and moof) of the fragment that begins at offset.
func (h *heads) add(offset int64, head []byte, ref laneRun, traf int) {
	h.track = ref.l.id
	h.list = appendHeadCopy(h.list, offset, head)
	if ref.s[0].key {
		prft := int64(binary.BigEndian.Uint32(head))
		h.keys = append(h.keys, keyPoint{max(0, ref.s[0].pts), offset + prft, traf})
	}
}

func (h *heads) appendMfra(w *builder) {
	mfra := len(w.b)
	w.box("mfra")
	b := w.full("tfra", 1, 0)
	w.u32(uint32(h.track))
	w.u32(0) // one byte each for traf, trun and sample number
	w.u32(uint32(len(h.keys)))
	for _, k := range h.keys {
		w.u64(uint64(k.time))
		w.u64(uint64(k.offset))
		w.u8(byte(k.traf), 1, 1)
	}
	w.end(b)
	b = w.box("uuid")
	w.str(indexUUID)
	w.u32(indexVersion)
	w.raw(h.moov)
	w.raw(h.list)
	w.end(b)
	b = w.full("mfro", 0, 0)
	w.u32(uint32(len(w.b) - mfra + 4))
	w.end(b)
	w.end(mfra)
}

func appendHeadCopy(list []byte, offset int64, head []byte) []byte {
	list = binary.BigEndian.AppendUint64(list, uint64(offset))
	return append(list, head...)
}
