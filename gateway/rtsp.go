package gateway

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"skein/edge/link"
	"skein/edge/media"
	"skein/edge/rtsp"
	"skein/edge/stream"
	"skein/gateway/access"
)

// newRTSP builds the RTSP server: edges publish to /live/<camera>/<profile> with the one-time token of the link;
// cameras that push, and players, use /<camera>/<profile> with a user's or a token's credentials.
func (g *Gateway) newRTSP() (*rtsp.Server, error) {
	udp, players := g.cfg.RTSP.udp()
	return rtsp.NewServer(rtsp.ServerConfig{
		Listen: g.cfg.RTSP.Listen, UDP: udp, PublishTCP: players, Logger: g.log,
		Auth: g.rtspAuth, OnPublish: g.rtspPublish, OnPlay: g.rtspPlay, Trusted: g.hub.Linked,
	})
}

// rtspHint is the address nodes are told to publish to; the host is the one they dialled unless ours is a fixed one.
func (g *Gateway) rtspHint() string {
	host, port, err := net.SplitHostPort(g.cfg.RTSP.Listen)
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = ""
	}
	return "rtsp://" + net.JoinHostPort(host, port)
}

// rtspAuth lets nodes publish what was asked of them, and others do what their role and scope allow, for as long as
// they do.
func (g *Gateway) rtspAuth(ctx context.Context, r rtsp.Request) (still func() bool, err error) {
	if _, ok := link.ParsePath(r.Path); ok && r.Action == rtsp.ActionPublish {
		if want, ok := g.remote.Password(r.Path, r.User); ok && r.Verify(r.User, want) {
			return nil, nil
		}
		return nil, rtsp.ErrUnauthorized
	}
	since := time.Now()
	p, err := g.rtspPrincipal(ctx, r)
	if err != nil {
		return nil, err
	}
	camera, profile, ok := parsePath(r.Path)
	if !ok {
		return nil, rtsp.ErrNotFound
	}
	act, row := access.WatchLive, access.ActView
	if r.Action == rtsp.ActionPublish {
		act, row = access.PushMedia, access.ActPublish
	}
	if !g.api.May(p, act, camera) {
		return nil, rtsp.ErrNotFound // as if it did not exist: out of scope and unknown must look alike
	}
	recorded, err := g.api.Opened(p, row, camera, string(profile), r.Remote.Addr().String(), "rtsp")
	if err != nil {
		return nil, &rtsp.Refusal{Err: rtsp.ErrUnavailable, Reason: "the audit log cannot be written"}
	}
	return func() bool {
		now, ok := g.access.Account(p, since)
		return ok && g.api.May(now, act, camera) && recorded()
	}, nil
}

// rtspPrincipal authenticates a token's name with the token as password (digest or basic), or a user (basic only: of a
// user's password only a hash is kept).
func (g *Gateway) rtspPrincipal(ctx context.Context, r rtsp.Request) (access.Principal, error) {
	if r.User == "" {
		return access.Principal{}, rtsp.ErrUnauthorized
	}
	for _, t := range g.cfg.Access.Tokens {
		if t.Name == r.User && r.Verify(t.Name, t.Token.Reveal()) {
			return g.access.CheckToken(t.Token.Reveal())
		}
	}
	if r.HasPassword {
		p, err := g.access.CheckPassword(ctx, r.User, r.Password, r.Remote.Addr().String())
		if err == nil {
			return p, nil
		}
	}
	return access.Principal{}, rtsp.ErrUnauthorized
}

func (g *Gateway) rtspPublish(_ context.Context, r rtsp.Request) (rtsp.Publication, error) {
	if _, ok := link.ParsePath(r.Path); ok {
		a, err := g.remote.Accept(r.Path, r.User)
		if err != nil {
			return rtsp.Publication{}, fmt.Errorf("%w: %w", rtsp.ErrForbidden, err)
		}
		return rtsp.Publication{Sink: a.Stream, Epochs: a.Epochs, TrustClock: true, Done: a.Done}, nil
	}
	camera, profile, ok := parsePath(r.Path)
	if !ok {
		return rtsp.Publication{}, rtsp.ErrNotFound
	}
	return g.accept(camera, profile)
}

func (g *Gateway) rtspPlay(ctx context.Context, r rtsp.Request) (*stream.Stream, func(), error) {
	camera, profile, ok := parsePath(r.Path)
	if !ok {
		return nil, nil, rtsp.ErrNotFound
	}
	s, release, err := g.Open(ctx, camera, profile)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", rtsp.ErrNotFound, err)
	}
	return s, release, nil
}

// parsePath reads <camera>/<profile>; the profile may be left out and is main then.
func parsePath(path string) (camera string, p media.Profile, ok bool) {
	camera, profile, has := strings.Cut(strings.Trim(path, "/"), "/")
	if !has {
		profile = string(media.Main)
	}
	p = media.Profile(profile)
	return camera, p, camera != "" && p.Valid()
}
