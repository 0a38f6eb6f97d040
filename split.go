package main

import (
	"context"
	"fmt"
	"net/http"

	"skein/config/district"
	"skein/edge"
	"skein/edge/link"
	"skein/edge/media"
	"skein/edge/spool"
	"skein/gateway"
)

// edgeCommand runs the edge role alone: it dials the gateway's link and ships to the recorder.
type edgeCommand struct{ withConfig }

// Run runs the role until interrupted.
func (c edgeCommand) Run(ctx context.Context) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	if cfg.Link.Gateway == "" || len(cfg.Recorder.URLs) == 0 {
		return fmt.Errorf("%s: the edge role needs link (gateway, node, token) and recorder (urls, token)", c.Config)
	}
	p := newProcess(ctx, cfg)
	release, err := p.claim(false, addresses(cfg, false))
	if err != nil {
		return err
	}
	defer release()
	p.holdsPictures()
	e, err := openEdge(p, &spool.HTTPShipper{URLs: cfg.Recorder.URLs, Token: cfg.Recorder.Token.Reveal()})
	if err != nil {
		return err
	}
	defer e.close()
	client, pub, err := newLink(p, e)
	if err != nil {
		return err
	}
	inv := newInventory(p)
	inv.watch(pulled(cfg.Link.Node), func(cams []district.Camera) {
		e.role.Apply(cams)
		client.OfferChanged()
	})
	p.task("spool", e.spool.Run)
	p.task("edge", e.role.Run)
	p.task("inventory", inv.run)
	p.task("publisher", pub.Run)
	p.task("link", client.Run)
	return p.probes()
}

// newLink builds the edge's end of the control link and what publishes for it.
func newLink(p *process, e *edgeRole) (*link.Client, *edge.Publisher, error) {
	log := p.log.With("role", "edge")
	role := e.role
	pub := edge.NewPublisher(role, log)
	client, err := link.NewClient(link.ClientOptions{
		URL: p.cfg.Link.Gateway, Node: p.cfg.Link.Node, Token: p.cfg.Link.Token, Software: version,
		Offer: func() []link.Camera { return offer(role) }, Statuses: role, Publisher: pub, Logger: log,
		Hurry: e.spool.Hurry,
	})
	if err != nil {
		return nil, nil, err
	}
	pub.OnFailure(client.Failed)
	return client, pub, nil
}

// offer lists the edge's cameras for the gateway: ids and profiles, no addresses.
func offer(role *edge.Edge) []link.Camera {
	var out []link.Camera
	for _, c := range role.Cameras() {
		cam := link.Camera{ID: c.ID}
		for _, p := range []media.Profile{media.Main, media.Sub} {
			if _, ok := c.Profiles[string(p)]; ok {
				cam.Profiles = append(cam.Profiles, p)
			}
		}
		out = append(out, cam)
	}
	return out
}

// gatewayCommand runs the gateway role alone: cameras come over links or publish themselves, footage comes from
// recorders.
type gatewayCommand struct{ withConfig }

// Run runs the role until interrupted.
func (c gatewayCommand) Run(ctx context.Context) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	p := newProcess(ctx, cfg)
	release, err := p.claim(false, addresses(cfg, true))
	if err != nil {
		return err
	}
	defer release()
	p.holdsPictures()
	archive, err := archiveProxy(cfg)
	if err != nil {
		return err
	}
	inv := newInventory(p)
	pub, err := newPublished(p)
	if err != nil {
		return err
	}
	defer pub.close()
	gw, err := gateway.New(gateway.Config{
		DataDir: cfg.DataDir, WebRTC: cfg.WebRTC, RTSP: cfg.RTSP, Access: cfg.Access,
	}, gateway.Deps{
		Inventory: inv.current, Local: pub.role, Hurry: pub.hurry, Archive: archive, Ready: p.readiness(),
		Metrics: p.reg, Registry: p.reg, Log: p.log.With("role", "gateway"), Version: version,
	})
	if err != nil {
		return err
	}
	l, err := p.listen()
	if err != nil {
		return err
	}
	inv.watch(published(), pub.apply)
	inv.changed = append(inv.changed, gw.InventoryChanged)
	p.task("inventory", inv.run)
	p.task("gateway", gw.Run)
	p.serve("http", l, gw.Handler())
	if err := announce(p.ctx, p, gw); err != nil {
		p.task("announce", func(context.Context) error { return err })
	}
	return p.wait()
}

// recorderCommand runs the recorder role alone.
type recorderCommand struct{ withConfig }

// Run runs the role until interrupted.
func (c recorderCommand) Run(ctx context.Context) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	if len(cfg.Access.Nodes) == 0 {
		return fmt.Errorf("%s: the recorder role needs access.nodes: nobody could ship to it", c.Config)
	}
	p := newProcess(ctx, cfg)
	release, err := p.claim(false, addresses(cfg, false))
	if err != nil {
		return err
	}
	defer release()
	inv := newInventory(p)
	if len(inv.current().Sources()) == 0 {
		p.log.Warn("the recorder has no inventory: each camera belongs to the node that ships it first, and no other can "+
			"ship it; give the recorder the inventory that edges and gateway have", "key", "cameras or inventory")
	}
	rec, err := openRecorder(p, inv)
	if err != nil {
		return err
	}
	defer rec.close()
	l, err := p.listen()
	if err != nil {
		return err
	}
	rec.start(p)
	p.task("inventory", inv.run)
	p.serve("http", l, rec.handler())
	return p.wait()
}

// probes serves /healthz and /readyz on the process's address, for roles without an HTTP surface of their own.
func (p *process) probes() error {
	l, err := p.listen()
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	health(mux, p.readiness())
	p.serve("http", l, mux)
	return p.wait()
}

func health(mux *http.ServeMux, ready func(context.Context) error) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := ready(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ready\n"))
	})
}
