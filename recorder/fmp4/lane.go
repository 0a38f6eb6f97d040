package fmp4

import (
	"math"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"

	"skein/edge/media"
)

// sample is one sample of the fragment in the making. Times are ticks of the lane since the segment's start.
type sample struct {
	data     [][]byte
	size     int
	pts, dts int64
	dur      int64
	key      bool
	leading  bool
	recovery uint16
}

// lane is one track of the segment being written.
type lane struct {
	id        int // track_ID
	track     media.Track
	entry     entry
	timescale uint32
	video     bool
	prefixed  bool  // samples are NAL units with four-byte lengths
	frame     int64 // audio: nominal ticks per frame, 0: from the data

	buf      []sample
	taken    int   // video: frames so far
	end      int64 // where the next sample is due; -1: none yet
	max      int64 // latest presentation time taken; -1: none yet
	interval int64 // ticks between frames, measured
	reorder  bool  // frames are presented in another order than decoded
}

// audioSlack is how far audio may lie from its wall time before it is moved: RTP jitter and rounding stay below it,
// and lips and sound stay together.
const audioSlack = 60 * time.Millisecond

func newLane(t media.Track, e entry) *lane {
	l := &lane{
		track: t, entry: e, timescale: e.timescale, video: t.Codec.IsVideo(), end: -1, max: -1, reorder: t.BFrames,
		prefixed: t.Codec == media.H264 || t.Codec == media.H265,
	}
	switch {
	case l.video && t.FPS >= 0.1 && t.FPS <= 1000:
		l.interval = int64(videoTimescale / t.FPS)
	case l.video:
		l.interval = videoTimescale / 25
	default:
		l.interval = int64(l.timescale / 50)
	}
	if t.Codec == media.AAC {
		l.frame = aacFrame(t, e.timescale)
	}
	return l
}

// aacFrame returns the ticks of one AAC frame.
func aacFrame(t media.Track, timescale uint32) int64 {
	var c mpeg4audio.AudioSpecificConfig
	if err := c.Unmarshal(t.AACConfig); err != nil || c.SampleRate == 0 {
		return 1024
	}
	n := int64(1024)
	if c.FrameLengthFlag {
		n = 960
	}
	return n * int64(timescale) / int64(c.SampleRate)
}

// limit is the longest time between two frames that is not a silence.
func (l *lane) limit() int64 { return max(10*l.interval, int64(l.timescale)) }

func (l *lane) first() (int64, bool) {
	if len(l.buf) == 0 {
		return 0, false
	}
	return l.buf[0].pts, true
}

func (l *lane) last() (int64, bool) { return l.max, l.max >= 0 }

// add takes a unit whose wall time is at.
func (l *lane) add(u *media.AccessUnit, at int64) {
	if l.video {
		l.addVideo(u, at)
		return
	}
	for _, frame := range u.NALUs {
		n := l.frameTicks(frame)
		l.addAudio(frame, at, n)
		at += n
	}
}

func (l *lane) addVideo(u *media.AccessUnit, at int64) {
	size := u.Size()
	if l.prefixed {
		size += 4 * len(u.NALUs)
	}
	switch {
	case at == l.max, at < l.max-int64(l.timescale):
		at = l.max + 1 // repeated or far backward: the source repairs these, a file must not break on one
	case at < l.max:
		l.reorder = true
	}
	l.buf = append(l.buf, sample{
		data: u.NALUs, size: size, pts: at, key: u.Key, leading: u.Leading, recovery: uint16(min(u.Recovery, math.MaxUint16)),
	})
	l.max = max(l.max, at)
	l.taken++
}

// frameTicks returns how long an audio frame lasts.
func (l *lane) frameTicks(frame []byte) int64 {
	switch l.track.Codec {
	case media.AAC:
		return l.frame
	case media.Opus:
		if n := opus.PacketDuration2(frame); n > 0 {
			return n
		}
		return 960
	default:
		return max(1, int64(len(frame)/max(1, l.track.Channels)))
	}
}

// addAudio places a frame right after the one before, unless that is further than audioSlack from its wall time at.
func (l *lane) addAudio(frame []byte, at, n int64) {
	if len(frame) == 0 {
		return
	}
	slack := ticks(audioSlack, l.timescale)
	switch {
	case l.end < 0:
		at = max(0, at)
	case at-l.end > slack:
		if k := len(l.buf); k > 0 {
			l.buf[k-1].dur += at - l.end
		}
	case l.end-at > slack:
		n = max(n/2, n-(l.end-at), 1) // catch up by shorter frames
		at = l.end
	default:
		at = l.end
	}
	l.buf = append(l.buf, sample{data: [][]byte{frame}, size: len(frame), pts: at, dts: at, dur: n, key: true})
	l.interval = n
	l.end, l.max = at+n, at
}

