package sim

import (
	"crypto/rand"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// track is one RTP stream of a profile.
type track struct {
	media  *description.Media
	rate   int
	origin uint32 // RTP time at media time 0, random
	next   uint64 // number of the frame or audio packet due next
	due    time.Time

	ssrc    uint32
	packets uint32
	octets  uint32
	report  time.Time // when the next sender report is due; zero before the first packet
}

// stream is one profile of a camera. The scheduler owns what is not said to be shared.
type stream struct {
	// Static after construction.
	path    string
	camera  *Camera
	video   Video
	control *Control
	phase   time.Duration // capture times are multiples of the frame period plus this, in media time
	// stampSending is Config.StampSending.
	stampSending bool
	sound        *audioLoop
	desc         *description.Session

	// Shared.
	mu      sync.Mutex
	server  *gortsplib.ServerStream // nil while stopped
	encoder *encoder                // made for the first reader
	readers map[*gortsplib.ServerSession]bool
	joined  time.Time // when the last reader came; zero when the scheduler has seen it
	left    bool      // the last reader went, though others may have come since
	drop    atomic.Int64

	// Owned by the scheduler.
	active  bool
	waiting bool      // no picture sent yet since the first reader came
	force   bool      // a reader came that wants a key frame now
	from    time.Time // not before this
	picture track
	audio   track
	packer  *packetizer
	seq     uint16 // of audio
	emit    func(*rtp.Packet)
	out     *gortsplib.ServerStream
}

// settle is how long a reader's session takes to be ready after PLAY was handled.
const settle = 20 * time.Millisecond

// late is by how much the scheduler may miss a time before it leaves frames out: long enough for a busy test machine.
const late = 5 * time.Second

func random32() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint32(b[:])
}

// rtpTime returns a track's RTP time at a media time.
func (t *track) rtpTime(m time.Time) uint32 {
	ns := uint64(m.Nanosecond())
	return t.origin + uint32(uint64(m.Unix())*uint64(t.rate)+(ns*uint64(t.rate)+5e8)/1e9)
}

// wake looks for readers. It returns false if there is nobody to send to.
func (s *stream) wake(now time.Time, keyOnPlay bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil || len(s.readers) == 0 || s.encoder == nil {
		s.active = false
		return false
	}
	if s.left {
		s.active, s.left = false, false
	}
	s.out = s.server
	if !s.joined.IsZero() {
		s.force = s.force || keyOnPlay
		s.from = now.Add(settle)
		s.joined = time.Time{}
	}
	if !s.active {
		s.active, s.waiting = true, true
		s.schedule(now.Add(settle))
	}
	return true
}

// schedule sets the next times to the first ones at or after a true time.
func (s *stream) schedule(t time.Time) {
	m := s.control.clock.media(t)
	s.picture.next = frameAt(m.Add(-s.phase), s.video.FPS)
	s.picture.due = s.capture(s.picture.next)
	if s.sound != nil {
		s.audio.next = s.sound.index(m)
		s.audio.due = s.control.clock.truth(s.sound.start(s.audio.next))
	}
}

// capture returns the true time at which a frame is taken.
func (s *stream) capture(frame uint64) time.Time {
	return s.control.clock.truth(frameTime(frame, s.video.FPS).Add(s.phase))
}

// run sends what is due at now and returns when it wants to be called again.
func (s *stream) run(now time.Time, interval time.Duration) time.Time {
	if now.Sub(s.picture.due) > late {
		s.schedule(now)
	}
	muted := s.control.muted(now)
	for !s.picture.due.After(now) {
		s.sendPicture(now, muted)
		s.picture.next++
		s.picture.due = s.capture(s.picture.next)
	}
	next := s.picture.due
	if s.sound != nil {
		for !s.audio.due.After(now) {
			if !muted && !s.waiting {
				s.sendAudio()
			}
			s.audio.next++
			s.audio.due = s.control.clock.truth(s.sound.start(s.audio.next))
		}
		if s.audio.due.Before(next) {
			next = s.audio.due
		}
	}
	if !muted {
		s.reportDue(&s.picture, now, interval)
		if s.sound != nil {
			s.reportDue(&s.audio, now, interval)
		}
	}
	return next
}

func (s *stream) sendPicture(now time.Time, muted bool) {
	frame := s.picture.next
	force := s.force && !now.Before(s.from)
	if s.waiting && !force && !s.encoder.regular(frame) {
		return
	}
	if muted || s.lose() {
		return
	}
	taken := frameTime(frame, s.video.FPS)
	taken = taken.Add(s.phase)
	if s.stampSending {
		taken = s.control.clock.media(time.Now())
	}
	nalus, key := s.encoder.encode(frame, s.control.clock.wall(taken), force)
	if key {
		s.waiting = false
		if force {
			s.force = false
		}
	}
	ts := s.picture.origin + uint32(ticks(frame, s.video.FPS))
	s.packer.packetize(nalus, ts, s.emit)
}

// lose reports whether this frame is one that Control.Drop asked for.
func (s *stream) lose() bool {
	if s.drop.Load() <= 0 {
		return false
	}
	return s.drop.Add(-1) >= 0
}

func (s *stream) sendAudio() {
	payload := s.sound.at(s.audio.next)
	pkt := rtp.Packet{Header: rtp.Header{
		Version: 2, PayloadType: s.audio.media.Formats[0].PayloadType(), SequenceNumber: s.seq,
		Timestamp: s.audio.origin + uint32(s.audio.next*uint64(s.sound.samples)),
		Marker:    s.sound.marker(),
	}, Payload: payload}
	s.seq++
	s.send(&s.audio, &pkt)
}

// send writes one packet to all readers and counts it. A reader that is too slow loses it.
func (s *stream) send(t *track, pkt *rtp.Packet) {
	size := len(pkt.Payload)
	if err := s.out.WritePacketRTP(t.media, pkt); err != nil {
		return // the stream was stopped meanwhile
	}
	t.ssrc = pkt.SSRC
	t.packets++
	t.octets += uint32(size)
}

// reportDue sends a sender report (RFC 3550 section 6.4.1): the wall clock now, and the media clock at the same moment.
func (s *stream) reportDue(t *track, now time.Time, interval time.Duration) {
	if t.packets == 0 || now.Before(t.report) {
		return
	}
	t.report = now.Add(interval)
	m := s.control.clock.media(now)
	phase := s.phase
	if t == &s.audio {
		phase = 0
	}
	// An error means that the stream was stopped meanwhile.
	_ = s.out.WritePacketRTCP(t.media, &rtcp.SenderReport{
		SSRC:        t.ssrc,
		NTPTime:     ntp(s.control.clock.wall(m)),
		RTPTime:     t.rtpTime(m.Add(-phase)),
		PacketCount: t.packets,
		OctetCount:  t.octets,
	})
}

// ntp converts to the 64 bit timestamp of RFC 5905 section 6: seconds since 1900 and a binary fraction.
func ntp(t time.Time) uint64 {
	const since1900 = 2208988800
	return uint64(t.Unix()+since1900)<<32 | uint64(t.Nanosecond())<<32/1e9
}
