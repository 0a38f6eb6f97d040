package relay

import (
	"context"
	"errors"
	"slices"
	"time"

	"skein/edge/media"
	"skein/edge/stream"
)

// openTranscode opens the stream of k and has it transcoded.
func (r *Relay) openTranscode(ctx context.Context, k feedKey) (*stream.Stream, func(), error) {
	select {
	case r.transcodes <- struct{}{}:
	default:
		return nil, nil, fail(CodeTranscodesBusy, "all %d transcodings of this gateway are in use", cap(r.transcodes))
	}
	s, release, err := r.streams.Open(ctx, k.camera, k.profile)
	if err != nil {
		<-r.transcodes
		return nil, nil, err
	}
	out, stop, err := r.parts.Transcoder.H264(ctx, s)
	if err != nil {
		release()
		<-r.transcodes
		return nil, nil, &Error{Code: CodeInternal, Detail: "the stream cannot be transcoded", Err: err}
	}
	return out, func() {
		stop()
		release()
		<-r.transcodes
	}, nil
}

// mayTranscode tells whether this gateway transcodes at all.
func (r *Relay) mayTranscode() bool { return r.parts.Transcoder != nil && cap(r.transcodes) > 0 }

// lacksCodec tells whether err is that the viewer lacks the stream's codec, as all do of some, or cannot begin with
// what of it is sent.
func lacksCodec(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Code == CodeNotOffered || e.Code == CodeUnsupported || e.Code == CodeNoIDR)
}

// cheapest returns the profile that costs least to transcode.
func cheapest(of []media.Profile) media.Profile {
	if slices.Contains(of, media.Sub) {
		return media.Sub
	}
	return of[0]
}

// climb returns the feed of the first profile that has a picture the slot can send: those of the camera, second only if
// not empty, and last one of them transcoded. why tells what the viewer does not get, "" if it is the first.
func (t *tile) climb(
	ctx context.Context, camera string, first, second media.Profile, limit time.Duration,
) (f *feed, why Code, err error) {
	var lacking []media.Profile
	for _, p := range []media.Profile{first, second} {
		if p == "" {
			continue
		}
		var got *feed
		got, e := t.fetch(ctx, feedKey{camera: camera, profile: p}, limit)
		if e == nil {
			return got, why, nil
		}
		if lacksCodec(e) {
			lacking = append(lacking, p)
		}
		if err == nil || codeOf(err) == CodeUnknownCamera { // what ails the profile that it has tells more
			err = e
		}
		var coded *Error
		if !errors.As(e, &coded) || coded.Code == CodeStopped || ctx.Err() != nil {
			return nil, "", err
		}
		if why == "" && coded.Code != CodeUnknownCamera { // a camera with one profile keeps nothing from anybody
			why = coded.Code
		}
	}
	if len(lacking) == 0 || !t.wall.session.relay.mayTranscode() {
		return nil, "", err
	}
	k := feedKey{camera: camera, profile: cheapest(lacking), variant: asH264}
	f, e := t.fetch(ctx, k, limit)
	if e != nil {
		var coded *Error
		if errors.As(e, &coded) && coded.Code == CodeTranscodesBusy {
			err = e
		}
		return nil, "", err
	}
	return f, CodeTranscoded, nil
}
