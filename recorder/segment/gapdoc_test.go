package segment_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"skein/recorder/segment"
)

func noon() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

func seconds(from, to int) segment.Range {
	return segment.Range{
		From: noon().Add(time.Duration(from) * time.Second), To: noon().Add(time.Duration(to) * time.Second),
	}
}

func gap(from, to int, c segment.Cause) segment.Gap {
	return segment.Gap{Range: seconds(from, to), Cause: c}
}

func TestRefine(t *testing.T) {
	t.Parallel()
	lost := &segment.Lost{First: 1, Last: 1, SHA256: segment.Hash{1}}
	for _, c := range []struct {
		name  string
		docs  []segment.GapDoc
		spans []segment.Range
		gaps  []segment.Gap
	}{
		{"nothing known", nil, []segment.Range{seconds(0, 50)}, []segment.Gap{gap(50, 100, "unknown")}},
		{"a part is lost", []segment.GapDoc{{Gap: gap(60, 70, "spool_full"), Lost: lost}}, []segment.Range{seconds(0, 50)},
			[]segment.Gap{gap(50, 60, "unknown"), gap(60, 70, "spool_full"), gap(70, 100, "unknown")}},
		{"lost, but there", []segment.GapDoc{{Gap: gap(10, 20, "spool_full"), Lost: lost}}, []segment.Range{seconds(0, 50)},
			[]segment.Gap{gap(50, 100, "unknown")}},
		{"silence inside", []segment.GapDoc{{Gap: gap(10, 20, "network"), Inside: true}},
			[]segment.Range{seconds(0, 10), seconds(20, 50)},
			[]segment.Gap{gap(10, 20, "network"), gap(50, 100, "unknown")}},
		{"off right now", []segment.GapDoc{{Gap: gap(50, 60, "camera_off"), Due: noon().Add(120 * time.Second)}},
			[]segment.Range{seconds(0, 50)}, []segment.Gap{gap(50, 100, "camera_off")}},
		{"the edge is silent too", []segment.GapDoc{{Gap: gap(50, 55, "camera_off"), Due: noon().Add(60 * time.Second)}},
			[]segment.Range{seconds(0, 50)}, []segment.Gap{gap(50, 90, "camera_off"), gap(90, 100, "unknown")}},
		{"lost over off", []segment.GapDoc{
			{Gap: gap(40, 100, "camera_off")}, {Gap: gap(50, 70, "spool_full"), Lost: lost},
		}, []segment.Range{seconds(0, 50)}, []segment.Gap{gap(50, 70, "spool_full"), gap(70, 100, "camera_off")}},
	} {
		spans, gaps := segment.Refine([]segment.Range{seconds(0, 50)}, []segment.Gap{gap(50, 100, "unknown")}, c.docs)
		if !slices.Equal(spans, c.spans) || !slices.Equal(gaps, c.gaps) {
			t.Errorf("%s: spans %v, gaps %v", c.name, spans, gaps)
		}
	}
}

// Whatever the documents say, spans and gaps add up to the asked range, in order, without overlap.
func TestRefineAddsUp(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	causes := segment.Causes()
	for range 3000 {
		var records []segment.Record
		for at := 0; at < 1000; {
			at += r.IntN(100)
			d := 1 + r.IntN(80)
			records = append(records, segment.Record{
				Start: seconds(at, at).From, Duration: time.Duration(d) * time.Second, Gap: causes[r.IntN(len(causes))],
			})
			at += d
		}
		within := seconds(100, 900)
		spans, gaps := segment.Coverage(records, within, segment.CauseUnknown)
		var docs []segment.GapDoc
		for range r.IntN(10) {
			at := r.IntN(900)
			d := segment.GapDoc{Gap: gap(at, at+r.IntN(200), causes[r.IntN(len(causes))]), Inside: r.IntN(3) == 0}
			if r.IntN(3) == 0 {
				d.Due = d.To.Add(time.Minute)
			}
			docs = append(docs, d)
		}
		spans, gaps = segment.Refine(spans, gaps, docs)
		all := slices.Clone(spans)
		for _, g := range gaps {
			all = append(all, g.Range)
		}
		slices.SortFunc(all, func(a, b segment.Range) int { return a.From.Compare(b.From) })
		at := within.From
		for _, p := range all {
			if !p.From.Equal(at) || !p.From.Before(p.To) {
				t.Fatalf("%v after %v", p, at)
			}
			at = p.To
		}
		if !at.Equal(within.To) {
			t.Fatalf("ends at %v", at)
		}
	}
}

func TestGapDocValidate(t *testing.T) {
	t.Parallel()
	good := segment.GapDoc{Camera: "cam", Gap: gap(0, 10, "network")}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(d *segment.GapDoc){
		"camera":   func(d *segment.GapDoc) { d.Camera = "../x" },
		"reversed": func(d *segment.GapDoc) { d.To = d.From.Add(-1) },
		"endless":  func(d *segment.GapDoc) { d.To = d.From.AddDate(20, 0, 0) },
		"due":      func(d *segment.GapDoc) { d.Due = d.To.AddDate(1, 0, 0) },
		"cause":    func(d *segment.GapDoc) { d.Cause = "bad weather" },
		"lost":     func(d *segment.GapDoc) { d.Lost = &segment.Lost{First: 2, Last: 1} },
	} {
		d := good
		spoil(&d)
		if d.Validate() == nil {
			t.Errorf("%s: accepted %+v", name, d)
		}
	}
}

// What is known about unknown gaps splits them; other causes stay.
func TestExplain(t *testing.T) {
	t.Parallel()
	gaps := []segment.Gap{gap(0, 40, "unknown"), gap(40, 50, "network"), gap(60, 90, "unknown")}
	for _, c := range []struct {
		from, to int
		want     []segment.Gap
	}{
		{100, 200, gaps},
		{10, 10, gaps},
		{-50, 20, []segment.Gap{
			gap(0, 20, "not_yet_in_use"), gap(20, 40, "unknown"), gap(40, 50, "network"), gap(60, 90, "unknown"),
		}},
		{30, 70, []segment.Gap{
			gap(0, 30, "unknown"), gap(30, 40, "not_yet_in_use"), gap(40, 50, "network"), gap(60, 70, "not_yet_in_use"),
			gap(70, 90, "unknown"),
		}},
		{-1, 99, []segment.Gap{gap(0, 40, "not_yet_in_use"), gap(40, 50, "network"), gap(60, 90, "not_yet_in_use")}},
	} {
		got := segment.Explain(gaps, segment.Gap{Range: seconds(c.from, c.to), Cause: segment.CauseNotInUse})
		if !slices.Equal(got, c.want) {
			t.Errorf("%d to %d: %v", c.from, c.to, got)
		}
	}
}

// No edge may claim what only the archive or a gateway can know.
func TestDerivedCausesAreNotForEdges(t *testing.T) {
	t.Parallel()
	for _, c := range []segment.Cause{segment.CauseNotInUse, segment.CauseNotStored, segment.CauseDeleted} {
		if d := (segment.GapDoc{Camera: "cam", Gap: gap(0, 10, c)}); d.Validate() == nil {
			t.Errorf("accepted %+v", d)
		}
	}
}
