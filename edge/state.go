package edge

import (
	"math"
	"time"

	"skein/edge/rtsp"
	"skein/edge/status"
)

// Limits of the states shown to people.
const (
	frozenAfter  = 3 * time.Second // no picture for so long, though connected
	delayedAfter = 2 * time.Second // pictures arrive this late
	lossFrom     = 0.002           // share of packets lost from which on people are told
)

// profile tells how the source is right now. The state comes from the data plane (bytes, pictures, key frames), never
// from events alone.
func (s *source) profileStatus(now time.Time) status.Profile {
	s.mu.Lock()
	last, active, wanted := s.last, s.active, s.always || s.users > 0
	s.mu.Unlock()
	st := s.stats.Snapshot()
	p := status.Profile{
		Codec: st.Codec, Audio: st.Audio, Width: st.Width, Height: st.Height,
		LastFrame: st.LastFrame, LastKey: st.LastKey, KeyEveryMS: st.KeyEvery.Milliseconds(), Refresh: st.Refresh,
		Transport:  st.Transport,
		Reconnects: last.n, LostPackets: st.Lost, Damaged: st.Damaged,
	}
	if st.ClockKnown {
		ms := st.ClockOffset.Milliseconds()
		p.ClockOffsetMS = &ms
	}
	p.State, p.Reason, p.Since = judge(st, last, active, wanted, now)
	// Moments kept on the monotonic clock look a little different in wall time whenever they are read.
	p.Since = p.Since.Truncate(time.Second)
	switch {
	case connected(st, last, active) && arrives(p.State):
		p.FPS, p.Kbps, p.LossPercent = st.FPS, st.Kbps, math.Round(st.Loss*1e4)/100
		p.DelayMS = s.delay().Milliseconds()
	case last.n > 0:
		p.Detail, p.Retry = last.detail, last.next
	}
	if p.State == status.Live && s.delay() > delayedAfter {
		p.State = status.Delayed
	}
	switch {
	case p.State == status.NoSignal && p.Reason == status.ReasonNoKeyFrame && connected(st, last, active):
		p.Detail, p.Retry = "pictures arrive, waiting for a key frame to begin with", time.Time{}
	case p.State == status.Live, p.State == status.Delayed:
		p.Reason = besideLive(st)
	}
	return p
}

// besideLive tells what else people should know of a camera whose pictures arrive: the worst of it.
func besideLive(st rtsp.Snapshot) status.Reason {
	switch {
	case st.Loss >= lossFrom:
		return status.ReasonCameraLoss
	case st.BadStamps:
		return status.ReasonBadStamps
	case st.Refresh == status.RefreshGradual:
		return status.ReasonGradual
	}
	return status.ReasonNone
}

// delay is how far the newest unit's capture time lay behind its arrival.
func (s *source) delay() time.Duration {
	h := s.stream.Last()
	if h == nil {
		return 0
	}
	return max(0, h.Arrival.Sub(h.Wall))
}

// judge decides the state from the counters of the connection and from how the last one ended.
func judge(
	st rtsp.Snapshot, last attempt, active, wanted bool, now time.Time,
) (status.State, status.Reason, time.Time) {
	connected := connected(st, last, active)
	pictures := connected && st.LastKey.After(st.Connected)
	waits := connected && st.LastFrame.After(st.Connected) && now.Sub(st.Connected) >= frozenAfter // for a key frame
	switch {
	case pictures && now.Sub(st.LastFrame) <= frozenAfter:
		return status.Live, status.ReasonNone, st.Connected
	case pictures:
		return status.Frozen, status.ReasonSilent, st.LastFrame
	case connected && st.Codec == "" && st.Audio != "" && st.LastRTP.After(st.Connected):
		if now.Sub(st.LastRTP) <= frozenAfter {
			return status.SoundOnly, status.ReasonNone, st.Connected
		}
		return status.NoSignal, status.ReasonSilent, st.LastRTP
	case !wanted:
		return status.Connecting, status.ReasonNone, st.LastFrame // on demand: nobody looks
	case last.n == 0 && !connected:
		return status.Connecting, status.ReasonNone, time.Time{}
	case last.n == 0 && now.Sub(st.Connected) < frozenAfter:
		return status.Connecting, status.ReasonNone, st.Connected
	case last.n == 0, waits:
		return status.NoSignal, status.ReasonNoKeyFrame, st.Connected
	case !last.well.IsZero() && !deliberate(last.reason) && now.Sub(st.LastFrame) <= absentFor:
		return status.Frozen, last.reason, st.LastFrame // gone for a moment, and dialled again
	}
	return down(last.reason), last.reason, last.since
}

// arrives reports whether in the state something arrives, or did just now.
func arrives(s status.State) bool {
	return s == status.Live || s == status.Frozen || s == status.SoundOnly
}

// connected reports whether the session at hand plays.
func connected(st rtsp.Snapshot, last attempt, active bool) bool {
	return active && !st.Connected.IsZero() && st.Connected.After(last.at)
}

// down is the state of a camera whose connection ended for the reason.
func down(r status.Reason) status.State {
	switch r {
	case status.ReasonSilent, status.ReasonNoRTP, status.ReasonNoKeyFrame, status.ReasonUnsupportedCodec,
		status.ReasonNotFound, status.ReasonNotPublished:
		return status.NoSignal
	}
	return status.Offline
}
