package fmp4

import (
	"encoding/binary"
	"time"
)

// Sample flags (ISO/IEC 14496-12 section 8.8.3.1).
const (
	flagsSync    = 0x02000000
	flagsNonSync = 0x01010000
	flagsLeading = 0x04000000 // is_leading 1: depends on what came before the sync sample that it follows
)

// ntpEpoch is 1900-01-01 in Unix time.
const ntpEpoch = -2208988800

// emit writes the first n samples of the primary lane and everything of the others as one fragment. next is the
// presentation time that follows on the primary lane, -1 if unknown.
func (w *Writer) emit(n int, next int64) (Fragment, error) {
	any := n > 0
	for _, l := range w.lanes {
		any = any || (l != nil && len(l.buf) > 0)
	}
	if !any {
		return Fragment{}, nil
	}
	f := Fragment{Offset: w.offset}
	w.out.b = w.out.b[:0]
	if w.offset == 0 {
		w.appendInit()
	}
	var runs []laneRun
	for _, l := range w.lanes {
		if l == nil || len(l.buf) == 0 || (l == w.primary && n == 0) {
			continue
		}
		k, after := len(l.buf), int64(-1)
		if l == w.primary {
			k, after = n, next
		}
		if l.video {
			l.schedule(k, after)
			f.Frames += k
		}
		runs = append(runs, laneRun{l, l.buf[:k]})
	}
	ref, traf := runs[0], 1
	for i, r := range runs {
		if r.l == w.primary {
			ref, traf = r, i+1
		}
	}
	f.Start = w.start.Add(duration(ref.first(), ref.l.timescale))
	f.Duration = duration(ref.l.end-ref.first(), ref.l.timescale)
	at := len(w.out.b)
	w.seq++
	appendHead(&w.out, w.start, w.seq, ref, runs)
	w.heads.add(w.offset+int64(at), w.out.b[at:], ref, traf)
	appendMdat(&w.out, runs)
	if err := w.put(); err != nil {
		return Fragment{}, err
	}
	for _, r := range runs {
		rest := copy(r.l.buf, r.l.buf[len(r.s):])
		clear(r.l.buf[rest:])
		r.l.buf = r.l.buf[:rest]
	}
	f.Size = w.offset - f.Offset
	w.info.Frames += f.Frames
	if w.primary.end > 0 {
		w.info.Duration = duration(w.primary.end, w.primary.timescale)
	}
	return f, nil
}

func (w *Writer) appendInit() {
	var entries []entry
	var video []bool
	for _, l := range w.lanes {
		if l != nil {
			entries = append(entries, l.entry)
			video = append(video, l.video)
		}
	}
	appendInit(&w.out, entries, video, w.start)
	ftyp := binary.BigEndian.Uint32(w.out.b)
	w.heads.moov = append([]byte(nil), w.out.b[ftyp:]...)
}

// laneRun is the samples of one lane that go into a fragment.
type laneRun struct {
	l *lane
	s []sample
}

// first returns the earliest presentation time.
func (r laneRun) first() int64 {
	t := r.s[0].pts
	for _, s := range r.s {
		t = min(t, s.pts)
	}
	return t
}

// appendHead appends prft and moof. The data offsets suppose that mdat follows at once.
func appendHead(w *builder, start time.Time, seq uint32, ref laneRun, runs []laneRun) {
	appendPrft(w, start, ref)
	moof := len(w.b)
	at := w.box("moof")
	b := w.full("mfhd", 0, 0)
	w.u32(seq)
	w.end(b)
	patch := make([]int, len(runs))
	for i, r := range runs {
		patch[i] = appendTraf(w, r)
	}
	w.end(at)
	data := len(w.b) - moof + 8
	for i, r := range runs {
		w.patch32(patch[i], uint32(data))
		for _, s := range r.s {
			data += s.size
		}
	}
}

// appendPrft appends the ProducerReferenceTimeBox: capture time (flags 24) of the sample presented at decode time.
func appendPrft(w *builder, start time.Time, ref laneRun) {
	at := w.full("prft", 1, 24)
	w.u32(uint32(ref.l.id))
	t := max(0, ref.s[0].dts)
	w.u64(toNTP(start.Add(duration(t, ref.l.timescale))))
	w.u64(uint64(t))
	w.end(at)
}

// toNTP converts to the 64-bit NTP format (RFC 5905 section 6), rounded to the nearest fraction.
func toNTP(t time.Time) uint64 {
	frac := (uint64(t.Nanosecond())<<32 + 500_000_000) / 1_000_000_000
	return uint64(t.Unix()-ntpEpoch)<<32 + frac
}

// fromNTP is the inverse of toNTP, exact to the nanosecond.
func fromNTP(v uint64) time.Time {
	ns := (v&0xffffffff*1_000_000_000 + 1<<31) >> 32
	return time.Unix(int64(v>>32)+ntpEpoch, int64(ns)).UTC()
}

// appendTraf appends one track's run and returns where its data offset is to be patched.
func appendTraf(w *builder, r laneRun) int {
	traf := w.box("traf")
	flags := uint32(flagsNonSync)
	if !r.l.video || !r.l.prefixed {
		flags = flagsSync
	}
	dur := uint32(r.s[0].dur)
	b := w.full("tfhd", 0, 0x020000|0x08|0x20) // default-base-is-moof, default duration and flags
	w.u32(uint32(r.l.id))
	w.u32(dur)
	w.u32(flags)
	w.end(b)
	b = w.full("tfdt", 1, 0)
	w.u64(uint64(max(0, r.s[0].dts)))
	w.end(b)

	has := uint32(0x001 | 0x200) // data offset, sizes
	for i, s := range r.s {
		if uint32(s.dur) != dur {
			has |= 0x100
		}
		if s.pts != s.dts {
			has |= 0x800
		}
		if s.flags() != flags {
			if i == 0 && has&0x400 == 0 {
				has |= 0x004 // only the first differs so far
			} else {
				has |= 0x400
			}
		}
	}
	if has&0x400 != 0 {
		has &^= 0x004
	}
	b = w.full("trun", 1, has)
	w.u32(uint32(len(r.s)))
	patch := len(w.b)
	w.u32(0)
	if has&0x004 != 0 {
		w.u32(r.s[0].flags())
	}
	for _, s := range r.s {
		if has&0x100 != 0 {
			w.u32(uint32(s.dur))
		}
		w.u32(uint32(s.size))
		if has&0x400 != 0 {
			w.u32(s.flags())
		}
		if has&0x800 != 0 {
			w.u32(uint32(int32(s.pts - s.dts)))
		}
	}
	w.end(b)
	w.end(traf)
	return patch
}

// flags returns the sample's flags. The degradation priority of a key is how many pictures pass until they are whole.
func (s *sample) flags() uint32 {
	switch {
	case s.key:
		return flagsSync | uint32(s.recovery)
	case s.leading:
		return flagsNonSync | flagsLeading
	}
	return flagsNonSync
}

func appendMdat(w *builder, runs []laneRun) {
	at := w.box("mdat")
	for _, r := range runs {
		for _, s := range r.s {
			for _, n := range s.data {
				if r.l.prefixed {
					w.u32(uint32(len(n)))
				}
				w.raw(n)
			}
		}
	}
	w.end(at)
}
