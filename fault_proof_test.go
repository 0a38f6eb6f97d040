package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"skein/bench/sim"
	"skein/config"
	"skein/edge/media"
	"skein/internal/caller"
	"skein/recorder/fmp4"
	"skein/recorder/segment"
	"skein/recorder/store"
)

const (
	// A kill of the edge may take with it what is on its way into a file: a fragment in the making, at most half a second,
	// and what waits for the next look, a quarter. The rest is for a busy machine.
	cutOffPictures = 25
	// A kill while a session begins may take all of it: an edge that has just started opens all cameras and their files
	// at once, and a busy machine lets it wait.
	cutOffBeginning = 50
	// Wall times of the archive and of the camera differ by what the way and a busy machine take.
	wallSlack = 1500 * time.Millisecond
)

// proof is what the count of pictures came to.
type proof struct {
	sent, archived, doubled int
	cutOff                  int // lost with the memory of a killed edge
	shed                    int // given up by a full spool, in a typed gap
	missing                 int // anything else
	worst                   int // most pictures of one camera that one kill cut off
	segments, gaps          int
	late                    time.Duration // the largest error of a picture's time
}

func (p proof) String() string {
	return fmt.Sprintf("%d frames sent, %d archived in %d segments, %d doubled, %d missing; beside these %d cut off by kills "+
		"of the edge (at most %d of a camera by one) and %d shed by a full spool, all in typed gaps (%d gaps); "+
		"largest error of time %v",
		p.sent, p.archived, p.segments, p.doubled, p.missing, p.cutOff, p.worst, p.shed, p.gaps,
		p.late.Round(time.Millisecond))
}

// stored is a picture of the archive.
type stored struct {
	times int
	key   string
}

// prove reads the whole archive and compares it with what was delivered.
func (r *faultRig) prove() proof {
	cfg, err := config.Load(r.nodes["direct"].file)
	if err != nil {
		r.t.Fatal(err)
	}
	st, err := store.Open(cfg.Store, store.Options{})
	if err != nil {
		r.t.Fatal(err)
	}
	defer st.Close()
	var p proof
	for _, id := range r.cams {
		have := r.read(st, id, &p)
		gaps := r.gaps(id)
		p.gaps += len(gaps)
		r.compare(id, have, gaps, &p)
	}
	if p.missing > 0 || p.doubled > 0 {
		r.t.Errorf("%d frames are missing, %d doubled", p.missing, p.doubled)
	}
	if p.late > wallSlack {
		r.t.Errorf("a picture is %v from its time", p.late)
	}
	return p
}

// read counts every picture of the camera in the archive.
func (r *faultRig) read(st store.Archive, camera string, p *proof) map[uint64]stored {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	have := map[uint64]stored{}
	for e, err := range st.List(ctx, segment.KeyPrefix+camera+"/") {
		if err != nil {
			r.t.Fatal(err)
		}
		o, err := st.Open(ctx, e.Shard, e.Key)
		if err != nil {
			r.t.Fatal(err)
		}
		body, err := o.Stream(0, o.Size())
		if err != nil {
			r.t.Fatal(err)
		}
		data, err := io.ReadAll(body)
		if err != nil {
			r.t.Fatal(err)
		}
		_, _ = body.Close(), o.Close()
		p.segments++
		for _, f := range picturesOf(r.t.Fatalf, e.Key, data) {
			s := have[f.mark.Frame]
			if s.times++; s.times > 1 {
				p.doubled++
				r.t.Errorf("%s: frame %d is in %s and in %s", camera, f.mark.Frame, s.key, e.Key)
			}
			s.key = e.Key
			have[f.mark.Frame] = s
			p.late = max(p.late, f.at.Sub(f.mark.Wall).Abs())
		}
	}
	p.archived += len(have)
	return have
}

// picture is one picture of a segment and the time at which the segment shows it.
type picture struct {
	mark sim.Mark
	at   time.Time
}

