package relay_test

import (
	"encoding/binary"
	"slices"
	"time"

	"skein/edge/media"
)

// source publishes shots and remembers what a viewer must get.
type source struct {
	*camera
	began time.Time     // of the film
	plan  time.Duration // how long it should have taken so far
	late  time.Duration // how much longer it took on a busy machine
	units [][][]byte    // by number: NAL units with the parameter sets a key frame needs
	keys  []bool
}

// film publishes shot i.
func (c *source) film(i int, s shot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.desc != nil {
		c.desc = s.desc
	}
	now := time.Now()
	if i == 0 {
		c.began = now
	}
	c.late = max(c.late, now.Sub(c.began)-c.plan)
	c.plan += s.wait
	u := &media.AccessUnit{
		Desc: c.desc, Epoch: s.epoch, PTS: int64(s.pts.Seconds() * 90000), Wall: now.UTC(), Arrival: now, Key: s.key,
	}
	if s.sound {
		u.Track, u.PTS, u.NALUs = 1, int64(s.pts.Seconds()*8000), [][]byte{{1, 2, 3}}
		c.stream.Publish(u)
		return
	}
	slice := make([]byte, s.size)
	for j := range slice {
		slice[j] = byte(i + j/7)
	}
	slice[0] = 0x41
	if s.key {
		slice[0] = 0x65
	}
	binary.BigEndian.PutUint32(slice[1:], uint32(len(c.units)))
	want := [][]byte{slice}
	if s.key {
		u.NALUs = slices.Clone(s.sets)
		want = [][]byte{c.desc.Tracks[0].SPS, c.desc.Tracks[0].PPS, slice}
	}
	u.NALUs = append(u.NALUs, slice)
	c.units, c.keys, c.at = append(c.units, want), append(c.keys, s.key), append(c.at, now)
	c.stream.Publish(u)
}