// settled returns how many samples at the front of buf can go although frames are reordered: those before the latest
// frame after which, in decoding order, nothing is presented earlier. at is the frame about to come. 0: none.
func (l *lane) settled(at int64) int {
	if at <= l.max {
		return 0
	}
	return settledBefore(l.buf, at)
}

// settledBefore is settled for the samples before a frame that is presented at time at, after all of them.
func settledBefore(buf []sample, at int64) int {
	low := at
	for n := len(buf) - 1; n > 0; n-- {
		low = min(low, buf[n].pts)
		high := buf[0].pts
		for _, s := range buf[:n] {
			high = max(high, s.pts)
		}
		if high < low {
			return n
		}
	}
	return 0
}

// reorderSeen is how many frames it takes to see that a stream reorders them without having said so.
const reorderSeen = 9

// ready returns how many samples at the front of buf can go while nobody knows what comes next: their times and
// durations follow from the samples after them.
func (l *lane) ready() int {
	if !l.video {
		return len(l.buf) // sound tells its own duration
	}
	n := len(l.buf) - 1
	if n < 1 || l.taken < reorderSeen {
		return 0
	}
	if !l.reorder {
		return n
	}
	for l.buf[n].pts != l.max { // settled had its say, or none, when the frame presented last came
		if n--; n == 0 {
			return 0
		}
	}
	return settledBefore(l.buf[:n], l.max)
}

// schedule gives the first n samples of a video lane their decode times and durations. next is the presentation time
// of the frame that follows, -1 if unknown.
//
// A frame is decoded no later than the earliest presentation time that follows in decoding order; frames that share
// this bound are spread evenly below it. So decode times rise, never pass the presentation time within closed groups,
// and equal it where nothing is reordered, without parsing slices.
func (l *lane) schedule(n int, next int64) {
	s := l.buf
	l.measure(s[:n])
	bound := s[len(s)-1].pts
	for i := len(s) - 1; i >= 0; i-- {
		bound = min(bound, s[i].pts)
		s[i].dts = bound
	}
	l.spread(s)
	end := l.max + l.interval
	if n < len(s) {
		end = s[n].dts
	} else if next > l.max && (!l.reorder || abs(next-end) <= l.interval/2) {
		end = next
	}
	end = max(end, s[n-1].dts+1)
	for i := range s[:n] {
		if i+1 < n {
			s[i].dur = s[i+1].dts - s[i].dts
		} else {
			s[i].dur = end - s[i].dts
		}
	}
	l.end = end
}

// spread turns the bounds in dts into rising decode times. The first continues where the last fragment ended.
func (l *lane) spread(s []sample) {
	prev := int64(-1)
	if l.end >= 0 {
		prev = l.end - 1
	}
	for i := 0; i < len(s); {
		v := s[i].dts
		j := i
		for j < len(s) && s[j].dts == v {
			j++
		}
		from, steps := prev, int64(j-i)
		if i == 0 { // the run's first frame is fixed, the others share what is left
			from, steps = v, steps-1
			if l.reorder && l.end >= 0 && v-l.end < l.limit() {
				from = l.end
			}
			s[0].dts = max(prev+1, from)
			prev = s[0].dts
			i++
		}
		for m := int64(1); i < j; m++ {
			s[i].dts = max(prev+1, from+(v-from)*m/steps)
			prev = s[i].dts
			i++
		}
	}
}

// measure learns the frame interval from the samples about to be written.
func (l *lane) measure(s []sample) {
	if len(s) < 3 {
		return
	}
	low, high := s[0].pts, s[0].pts
	for _, x := range s {
		low, high = min(low, x.pts), max(high, x.pts)
	}
	l.interval = max(1, (high-low)/int64(len(s)-1))
}

func abs(v int64) int64 { return max(v, -v) }

// ticks converts a duration, rounding to the nearest tick.
func ticks(d time.Duration, timescale uint32) int64 {
	s, r := int64(d/time.Second), int64(d%time.Second)
	n := r * int64(timescale)
	if n >= 0 {
		n += int64(time.Second) / 2
	} else {
		n -= int64(time.Second) / 2
	}
	return s*int64(timescale) + n/int64(time.Second)
}

// duration converts ticks, rounding to the nearest nanosecond.
func duration(t int64, timescale uint32) time.Duration {
	ts := int64(timescale)
	s, r := t/ts, t%ts
	n := r * int64(time.Second)
	if n >= 0 {
		n += ts / 2
	} else {
		n -= ts / 2
	}
	return time.Duration(s)*time.Second + time.Duration(n/ts)
}
