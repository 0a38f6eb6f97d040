package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"skein/config/secret"
	"skein/edge/link"
	"skein/edge/media"
	"skein/gateway/access"
	"skein/gateway/api"
)

type nothing struct{ health }

func (nothing) Start(string, media.Profile, link.Target) {}
func (nothing) Stop(string, media.Profile)               {}

// The control link passes the guard over a real socket, with the node's token and no other.
func TestLinkThroughTheGuard(t *testing.T) {
	t.Parallel()
	hub := link.NewHub(link.HubOptions{Node: func(r *http.Request) (string, bool) {
		p, ok := access.FromContext(r.Context())
		return p.Name, ok && p.May(access.NodeLink)
	}})
	g := newGateway(t, func(_ *gateway, o *api.Options) { o.Link = hub; o.Health = hub })
	srv := httptest.NewServer(g.Handler())
	defer srv.Close()
	ctx, cancel := context.WithCancel(t.Context())
	hubDone := make(chan error, 1)
	go func() { hubDone <- hub.Run(ctx) }()
	dial := func(who string) (*link.Client, chan error) {
		c, err := link.NewClient(link.ClientOptions{
			URL: srv.URL, Node: "edge-1", Token: secret.New(token(who)),
			Offer: func() []link.Camera {
				return []link.Camera{{ID: "cam0", Profiles: []media.Profile{media.Main, media.Sub}}}
			},
			Statuses: nothing{states()}, Publisher: nothing{}, RetryMin: time.Hour, RetryMax: time.Hour,
		})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		return c, done
	}
	_, wrong := dial("admin")
	right, done := dial("node")
	deadline := time.After(15 * time.Second)
	for {
		l := decode[cameraList](t, g.do(t, "admin", "GET", "/v1/cameras", ""))
		if l.Cameras[0].State == "live" {
			break
		}
		select {
		case <-deadline:
			t.Fatalf("cam0 is %s, link up %v", l.Cameras[0].State, right.Up())
		case <-time.After(10 * time.Millisecond):
		}
	}
	if n := hub.Nodes(); len(n) != 1 || n[0].ID != "edge-1" {
		t.Errorf("nodes %+v", n)
	}
	cancel()
	<-wrong
	<-done
	<-hubDone
}
