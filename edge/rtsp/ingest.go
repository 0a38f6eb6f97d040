package rtsp

import (
	"sync"
	"time"

	"skein/edge/media"
)

// ingest turns the RTP packets of one session into access units for a sink. Its tracks share one description and one
// numbering of epochs.
type ingest struct {
	sink  Sink
	stats *Stats

	mu      sync.Mutex // guards the fields below and all tracks: over UDP each socket has its goroutine
	desc    *media.Description
	tracks  []*track
	waiting bool // for the first key frame: before it nothing can be decoded, nor described
	closed  bool
}

// track receives one RTP stream.
type track struct {
	in        *ingest
	index     int
	pt        uint8
	depay     depacketizer
	latm      *latm
	source    sourceFilter
	heir      heir
	order     reorder
	unordered bool // packets may overtake each other and come twice: UDP. Set before the first
	seq       sequence
	timeline  *media.Timeline
	resumed   bool   // the next unit is the first of another source, whose timestamps have nothing to do with ours
	pkt       packet // in hand; here, so that it need not be allocated
	arrival   time.Time
	takeFn    func(*packet, time.Time)
	emitFn    func(unit)
	group     group
}

type ingestOptions struct {
	epochs      *media.Epochs
	trustSender bool
	ignoreSSRC  bool
}

func newIngest(tracks []*selected, sink Sink, stats *Stats, o ingestOptions) *ingest {
	in := &ingest{sink: sink, stats: stats, desc: &media.Description{}}
	for i, s := range tracks {
		hint(&s.track)
		in.desc.Tracks = append(in.desc.Tracks, s.track)
		t := &track{
			in: in, index: i, pt: s.forma.PayloadType(), depay: s.depay, latm: s.latm,
			source: sourceFilter{any: o.ignoreSSRC}, timeline: media.NewTimeline(s.track.ClockRate, o.epochs),
		}
		t.timeline.TrustSender = o.trustSender
		t.timeline.Reorder, t.timeline.Fields = s.track.BFrames, hasFields(&s.track)
		t.takeFn, t.emitFn = t.take, t.emit
		in.tracks = append(in.tracks, t)
		in.waiting = in.waiting || s.track.Codec.IsVideo()
	}
	in.describe()
	return in
}

// hasVideo reports whether a key frame can be expected.
func (in *ingest) hasVideo() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.desc.Video() >= 0
}

// close hands over what still waits and makes the ingest ignore what arrives: after it returns, the sink is left alone.
func (in *ingest) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return
	}
	for _, t := range in.tracks {
		t.order.flush(t.takeFn)
		t.depay.end(t.emitFn)
	}
	in.closed = true
}

// describe tells the counters what is received.
func (in *ingest) describe() {
	c := &codecs{}
	if i := in.desc.Video(); i >= 0 {
		t := in.desc.Tracks[i]
		c.video, c.width, c.height = t.Codec.String(), t.Width, t.Height
	}
	if i := in.desc.Audio(); i >= 0 {
		c.audio = in.desc.Tracks[i].Codec.String()
	}
	in.stats.codecs.Store(c)
}

// announce fixes the SSRC that SETUP promised.
func (t *track) announce(ssrc uint32) {
	if ssrc != 0 && !t.source.any {
		t.source.known, t.source.announced, t.source.ssrc = true, true, ssrc
	}
}

// rtp takes the bytes of an RTP packet, valid during the call.
func (t *track) rtp(b []byte, arrival time.Time) {
	p, err := parsePacket(b)
	if err != nil {
		t.in.stats.malformed.Add(1)
		return
	}
	t.packet(p, arrival)
}

// rtcp takes the bytes of a compound RTCP packet, valid during the call.
func (t *track) rtcp(b []byte, arrival time.Time) {
	t.bye(b, arrival)
	if sr, ok := parseSenderReport(b); ok {
		t.report(sr)
	}
}

// bye notes that the source says it leaves.
func (t *track) bye(b []byte, arrival time.Time) {
	t.in.mu.Lock()
	defer t.in.mu.Unlock()
	if t.source.seen && saysBye(b, t.source.ssrc) {
		t.in.stats.note(&t.in.stats.lastBye, arrival)
	}
}

func (t *track) report(sr senderReport) {
	t.in.mu.Lock()
	defer t.in.mu.Unlock()
	if t.source.known && !t.source.any && sr.ssrc != t.source.ssrc {
		return
	}
	t.timeline.SenderReport(sr.ntp, sr.rtp)
}

