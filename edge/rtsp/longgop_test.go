package rtsp_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"skein/edge/media"
	"skein/edge/rtsp"
	"skein/edge/rtsp/rtsptest"
)

// A camera whose next key frame is further away than the third clock runs is not dialled again: its pictures arrive.
func TestPullKeepsACameraWhoseKeyFramesAreFarApart(t *testing.T) {
	t.Parallel()
	film := &rtsptest.Film{Codec: media.H264}
	for len(film.Units) < 2500 { // 100 s
		film.Units = append(film.Units, rtsptest.Clip(media.H264)[1:rtsptest.GOP]...)
	}
	film.Units[0] = rtsptest.Clip(media.H264)[0]
	for i := range film.Units {
		film.Shown = append(film.Shown, i)
	}
	cam := rtsptest.Start(t, rtsptest.Options{Film: film})
	sink := collect(pictures(75)) // 3 s
	stats := &rtsp.Stats{}
	timeouts := quick
	timeouts.KeyFrame = 500 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- rtsp.Pull(ctx, rtsp.PullConfig{Camera: "cam", URL: cam.URL(), Timeouts: timeouts, Stats: stats}, sink)
	}()
	select {
	case <-sink.done:
		cancel()
		<-ended
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("after %d pictures: %v", len(sink.all()), err)
		}
	}
	if s := stats.Snapshot(); s.Keys != 1 || cam.Plays() != 1 {
		t.Errorf("%d key frames over %d sessions, want one", s.Keys, cam.Plays())
	}
}
