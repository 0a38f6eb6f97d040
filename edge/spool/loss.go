package spool

import (
	"time"

	"skein/edge/status"
	"skein/recorder/segment"
)

// lossHold is how long after the last drop of sealed footage for want of room it counts as going on: drops come in
// bursts, one with each segment that is sealed.
const lossHold = time.Minute + maxSegment

// loss is the footage of a camera that is being lost: pictures for which the disk has no room, or sealed segments that
// go unshipped.
type loss struct {
	cause   segment.Cause // "": none
	since   time.Time     // of the first picture lost
	all     bool          // nothing is kept: not only the oldest footage goes
	dropped time.Time     // when sealed footage went last; zero: only pictures were lost on their way to disk
	seq     uint64        // of the last sealed segment that went
}

// losePictures notes that pictures from since on went lost before they were in any file.
func (c *camera) losePictures(since time.Time, cause segment.Cause) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.loss.cause == "" {
		c.loss.since = since.UTC()
	}
	c.loss.cause, c.loss.all = cause, true
}

// loseSegment notes that the sealed segment of m goes unshipped; newest tells that none is left after it.
func (c *camera) loseSegment(m segment.Manifest, cause segment.Cause, newest bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.loss.cause == "" {
		c.loss.since = m.Start
	}
	c.loss.cause, c.loss.dropped, c.loss.seq = cause, time.Now(), m.Seq
	c.loss.all = c.loss.all || newest
}

// kept notes that what is being recorded is durable now. It ends a loss of pictures; where sealed footage is dropped,
// durable is not enough.
func (c *camera) kept() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.loss.dropped.IsZero() {
		c.loss = loss{}
	}
}

// arrived notes that the archive has the camera's segment seq: what is sealed is not lost any more, if nothing after it
// was dropped.
func (c *camera) arrived(seq uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.loss.dropped.IsZero() && seq > c.loss.seq {
		c.loss = loss{}
	}
}

// lossNow tells what is being lost at the moment. c.mu is held.
func (c *camera) lossNow() *status.Loss {
	if !c.loss.dropped.IsZero() && time.Since(c.loss.dropped) > lossHold {
		c.loss = loss{}
	}
	if c.loss.cause == "" {
		return nil
	}
	return &status.Loss{Cause: string(c.loss.cause), Since: c.loss.since}
}
