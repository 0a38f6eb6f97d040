package relay

import (
	"time"

	"github.com/pion/rtcp"
)

// reportsPerPacket keeps a compound of sender reports (28 bytes each) within a datagram.
const reportsPerPacket = 32

// sentReport remembers a sender report to compute the round trip from its echo.
type sentReport struct {
	id uint32 // middle 32 bits of its NTP time
	at time.Time
}

// senderReport describes the slot's newest moment (RFC 3550 section 6.4.1). Its NTP time is the capture time on the
// edge's clock, not the time of sending, so that pictures and sound of one camera keep their relation.
func (s *slot) senderReport(now time.Time) *rtcp.SenderReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.line == nil || !s.anySent || (s.phase != phaseLive && s.phase != phaseCatchUp) {
		return nil
	}
	m, ok := s.line.now()
	if !ok || m.wall.IsZero() {
		return nil
	}
	ntp := ntpTime(m.wall)
	s.stats.report = sentReport{id: uint32(ntp >> 16), at: now}
	return &rtcp.SenderReport{
		SSRC: s.ssrc, NTPTime: ntp, RTPTime: uint32(s.segments[s.current].stamp(m.ts, s.segments[s.current].unit)),
		PacketCount: uint32(s.stats.packets), OctetCount: uint32(s.stats.bytes),
	}
}

// received takes the viewer's report about this slot.
func (s *slot) received(r rtcp.ReceptionReport, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.lost = r.FractionLost
	sent := s.stats.report
	if r.LastSenderReport != 0 && r.LastSenderReport == sent.id {
		delay := time.Duration(r.Delay) * time.Second / 65536
		if rtt := now.Sub(sent.at) - delay; rtt >= 0 {
			s.stats.rtt = rtt
		}
	}
}

// ntpTime is t in the format of RFC 3550 section 4.
func ntpTime(t time.Time) uint64 {
	const epoch = 2208988800 // seconds from 1900 to 1970
	return uint64(t.Unix()+epoch)<<32 | uint64(t.Nanosecond())<<32/1e9
}

// sendReports sends a sender report for every slot that shows something.
func (s *session) sendReports(now time.Time) {
	var reports []rtcp.Packet
	for _, sl := range s.slots {
		if sr := sl.senderReport(now); sr != nil {
			reports = append(reports, sr)
		}
	}
	for len(reports) > 0 {
		n := min(reportsPerPacket, len(reports))
		if err := s.pc.WriteRTCP(reports[:n]); err != nil {
			s.log.Debug("sender reports not sent", "error", err)
			return
		}
		reports = reports[n:]
	}
}

// readRTCP serves one slot's RTCP until read fails, which it does when the connection closes.
func (s *session) readRTCP(sl *slot, read func([]byte) (int, error)) {
	buf := make([]byte, 1500)
	for {
		n, err := read(buf)
		if err != nil {
			return
		}
		now := time.Now()
		pkts, err := rtcp.Unmarshal(buf[:n])
		if err != nil {
			continue
		}
		for _, p := range pkts {
			s.handleRTCP(sl, p, now)
		}
	}
}

// handleRTCP handles one packet as far as it is about sl: a compound reaches every slot it names.
func (s *session) handleRTCP(sl *slot, p rtcp.Packet, now time.Time) {
	switch p := p.(type) {
	case *rtcp.TransportLayerNack:
		if p.MediaSSRC == sl.ssrc {
			b := s.relay.outlet.get()
			sl.resend(b, p.Nacks, now)
			b.flush()
			s.relay.outlet.put(b)
		}
	case *rtcp.PictureLossIndication:
		if p.MediaSSRC == sl.ssrc {
			sl.keyframe(now)
		}
	case *rtcp.FullIntraRequest:
		sl.keyframe(now)
	case *rtcp.ReceiverReport:
		for _, r := range p.Reports {
			if r.SSRC == sl.ssrc {
				sl.received(r, now)
			}
		}
	case *rtcp.SenderReport:
		for _, r := range p.Reports {
			if r.SSRC == sl.ssrc {
				sl.received(r, now)
			}
		}
	case *rtcp.TransportLayerCC:
		if p.MediaSSRC == sl.ssrc && s.band != nil {
			if queue, ok := s.band.feedback(p, now); ok {
				s.queued(queue, now)
			}
		}
	}
}
