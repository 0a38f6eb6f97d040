package edge

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"skein/edge/rtsp"
	"skein/edge/status"
)

// TestSinceIsTheFirstFailure: a camera that stays away is away since it went, however often it is tried again.
func TestSinceIsTheFirstFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{stats: &rtsp.Stats{}, metrics: newMetrics(nil, &Edge{}), log: slog.New(slog.DiscardHandler)}
		began := time.Now().UTC()
		for range 4 {
			s.ended(&rtsp.Error{Reason: status.ReasonRefused}, time.Second)
			time.Sleep(time.Minute)
		}
		state, _, since := judge(s.stats.Snapshot(), s.last, false, true, time.Now())
		if state != status.Offline || !since.Equal(began) {
			t.Errorf("%s since %v, want since %v", state, since, began)
		}
		s.ended(&rtsp.Error{Reason: status.ReasonSilent}, time.Second) // it answers again, and sends nothing
		answered := time.Now().UTC()
		time.Sleep(time.Minute)
		if state, _, since := judge(s.stats.Snapshot(), s.last, false, true, time.Now()); state != status.NoSignal ||
			!since.Equal(answered) {
			t.Errorf("%s since %v, want since %v", state, since, answered)
		}
	})
}
