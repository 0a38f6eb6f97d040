package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"skein/edge"
	"skein/edge/spool"
	"skein/gateway"
	"skein/recorder/segment"
)

// allCommand runs edge, recorder and gateway in one process, joined by an in-process hub.
type allCommand struct{ withConfig }

// Run runs all roles until interrupted.
func (c allCommand) Run(ctx context.Context) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	p := newProcess(ctx, cfg)
	release, err := p.claim(true, addresses(cfg, true))
	if err != nil {
		return err
	}
	defer release()
	return runAll(p, announce)
}

// runAll runs all roles in a data folder that is claimed. announce tells people how to log in when everything is up.
func runAll(p *process, announce func(context.Context, *process, *gateway.Gateway) error) error {
	cfg := p.cfg
	p.holdsPictures()
	inv := newInventory(p)
	rec, err := openRecorder(p, inv)
	if err != nil {
		return err
	}
	defer rec.close()
	e, err := openEdge(p, rec.role)
	if err != nil {
		return err
	}
	defer e.close()
	inv.watch(here(cfg.Link.Node), e.role.Apply)
	gw, err := gateway.New(gateway.Config{
		DataDir: cfg.DataDir, WebRTC: cfg.WebRTC, RTSP: cfg.RTSP, Access: cfg.Access,
	}, gateway.Deps{
		Inventory: inv.current, Local: e.role, Hurry: e.hurry,
		Archive: rec.reader(), Ingest: rec.role.Handler(), Ready: p.readiness(rec.ready),
		Metrics: p.reg, Registry: p.reg, Log: p.log.With("role", "gateway"), Version: version,
	})
	if err != nil {
		return err
	}
	l, err := p.listen()
	if err != nil {
		return err
	}
	rec.start(p)
	p.task("spool", e.spool.Run)
	p.task("edge", e.role.Run)
	inv.changed = append(inv.changed, gw.InventoryChanged)
	p.task("inventory", inv.run)
	p.task("gateway", gw.Run)
	p.serve("http", l, gw.Handler())
	if err := announce(p.ctx, p, gw); err != nil {
		p.task("announce", func(context.Context) error { return err })
	}
	return p.wait()
}

// announce creates the user of a first start and prints the password, once, and where to look. It comes last: a start
// that fails before has created nobody, and the next one prints a password again.
func announce(ctx context.Context, p *process, gw *gateway.Gateway) error {
	pw, err := gw.Users().CreateFirst(ctx)
	if err != nil {
		return fmt.Errorf("create the first user: %w", err)
	}
	again := "skein user reset admin --config " + p.cfg.Path()
	if pw != "" {
		_, err := fmt.Printf("\nFirst start: log in as \"admin\" with the password\n\n    %s\n\n"+
			"It is shown only this once; another one makes: %s\n\n", pw, again)
		if err != nil {
			return fmt.Errorf("the password of the first user could not be printed, make another with %q: %w", again, err)
		}
	}
	p.log.Info("console", "url", p.console())
	return nil
}

// console is the address of the console.
func (p *process) console() string {
	if p.cfg.TLS.Cert != "" || p.cfg.TLS.SelfSigned {
		return "https://" + p.cfg.Listen
	}
	return "http://" + p.cfg.Listen
}

// edgeRole is an edge with its spool.
type edgeRole struct {
	role  *edge.Edge
	spool *spool.Spool
	close func()
}

// openEdge builds the edge role; segments go to shipper.
func openEdge(p *process, shipper spool.Shipper) (*edgeRole, error) {
	log := p.log.With("role", "edge")
	r := &edgeRole{}
	var role atomic.Pointer[edge.Edge]
	sp, err := spool.Open(p.cfg.Spool, spoolDeps(p, log, shipper, &role))
	if err != nil {
		return nil, err
	}
	r.spool = sp
	r.close = func() {
		if err := sp.Close(); err != nil {
			log.Error("close the spool", "error", err)
		}
	}
	r.role, err = edge.New(p.cfg.Pull, edge.Deps{Spool: sp, Log: log, Registry: p.reg})
	if err != nil {
		r.close()
		return nil, err
	}
	role.Store(r.role)
	return r, nil
}

// spoolDeps is what a spool needs. It asks the edge that records into it, once that is made, for causes of gaps.
func spoolDeps(p *process, log *slog.Logger, shipper spool.Shipper, role *atomic.Pointer[edge.Edge]) spool.Deps {
	return spool.Deps{
		Shipper: shipper, Log: log, Registry: p.reg, GapCause: func(camera string) segment.Cause {
			if e := role.Load(); e != nil {
				return e.GapCause(camera)
			}
			return segment.CauseEdgeDown
		},
	}
}

// hurry brings a camera's newest footage into the archive, if that can be done before ctx ends.
func (r *edgeRole) hurry(ctx context.Context, camera string, until time.Time) {
	_ = r.spool.Hurry(ctx, camera, until) // what is not there in time is not in the clip, and the clip says so
}
