package sim

import (
	"bytes"
	"fmt"
	"time"

	"skein/edge/media"
)

// Unit is one coded picture of a Source.
type Unit struct {
	// NALUs are complete NAL units without start codes, parameter sets first on key frames. They are the caller's.
	NALUs [][]byte
	Key   bool
	Frame uint64    // as in Mark
	Wall  time.Time // capture time; UTC
	PTS   int64     // 90 kHz ticks since the stream's clock began
}

// Source makes a camera's pictures one after the other without RTSP and without a clock of its own: for tests that
// want known footage. The same camera, profile and start give the same bytes. Not safe for concurrent use.
type Source struct {
	encoder *encoder
	next    uint64
}

// NewSource returns a Source whose first picture is the first key frame at or after start. It shares no memory with
// other Sources: tests that want many should take them from a Server.
func NewSource(cam Camera, profile media.Profile, start time.Time) (*Source, error) {
	cam, err := cam.withDefaults()
	if err != nil {
		return nil, err
	}
	video, err := cam.video(profile)
	if err != nil {
		return nil, err
	}
	lib, err := newLibrary()
	if err != nil {
		return nil, err
	}
	s := &Source{encoder: newEncoder(lib, &scratch{}, cam, video)}
	s.Skip(start)
	return s, nil
}

// ParameterSets returns the NAL units in front of every key frame: VPS (H.265 only), SPS, PPS.
func (s *Source) ParameterSets() [][]byte { return s.encoder.class.pictures.parameterSets() }

// Skip passes over the pictures before the first key frame at or after t. What follows is as of a Source begun there.
func (s *Source) Skip(t time.Time) {
	s.encoder.writer = s.encoder.class.pictures.begin(s.encoder.scratch)
	s.next = max(s.next, frameAt(t, s.encoder.video.FPS))
	for !s.encoder.regular(s.next) {
		s.next++
	}
}

// Drop passes over n pictures, as a camera does that hangs for a while: they are never coded, and what follows goes on
// from the last one that was, at its own time.
func (s *Source) Drop(n int) { s.next += uint64(n) }

// Next returns the next picture.
func (s *Source) Next() Unit {
	fps := s.encoder.video.FPS
	u := Unit{Frame: s.next, Wall: frameTime(s.next, fps), PTS: ticks(s.next, fps)}
	nalus, key := s.encoder.encode(u.Frame, u.Wall, false)
	u.Key = key
	for _, n := range nalus {
		u.NALUs = append(u.NALUs, bytes.Clone(n))
	}
	s.next++
	return u
}

// video returns the description of one profile of c, which has its defaults.
func (c Camera) video(profile media.Profile) (Video, error) {
	switch {
	case profile == media.Main:
		return c.Video, nil
	case profile == media.Sub && c.Sub != nil:
		return *c.Sub, nil
	}
	return Video{}, fmt.Errorf("camera %q: has no profile %q", c.ID, profile)
}

// frameAt returns the number of the first picture captured at or after t, when one is captured on every multiple of
// 1/fps since 1970.
func frameAt(t time.Time, fps int) uint64 {
	f := uint64(fps)
	return uint64(t.Unix())*f + (uint64(t.Nanosecond())*f+999_999_999)/1e9
}

// frameTime is the inverse of frameAt, rounded down to nanoseconds.
func frameTime(frame uint64, fps int) time.Time {
	f := uint64(fps)
	return time.Unix(int64(frame/f), int64(frame%f*1e9/f)).UTC()
}

// ticks is the same time in ticks of the 90 kHz clock.
func ticks(frame uint64, fps int) int64 {
	f := uint64(fps)
	return int64(frame/f*videoClock + frame%f*videoClock/f)
}

const videoClock = 90000 // RTP clock rate of video, Hz