// packet takes one packet, its payload valid during the call.
func (t *track) packet(p packet, arrival time.Time) {
	in := t.in
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed || p.pt != t.pt {
		return
	}
	switch t.source.judge(&p, arrival) {
	case foreign:
		if !t.source.seen {
			in.stats.foreign.Add(1)
			return
		}
		in.stats.foreign.Add(uint64(t.heir.take(&p, arrival)))
		return
	case successor:
		t.succeed(p.ssrc)
	case ours:
		in.stats.foreign.Add(uint64(t.heir.drop()))
	}
	t.ordered(&p, arrival)
}

// succeed begins with another source in place of ours, from the packets on that were kept of it. in.mu is held.
func (t *track) succeed(ssrc uint32) {
	t.order.flush(t.takeFn)
	t.depay.flush(t.emitFn)
	t.seq, t.order = sequence{}, reorder{}
	t.resumed = true
	for _, h := range t.heir.of(ssrc) {
		t.ordered(&h.packet, h.arrival)
	}
}

// ordered takes a packet of our source. in.mu is held.
func (t *track) ordered(p *packet, arrival time.Time) {
	if t.unordered {
		t.order.push(p, arrival, t.takeFn)
		return
	}
	t.take(p, arrival)
}

// take depacketises a packet that is next in order. in.mu is held.
func (t *track) take(p *packet, arrival time.Time) {
	in := t.in
	lost, fresh := t.seq.accept(p.seq)
	if !fresh {
		return
	}
	in.stats.packets.Add(1)
	in.stats.note(&in.stats.lastRTP, arrival)
	if lost > 0 {
		in.stats.lost.Add(uint64(lost))
	}
	t.arrival = arrival
	t.pkt = *p
	if err := t.depay.push(&t.pkt, lost > 0, t.emitFn); err != nil {
		in.stats.malformed.Add(1)
	}
}

// emit describes, times and publishes one unit. in.mu is held.
func (t *track) emit(u unit) {
	in := t.in
	cur := in.desc.Tracks[t.index]
	video := cur.Codec.IsVideo()
	l := learn(&cur, &u)
	if video {
		l.access = t.group.admit(l.access, t.arrival, &cur)
		l.changed = l.changed || cur.NoIDR != in.desc.Tracks[t.index].NoIDR
	}
	if t.latm != nil && cur.AACConfig == nil {
		cur.AACConfig, cur.Channels = t.latm.config()
		l.changed = cur.AACConfig != nil
	}
	if l.changed {
		in.redescribe(t, cur)
	}
	if u.damaged {
		in.stats.damaged.Add(1)
	}
	if t.resumed {
		t.resumed = false
		t.timeline.Resume(u.ts, t.arrival)
	}
	pts, epoch, wall := t.timeline.Map(u.ts, t.arrival)
	if video {
		in.stats.frames.Add(1)
		in.stats.note(&in.stats.lastFrame, t.arrival)
		if !u.damaged {
			in.stats.note(&in.stats.lastWhole, t.arrival)
		}
		in.stats.badStamps.Store(t.timeline.BadStamps())
		l.access = t.group.place(l.access, pts, epoch)
		if l.key {
			t.group.first = in.waiting
			in.waiting = false
			in.stats.key(t.arrival, l.access)
		}
	}
	if in.waiting || l.leading && t.group.first {
		return
	}
	au := &media.AccessUnit{
		Desc: in.desc, Track: t.index, Epoch: epoch, PTS: pts, Wall: wall, Arrival: t.arrival,
		Key: l.key, Open: l.open, Leading: l.leading, Recovery: l.recovery, Damaged: u.damaged, NALUs: u.nalus,
	}
	au.ClockOffset, au.ClockKnown = t.timeline.Offset()
	if au.ClockKnown {
		in.stats.offset.Store(int64(au.ClockOffset))
		in.stats.offsetOK.Store(true)
	}
	in.stats.units.Add(1)
	in.sink.Publish(au)
}

// redescribe replaces the description: readers hold the old one.
func (in *ingest) redescribe(t *track, cur media.Track) {
	d := &media.Description{Tracks: append([]media.Track(nil), in.desc.Tracks...)}
	d.Tracks[t.index] = cur
	in.desc = d
	t.timeline.Reorder, t.timeline.Fields = cur.BFrames, hasFields(&cur)
	in.describe()
}
