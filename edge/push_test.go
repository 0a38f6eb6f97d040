package edge

import (
	"errors"
	"testing"

	"skein/config/district"
	"skein/edge/media"
	"skein/edge/rtsp"
)

// A camera that is edited or removed while it publishes must not go on publishing into nothing.
func TestPublicationEndsWithItsCamera(t *testing.T) {
	pushed := district.Camera{ID: "phone", Name: "P", Main: district.Push}
	edited := pushed
	edited.Record = district.RecordMain
	for name, next := range map[string][]district.Camera{"removed": nil, "edited": {edited}} {
		e, _, stop := newEdge(t, Config{}, Deps{}, hold)
		e.Apply([]district.Camera{pushed})
		pub, err := e.Accept("phone", media.Main)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Accept("phone", media.Main); !errors.Is(err, rtsp.ErrBusy) {
			t.Errorf("a second publication: %v", err)
		}
		renamed := pushed
		renamed.Name = "Q"
		e.Apply([]district.Camera{renamed})
		select {
		case <-pub.Withdrawn:
			t.Fatal("withdrawn for another name")
		default:
		}
		e.Apply(next)
		select {
		case <-pub.Withdrawn:
		default:
			t.Errorf("%s: the publication goes on", name)
		}
		pub.Done(nil)
		again, err := e.Accept("phone", media.Main)
		if (err == nil) != (next != nil) || (err != nil && !errors.Is(err, rtsp.ErrNotFound)) {
			t.Errorf("%s: published again: %v", name, err)
		}
		if err == nil {
			again.Done(nil)
		}
		stop()
	}
}

func TestOnlyPushedProfilesArePublished(t *testing.T) {
	e, _, stop := newEdge(t, Config{}, Deps{}, hold)
	defer stop()
	e.Apply([]district.Camera{cam("pulled"), {ID: "half", Main: "rtsp://10.0.0.1/half", Sub: district.Push}})
	for _, c := range []struct {
		id   string
		p    media.Profile
		want error
	}{
		{"pulled", media.Main, rtsp.ErrNotFound}, {"half", media.Main, rtsp.ErrNotFound}, {"half", media.Sub, nil},
		{"nobody", media.Main, rtsp.ErrNotFound},
	} {
		if _, err := e.Accept(c.id, c.p); !errors.Is(err, c.want) {
			t.Errorf("%s/%s: %v, want %v", c.id, c.p, err, c.want)
		}
	}
}
