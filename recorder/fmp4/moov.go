package fmp4

import (
	"time"

	"skein/edge/media"
)

// mp4Epoch is 1904-01-01, from which MP4 counts seconds, in Unix time.
const mp4Epoch = -2082844800

// appendInit appends ftyp and moov of a fragmented file with these tracks; track i has track_ID i+1.
func appendInit(w *builder, entries []entry, video []bool, start time.Time) {
	at := w.box("ftyp")
	w.str("iso6")
	w.u32(1)
	w.str("iso6isommp42")
	w.end(at)
	created := uint64(max(0, start.Unix()-mp4Epoch))
	moov := w.box("moov")
	mvhd(w, created, 1000, 0, len(entries)+1)
	for i, e := range entries {
		trak := w.box("trak")
		tkhd(w, i+1, created, 0, e, video[i])
		mdia := w.box("mdia")
		mdhd(w, created, e.timescale, 0)
		hdlr(w, video[i])
		minf := w.box("minf")
		mediaHeader(w, video[i])
		stbl := w.box("stbl")
		stsd := w.full("stsd", 0, 0)
		w.u32(1)
		w.raw(e.box)
		w.end(stsd)
		for _, t := range []string{"stts", "stsc", "stco"} {
			b := w.full(t, 0, 0)
			w.u32(0)
			w.end(b)
		}
		b := w.full("stsz", 0, 0)
		w.u64(0)
		w.end(b)
		w.end(stbl)
		w.end(minf)
		w.end(mdia)
		w.end(trak)
	}
	mvex := w.box("mvex")
	for i := range entries {
		b := w.full("trex", 0, 0)
		w.u32(uint32(i + 1))
		w.u32(1)
		w.zero(12)
		w.end(b)
	}
	w.end(mvex)
	w.end(moov)
}

func mvhd(w *builder, created uint64, timescale uint32, duration uint64, next int) {
	at := w.full("mvhd", 1, 0)
	w.u64(created)
	w.u64(created)
	w.u32(timescale)
	w.u64(duration)
	w.u32(0x10000)
	w.u16(0x100)
	w.zero(10)
	w.matrix()
	w.zero(24)
	w.u32(uint32(next))
	w.end(at)
}

func tkhd(w *builder, id int, created, duration uint64, e entry, video bool) {
	at := w.full("tkhd", 1, 3)
	w.u64(created)
	w.u64(created)
	w.u32(uint32(id))
	w.u32(0)
	w.u64(duration)
	w.zero(8)
	w.u16(0)
	if video {
		w.u16(0)
		w.u16(0)
	} else {
		w.u16(1) // alternate_group
		w.u16(0x100)
	}
	w.u16(0)
	w.matrix()
	w.u32(uint32(e.width) << 16)
	w.u32(uint32(e.height) << 16)
	w.end(at)
}

func mdhd(w *builder, created uint64, timescale uint32, duration uint64) {
	at := w.full("mdhd", 1, 0)
	w.u64(created)
	w.u64(created)
	w.u32(timescale)
	w.u64(duration)
	w.u16(0x55c4) // und
	w.u16(0)
	w.end(at)
}

func hdlr(w *builder, video bool) {
	at := w.full("hdlr", 0, 0)
	w.u32(0)
	if video {
		w.str("vide")
	} else {
		w.str("soun")
	}
	w.zero(12)
	if video {
		w.str("video\x00")
	} else {
		w.str("audio\x00")
	}
	w.end(at)
}

// mediaHeader appends vmhd or smhd and the dinf of a self-contained file.
func mediaHeader(w *builder, video bool) {
	if video {
		at := w.full("vmhd", 0, 1)
		w.zero(8)
		w.end(at)
	} else {
		at := w.full("smhd", 0, 0)
		w.zero(4)
		w.end(at)
	}
	dinf := w.box("dinf")
	dref := w.full("dref", 0, 0)
	w.u32(1)
	url := w.full("url ", 0, 1)
	w.end(url)
	w.end(dref)
	w.end(dinf)
}

// learn fills parameter sets that t lacks from the unit's NAL units.
func learn(t media.Track, u *media.AccessUnit) media.Track {
	set := func(dst *[]byte, n []byte) {
		if len(*dst) == 0 {
			*dst = n
		}
	}
	for _, n := range u.NALUs {
		if len(n) == 0 {
			continue
		}
		switch {
		case t.Codec == media.H264 && n[0]&0x1f == 7:
			set(&t.SPS, n)
		case t.Codec == media.H264 && n[0]&0x1f == 8:
			set(&t.PPS, n)
		case t.Codec == media.H265 && n[0]>>1&0x3f == 32:
			set(&t.VPS, n)
		case t.Codec == media.H265 && n[0]>>1&0x3f == 33:
			set(&t.SPS, n)
		case t.Codec == media.H265 && n[0]>>1&0x3f == 34:
			set(&t.PPS, n)
		case t.Codec == media.MJPEG && t.Width == 0:
			t.Width, t.Height = jpegSize(n)
		}
	}
	return t
}

// jpegSize returns the picture size of a JPEG from its frame header (ITU-T T.81 annex B.2.2), 0 if there is none.
func jpegSize(p []byte) (width, height int) {
	c := cursor{b: p}
	if c.u16() != 0xffd8 {
		return 0, 0
	}
	for !c.bad {
		m := c.u16()
		n := int(c.u16())
		body := c.take(n - 2)
		if m >= 0xffc0 && m <= 0xffc2 && len(body) >= 5 {
			return int(body[3])<<8 | int(body[4]), int(body[1])<<8 | int(body[2])
		}
		if m>>8 != 0xff || m == 0xffda {
			break
		}
	}
	return 0, 0
}
