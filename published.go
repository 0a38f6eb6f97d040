package main

import (
	"context"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"skein/config/district"
	"skein/edge"
	"skein/edge/spool"
)

// publishedFolder lies in the spool's folder, so that a gateway and an edge of one machine may share data_dir.
const publishedFolder = "published"

// noRecorder is why a gateway without the section records nothing of what is published to it.
const noRecorder = "nothing of what is published is recorded: the gateway's configuration has no section recorder"

// publishedRole is the gateway's own small edge, for the cameras that publish to it. It costs nothing until there is
// one, or footage of one that was not shipped.
type publishedRole struct {
	p     *process
	role  *edge.Edge
	spool *lateSpool

	supervise, record sync.Once // the tasks that are needed
}

// newPublished builds the role; it starts nothing.
func newPublished(p *process) (*publishedRole, error) {
	log := p.log.With("role", "gateway")
	cfg := p.cfg.Spool
	cfg.Dir = filepath.Join(cfg.Dir, publishedFolder)
	var role atomic.Pointer[edge.Edge]
	shipper := &spool.HTTPShipper{URLs: p.cfg.Recorder.URLs, Token: p.cfg.Recorder.Token.Reveal()}
	r := &publishedRole{p: p, spool: newLateSpool(cfg, spoolDeps(p, log, shipper, &role))}
	if !r.ships() {
		r.spool.refuse(noRecorder)
	}
	var err error
	r.role, err = edge.New(p.cfg.Pull, edge.Deps{Spool: r.spool, Log: log, Registry: p.reg})
	role.Store(r.role)
	return r, err
}

func (r *publishedRole) ships() bool { return len(r.p.cfg.Recorder.URLs) > 0 }

// apply makes cams the cameras that publish here, and starts what they need.
func (r *publishedRole) apply(cams []district.Camera) {
	var recorded []string
	for _, c := range cams {
		if c.Record != "" && c.Record != district.RecordNone {
			recorded = append(recorded, c.ID)
		}
	}
	switch left := spool.Left(r.spool.cfg.Dir); {
	case r.ships() && (left || len(recorded) > 0):
		r.record.Do(func() { r.p.task("spool", r.spool.Run) })
	case left || len(recorded) > 0:
		r.p.log.Error(noRecorder, "role", "gateway", "cameras", recorded, "unshipped_footage", left)
	}
	if len(cams) > 0 {
		r.supervise.Do(func() { r.p.task("edge", r.role.Run) })
	}
	r.role.Apply(cams)
}

// hurry brings a camera's newest footage into the archive, if that can be done before ctx ends.
func (r *publishedRole) hurry(ctx context.Context, camera string, until time.Time) {
	_ = r.spool.Hurry(ctx, camera, until) // what is not there in time is not in the clip, and the clip says so
}

// close gives the spool back after all tasks have ended.
func (r *publishedRole) close() { r.spool.close() }