func picturesOf(fatal func(string, ...any), key string, data []byte) []picture {
	x, _, err := fmp4.Scan(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		fatal("%s: %v", key, err)
	}
	var out []picture
	for _, f := range x.Fragments {
		for _, run := range f.Runs {
			at, dts := run.Offset, run.DTS
			for _, s := range run.Samples {
				m, ok := markOf(data[at : at+int64(s.Size)])
				if !ok {
					fatal("%s: a picture without a number", key)
				}
				out = append(out, picture{m, x.Time(run.Track, dts+int64(s.Shift))})
				at, dts = at+int64(s.Size), dts+int64(s.Duration)
			}
		}
	}
	return out
}

// markOf finds the mark among the NAL units of a sample.
func markOf(sample []byte) (sim.Mark, bool) {
	for len(sample) > 4 {
		n := binary.BigEndian.Uint32(sample)
		if uint64(n) > uint64(len(sample)-4) {
			break
		}
		if m, ok := sim.ParseSEI(sample[4:4+n], media.H264); ok {
			return m, true
		}
		sample = sample[4+n:]
	}
	return sim.Mark{}, false
}

// gaps asks the recorder for the camera's gaps, which must add up with the spans.
func (r *faultRig) gaps(camera string) []segment.Gap {
	from, to := r.began, time.Now()
	req, err := http.NewRequest(http.MethodGet,
		"http://"+r.nodes["recorder"].http+"/v1/coverage?"+rangeQuery(from, to, "camera", camera), http.NoBody)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+faultGateway)
	req.Header.Set(caller.Header, caller.Person{Name: "chief"}.Encode())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	var c struct {
		Cameras []struct {
			Spans []segment.Range
			Gaps  []segment.Gap
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&c); err != nil || len(c.Cameras) != 1 {
		r.t.Fatalf("coverage of %s: %s, %v", camera, resp.Status, err)
	}
	var sum time.Duration
	for _, s := range c.Cameras[0].Spans {
		sum += s.Duration()
	}
	for _, g := range c.Cameras[0].Gaps {
		sum += g.Duration()
	}
	if want := to.Sub(from); (sum - want).Abs() > time.Millisecond {
		r.t.Errorf("%s: spans and gaps are %v, asked for %v", camera, sum, want)
	}
	return c.Cameras[0].Gaps
}

// compare judges every picture that was handed to the edge.
func (r *faultRig) compare(camera string, have map[uint64]stored, gaps []segment.Gap, p *proof) {
	kills, _, _ := r.edge.report()
	for _, s := range r.ledger.of(camera) {
		p.sent += len(s.frames)
		killed := slices.ContainsFunc(kills, func(at time.Time) bool { return s.ended.Sub(at).Abs() < 2*time.Second })
		tail := len(s.frames) // the pictures from here on are all missing
		for tail > 0 && have[s.frames[tail-1].Frame].times == 0 {
			tail--
		}
		bearable := cutOffPictures
		if tail == 0 {
			bearable = cutOffBeginning
		}
		for i, m := range s.frames {
			if have[m.Frame].times > 0 {
				continue
			}
			cause := causeAt(gaps, m.Wall)
			switch {
			case cause == segment.CauseSpoolFull:
				p.shed++
			case killed && i >= tail && len(s.frames)-tail <= bearable && cause == segment.CauseEdgeDown:
				p.cutOff++
				p.worst = max(p.worst, len(s.frames)-tail)
			default:
				p.missing++
				r.t.Errorf("%s: frame %d (%d of %d, missing from %d on, edge killed: %v) is not in the archive, gap: %q",
					camera, m.Frame, i, len(s.frames), tail, killed, cause)
			}
		}
	}
}

// causeAt returns the cause of the gap in which a moment lies, "" if it lies in none.
func causeAt(gaps []segment.Gap, at time.Time) segment.Cause {
	best, near := segment.Cause(""), wallSlack
	for _, g := range gaps {
		var d time.Duration
		switch {
		case at.Before(g.From):
			d = g.From.Sub(at)
		case at.After(g.To):
			d = at.Sub(g.To)
		}
		if d < near {
			best, near = g.Cause, d
		}
	}
	return best
}
