package gateway

import (
	"errors"
	"fmt"
	"net/http"

	"skein/config/district"
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
	return relay.Viewer{Name: p.Name, Key: p.Key(), Allow: g.api.Send(r)}
}

// accept begins the publication of a camera that the caller may publish. Every refusal says why.
func (g *Gateway) accept(camera string, p media.Profile) (rtsp.Publication, error) {
	if g.deps.Local == nil {
		return rtsp.Publication{}, &rtsp.Refusal{Err: rtsp.ErrNotFound, Reason: "this gateway takes no publications"}
	}
	pub, err := g.deps.Local.Accept(camera, p)
	switch {
	case errors.Is(err, rtsp.ErrNotFound):
		return pub, &rtsp.Refusal{Err: err, Reason: g.notPublished(camera, p)}
	case errors.Is(err, rtsp.ErrBusy):
		return pub, &rtsp.Refusal{Err: err, Reason: "camera " + camera + " is being published already"}
	}
	return pub, err
}

// notPublished tells why a profile of a camera takes no publication.
func (g *Gateway) notPublished(camera string, p media.Profile) string {
	c, ok := g.deps.Inventory().Camera(camera)
	switch address := c.URL(string(p)); {
	case !ok:
		return "there is no such camera"
	case address == district.Push:
		return fmt.Sprintf("camera %s is being set up: try again in a moment", camera)
	case address == "" && c.Pushed():
		return fmt.Sprintf("camera %s has no profile %s", camera, p)
	}
	return fmt.Sprintf("camera %s is pulled; only one whose address is %q in the inventory can be published", camera,
		district.Push)
}

// publishers gives what comes by WHIP to the camera's stream, as if it came by RTSP.
type publishers struct{ g *Gateway }

var _ relay.Publishers = publishers{}

// Accept implements relay.Publishers.
func (ps publishers) Accept(camera string, p media.Profile, tracks []relay.PublishedTrack) (relay.Receiver, error) {
	pub, err := ps.g.accept(camera, p)
	if err != nil {
		return nil, toRelay(err)
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

// toRelay says a refusal in the relay's words.
func toRelay(err error) error {
	var why *rtsp.Refusal
	switch {
	case !errors.As(err, &why):
		return err
	case errors.Is(err, rtsp.ErrBusy):
		return &relay.Error{Code: relay.CodeBusy, Detail: why.Reason, Err: relay.ErrBusy}
	}
	return &relay.Error{Code: relay.CodeUnknownCamera, Detail: why.Reason, Err: relay.ErrUnknownCamera}
}
