package fmp4

import "time"

// AppendInit appends the ftyp and moov of a fragmented stream with these tracks, in the order of their IDs from 1 on.
func AppendInit(p []byte, tracks []Track, created time.Time) []byte {
	w := builder{p}
	var entries []entry
	var video []bool
	for _, t := range tracks {
		entries = append(entries, entry{box: t.Entry, width: t.Width, height: t.Height, timescale: t.TimeScale})
		video = append(video, t.Codec.IsVideo())
	}
	appendInit(&w, entries, video, created)
	return w.b
}

// PartRun is the samples of one track in a part of a stream.
type PartRun struct {
	ID      uint32
	Video   bool
	DTS     int64
	Samples []Sample
}

// AppendPartHead appends the moof and the header of the mdat of one part. The samples' bytes must follow,
// run after run.
func AppendPartHead(p []byte, seq uint32, runs []PartRun) []byte {
	w := builder{p}
	moof := w.box("moof")
	b := w.full("mfhd", 0, 0)
	w.u32(seq)
	w.end(b)
	patch := make([]int, len(runs))
	for i, r := range runs {
		patch[i] = appendPartTraf(&w, r)
	}
	w.end(moof)
	data := len(w.b) - moof + 8
	start := data
	for i, r := range runs {
		w.patch32(patch[i], uint32(data))
		for _, s := range r.Samples {
			data += int(s.Size)
		}
	}
	w.u32(uint32(data - start + 8))
	w.str("mdat")
	return w.b
}

func appendPartTraf(w *builder, r PartRun) int {
	l := laneRun{l: &lane{id: int(r.ID), video: r.Video, prefixed: r.Video}, s: make([]sample, len(r.Samples))}
	at := r.DTS
	for i, s := range r.Samples {
		l.s[i] = sample{size: int(s.Size), dts: at, pts: at + int64(s.Shift), dur: int64(s.Duration), key: s.Key,
			leading: s.Leading, recovery: s.Recovery}
		at += int64(s.Duration)
	}
	return appendTraf(w, l)
}
