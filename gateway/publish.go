package gateway

import (
	"errors"
	"fmt"
	"net/http"

	"skein/edge/media"
	"skein/edge/rtsp"
	"skein/gateway/access"
	"skein/gateway/relay"
)

// publisher tells the relay who publishes, and for which cameras that principal may.
func (g *Gateway) publisher(r *http.Request) relay.Viewer {
	p, ok := access.FromContext(r.Context())
	if !ok {
		return relay.Viewer{}
	}
	return relay.Viewer{
		Name: p.Name, Key: p.Key(),
		Allow: func(camera string) bool { return g.api.May(p, access.PushMedia, camera) },
	}
}

// publishers gives what comes by WHIP to the camera's stream, as if it came by RTSP.
type publishers struct{ g *Gateway }

var _ relay.Publishers = publishers{}

// Accept implements relay.Publishers.
func (ps publishers) Accept(camera string, p media.Profile, tracks []relay.PublishedTrack) (relay.Receiver, error) {
	if ps.g.deps.Local == nil {
		return nil, fmt.Errorf("publish %s/%s: %w", camera, p, relay.ErrUnknownCamera)
	}
	pub, err := ps.g.deps.Local.Accept(camera, p)
	switch {
	case errors.Is(err, rtsp.ErrNotFound):
		return nil, fmt.Errorf("%w: %w", relay.ErrUnknownCamera, err)
	case errors.Is(err, rtsp.ErrBusy):
		return nil, fmt.Errorf("%w: %w", relay.ErrBusy, err)
	case err != nil:
		return nil, err
	}
	var list []rtsp.ReceiverTrack
	for _, t := range tracks {
		list = append(list, rtsp.ReceiverTrack{Codec: t.Codec, Payload: t.Payload, Channels: t.Channels})
	}
	r, err := rtsp.NewReceiver(list, pub, "webrtc")
	if err != nil {
		if pub.Done != nil {
			pub.Done(err)
		}
		return nil, err
	}
	return r, nil
}
