package evidence

import (
	"cmp"
	"context"
	"slices"
	"time"

	"skein/recorder/segment"
)

// headAhead is how far the clocks of nodes may go before ours: what begins later is no footage yet, whatever it says.
const headAhead = 5 * time.Minute

// head finds the end of the camera's chain: the last segment of its newest day up to which the chain is continuous from
// where the last checkpoint had it. Segments beyond a hole wait for what is missing, unless the edge has given it up.
func (k *Keeper) head(ctx context.Context, camera string) (Head, error) {
	records, day, err := k.newestDay(ctx, camera)
	if err != nil {
		return Head{}, err
	}
	if len(records) == 0 {
		return Head{}, errNoHead
	}
	var from uint64
	if k.last != nil {
		h, _ := k.last.Head(camera)
		from = h.Seq
	}
	runs := runsOf(records)
	at := beginWith(runs, from)
	last := runs[at].last
	if at+1 < len(runs) {
		links, err := gapLinks(ctx, k.Docs, camera, segment.Range{From: day, To: day.AddDate(0, 0, 1)})
		if err != nil {
			return Head{}, err
		}
		for ; at+1 < len(runs) && givenUpBetween(links, last.Seq+1, runs[at+1].first.Seq-1); at++ {
			last = runs[at+1].last
		}
	}
	m, err := k.Manifests.Manifest(ctx, last.Shard, last.Key(camera))
	if err != nil {
		return Head{}, err
	}
	return Head{Camera: camera, Seq: m.Seq, SHA256: m.SHA256}, nil
}

// newestDay returns the records of the newest day that has come; where all footage is of days to come, it is the clock
// that is wrong, and it is not asked.
func (k *Keeper) newestDay(ctx context.Context, camera string) ([]segment.Record, time.Time, error) {
	days, err := k.Index.Days(ctx, camera)
	if err != nil {
		return nil, time.Time{}, err
	}
	now := time.Now()
	if k.Now != nil {
		now = k.Now()
	}
	limit := now.Add(headAhead)
	if len(days) > 0 && days[0].After(limit) {
		limit = days[len(days)-1].AddDate(0, 0, 1)
	}
	for i := len(days) - 1; i >= 0; i-- {
		if days[i].After(limit) {
			continue
		}
		list, err := k.Index.Range(ctx, camera, segment.Range{From: days[i], To: days[i].AddDate(0, 0, 1)})
		if err != nil {
			return nil, time.Time{}, err
		}
		list = slices.DeleteFunc(list, func(r segment.Record) bool { return r.Start.After(limit) })
		if len(list) > 0 {
			return list, days[i], nil
		}
	}
	return nil, time.Time{}, nil
}

// run is a stretch of a chain without a hole.
type run struct {
	first, last segment.Record
	newest      time.Time // start of its latest segment
}

// runsOf returns the runs, ascending. There is at least one record.
func runsOf(records []segment.Record) []run {
	slices.SortStableFunc(records, func(a, b segment.Record) int { return cmp.Compare(a.Seq, b.Seq) })
	runs := []run{{first: records[0], last: records[0], newest: records[0].Start}}
	for _, r := range records[1:] {
		cur := &runs[len(runs)-1]
		if r.Seq > cur.last.Seq+1 {
			runs = append(runs, run{first: r, last: r, newest: r.Start})
			continue
		}
		if r.Seq > cur.last.Seq || r.Start.After(cur.last.Start) { // of two with one number the later: a chain began anew
			cur.last = r
		}
		if r.Start.After(cur.newest) {
			cur.newest = r.Start
		}
	}
	return runs
}

// beginWith returns the run to go on from: the one that reaches number from. A chain that has begun anew since, or one
// that is behind that number, goes on where the newest footage is.
func beginWith(runs []run, from uint64) int {
	newest := 0
	for i := range runs {
		if runs[i].newest.After(runs[newest].newest) {
			newest = i
		}
	}
	at := slices.IndexFunc(runs, func(r run) bool { return r.last.Seq >= from })
	if at < 0 || runs[newest].first.Seq == 1 && runs[newest].first.Start.After(runs[at].last.Start) {
		return newest
	}
	return at
}

// givenUpBetween reports whether gap links tell of all segments from first to last.
func givenUpBetween(links []Link, first, last uint64) bool {
	for progress := true; progress && first <= last; {
		progress = false
		for _, l := range links {
			if l.low() <= first && l.Seq >= first {
				first, progress = l.Seq+1, true
			}
		}
	}
	return first > last
}
