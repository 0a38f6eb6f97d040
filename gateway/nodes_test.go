package gateway

import (
	"context"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"skein/config/district"
	"skein/config/secret"
	"skein/edge/link"
	"skein/edge/media"
	"skein/edge/status"
	"skein/gateway/access"
)

// nothing is a node's end that shows and publishes nothing.
type nothing struct{}

func (nothing) Cameras() []status.Camera                 { return nil }
func (nothing) Start(string, media.Profile, link.Target) {}
func (nothing) Stop(camera string, p media.Profile)      {}

// A node that was broken into offers the cameras of another site. They stay that site's.
func TestANodeSpeaksForItsOwnCamerasOnly(t *testing.T) {
	t.Parallel()
	inv := &district.Inventory{
		Units: []district.Unit{{ID: "yf", Name: "A", Tier: district.TierDistrict}},
		Cameras: []district.Camera{
			{ID: "gate", Unit: "yf", Edge: "site-2", Main: "rtsp://10.0.0.1/a"},
			{ID: "yard", Unit: "yf", Edge: "site-1", Main: "rtsp://10.0.0.1/b"},
			{ID: "road", Unit: "yf", Main: "rtsp://10.0.0.1/c"},
		},
	}
	token := secret.New("a-token-of-the-node-site-1-0123456789")
	g, err := New(Config{
		DataDir: t.TempDir(), WebRTC: WebRTC{UDP: "127.0.0.1:0"}, RTSP: RTSP{Listen: "off"},
		Access: Access{Nodes: []access.NodeConfig{{ID: "site-1", Token: token}}},
	}, Deps{Inventory: func() *district.Inventory { return inv }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 2)
	go func() { ran <- g.Run(ctx) }()
	srv := httptest.NewServer(g.Handler())
	client, err := link.NewClient(link.ClientOptions{
		URL: srv.URL, Node: "site-1", Token: token, Statuses: nothing{}, Publisher: nothing{},
		Offer: func() []link.Camera {
			var all []link.Camera
			for _, id := range []string{"gate", "yard", "road", "stranger"} {
				all = append(all, link.Camera{ID: id, Profiles: []media.Profile{media.Main}})
			}
			return all
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() { ran <- client.Run(ctx) }()
	for deadline := time.Now().Add(20 * time.Second); !client.Up(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the node is not let in")
		}
	}
	for camera, want := range map[string]bool{"gate": false, "yard": true, "road": true, "stranger": false} {
		if _, known, _ := g.hub.NodeOf(link.Key{Camera: camera, Profile: media.Main}); known != want {
			t.Errorf("node site-1 speaks for %s: %v, want %v", camera, known, want)
		}
	}
	// Its address is never short of places at the RTSP port, which strangers may crowd.
	for from, want := range map[string]bool{"127.0.0.1": true, "127.0.0.2": false} {
		if got := g.hub.Linked(netip.MustParseAddr(from)); got != want {
			t.Errorf("a node is linked from %s: %v, want %v", from, got, want)
		}
	}
	cancel()
	for range 2 {
		if err := <-ran; err != nil {
			t.Error(err)
		}
	}
	srv.Close()
	if g.hub.Linked(netip.MustParseAddr("127.0.0.1")) {
		t.Error("the address of a node that has gone stays trusted")
	}
}
