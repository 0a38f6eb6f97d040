package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"skein/bench/sim"
	"skein/bench/yanfeng"
	"skein/config"
	"skein/edge/media"
	"skein/edge/spool"
	"skein/recorder/segment"
)

// past is the day of footage that a demonstration begins with: of one street and one hall, a picture a second, with a
// gap of every cause. It is recorded by the spool like any other, so its chain is whole and can be verified.
type past struct {
	camera  string
	profile media.Profile
	source  *sim.Source
	desc    *media.Description
	gaps    []pastGap
	until   time.Time       // about when it ends: gaps are placed before
	made    func(time.Time) // told how far it is; may be nil

	seq   uint64
	batch int
	epoch uint32
	base  int64 // PTS of the first picture
	cause segment.Cause
	began time.Time // with Go's monotonic reading
}

// pastGap is when, before the end, nothing was recorded, and why.
type pastGap struct {
	before, lasts time.Duration
	cause         segment.Cause
}

// pastGaps has one of every cause that a spool can tell.
func pastGaps() []pastGap {
	return []pastGap{
		{22 * time.Hour, 40 * time.Minute, segment.CausePlanned},
		{19 * time.Hour, 12 * time.Minute, segment.CauseCameraOff},
		{15 * time.Hour, 5 * time.Minute, segment.CauseNetwork},
		{12 * time.Hour, 20 * time.Minute, segment.CausePrivacy},
		{9 * time.Hour, 8 * time.Minute, segment.CauseEdgeDown},
		{6 * time.Hour, 6 * time.Minute, segment.CauseSpoolFull},
		{3 * time.Hour, 2 * time.Minute, segment.CauseClock},
		{90 * time.Minute, time.Minute, segment.CauseConfig},
	}
}

// pastBatch is how many pictures are recorded before the disk is given time to follow.
const pastBatch = 4000

// TryNext implements spool.Source.
func (p *past) TryNext() (*media.AccessUnit, bool) {
	if p.batch++; p.batch > pastBatch {
		p.batch = 0
		return nil, false
	}
	u, err := p.next()
	return u, err == nil
}

// Next implements spool.Source.
func (p *past) Next(context.Context) (*media.AccessUnit, error) { return p.next() }

func (p *past) next() (*media.AccessUnit, error) {
	u := p.source.Next()
	for _, g := range p.gaps {
		from := p.until.Add(-g.before)
		if u.Wall.Before(from) || !u.Wall.Before(from.Add(g.lasts)) {
			continue
		}
		p.source.Skip(from.Add(g.lasts))
		u = p.source.Next()
		p.cause = g.cause
		p.epoch++
		p.base = u.PTS
	}
	if !u.Wall.Before(time.Now()) {
		return nil, io.EOF // where the live pictures go on
	}
	if p.seq == 0 {
		p.base = u.PTS
	}
	p.seq++
	if u.Key && p.made != nil {
		p.made(u.Wall)
	}
	return &media.AccessUnit{
		Seq: p.seq, Desc: p.desc, Epoch: p.epoch, PTS: u.PTS - p.base, Wall: u.Wall, Key: u.Key, NALUs: u.NALUs,
		Arrival: p.began.Add(u.Wall.Sub(p.until)),
	}, nil
}

// hasPast tells which cameras have one.
func hasPast(camera string) bool { return camera == "cam-02" || camera == "term-01" }

// pasts are the cameras with a past, and what they look like in it.
func pasts(until time.Time) ([]*past, error) {
	var out []*past
	for _, c := range []struct {
		id, name string
		profile  media.Profile
		video    sim.Video
	}{
		{"cam-02", "回雁峰公园南门", media.Sub, yanfeng.Street(1, 60, 5000)},
		{"term-01", "雁峰社区", media.Main, yanfeng.Hall(1, 60, 5000)},
	} {
		src, err := sim.NewSource(sim.Camera{ID: c.id, Name: c.name, Video: c.video}, media.Main, until.Add(-24*time.Hour))
		if err != nil {
			return nil, fmt.Errorf("past of %s: %w", c.id, err)
		}
		sets := src.ParameterSets()
		out = append(out, &past{
			camera: c.id, profile: c.profile, source: src, gaps: pastGaps(), until: until, began: time.Now(),
			desc: &media.Description{Tracks: []media.Track{{
				Codec: media.H264, ClockRate: 90000, SPS: sets[0], PPS: sets[1],
				Width: c.video.Width, Height: c.video.Height, FPS: float64(c.video.FPS),
			}}},
		})
	}
	return out, nil
}

// makePast records the past of a demonstration that begins for the first time, into the spool from which the archive
// takes it over. It prints how far it is.
func (c demoCommand) makePast(ctx context.Context, cfg *config.Config) error {
	done := filepath.Join(c.Data, "past-made")
	if _, err := os.Stat(done); err == nil {
		return nil
	}
	if _, err := os.Stat(cfg.Spool.Dir); err == nil {
		return os.WriteFile(done, nil, 0o640) // a demonstration that has recorded already has a past of its own
	}
	until := time.Now().UTC().Truncate(time.Minute)
	list, err := pasts(until)
	if err != nil {
		return err
	}
	why := map[string]*past{}
	for _, p := range list {
		why[p.camera] = p
	}
	sp, err := spool.Open(cfg.Spool, spool.Deps{GapCause: func(camera string) segment.Cause { return why[camera].cause }})
	if err != nil {
		return fmt.Errorf("past of the demonstration: %w", err)
	}
	began := time.Now()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return sp.Run(ctx) })
	var records errgroup.Group
	shown, terminal := -1, isTerminal(os.Stdout)
	list[0].made = func(at time.Time) { // the others are about as far
		if n := 100 - int(until.Sub(at).Hours()/24*100); terminal && n > shown {
			shown = n
			fmt.Printf("\r  making a day of footage of %d cameras, once: %3d %%", len(list), n)
		}
	}
	for _, p := range list {
		records.Go(func() error {
			if err := sp.RecordFrom(ctx, p.camera, p.profile, p); !errors.Is(err, io.EOF) {
				return fmt.Errorf("past of %s: %w", p.camera, err)
			}
			return nil
		})
	}
	err = records.Wait()
	stop()
	if err := errors.Join(err, group.Wait(), sp.Close()); err != nil {
		return err
	}
	if terminal {
		fmt.Print("\r")
	}
	fmt.Printf("  made a day of footage of %d cameras in %.0f s             \n", len(list), time.Since(began).Seconds())
	return os.WriteFile(done, nil, 0o640)
}
