package evidence

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"skein/recorder/retain"
	"skein/recorder/segment"
	"skein/recorder/store"
)

// GivenUp is a run of segments that the edge sealed and had to give up before the archive had them: the disk was full,
// or spoiled them. Its gap link, a gap document that names sequence numbers and hashes, keeps the chain whole.
type GivenUp struct {
	First uint64 `json:"first"` // sequence numbers
	Last  uint64 `json:"last"`
	segment.Gap
	Prev   segment.Hash `json:"prev"`   // of First
	SHA256 segment.Hash `json:"sha256"` // of Last
}

// String names the run for people.
func (g GivenUp) String() string {
	return fmt.Sprintf("segments %d to %d (%s to %s) were given up before they were shipped: %s", g.First, g.Last,
		g.From.Format(time.RFC3339), g.To.Format(time.RFC3339), g.Cause)
}

// gapLinkOf returns the link of a gap document; ok is false for one that names no segments.
func gapLinkOf(d segment.GapDoc) (l Link, ok bool) {
	if d.Lost == nil {
		return l, false
	}
	return Link{
		Camera: d.Camera, Seq: d.Lost.Last, First: d.Lost.First, Start: d.From.UTC(), Key: d.Name(),
		SHA256: d.Lost.SHA256, Prev: d.Lost.Prev, Cause: d.Cause, until: d.To.UTC(),
	}, true
}

// gapLinks reads the camera's gap links from a day before the range to a day after it, as far as neighbours look. No
// run crosses midnight by more than its last segment, so the day of its beginning finds it.
func gapLinks(ctx context.Context, docs retain.Documents, camera string, within segment.Range) ([]Link, error) {
	const day = 24 * time.Hour
	var out []Link
	last := within.To.Add(day)
	for at := within.From.Add(-day).UTC().Truncate(day); at.Before(last); at = at.Add(day) {
		prefix := segment.GapPrefix + at.Format("2006/01/02/") + camera + "/"
		for name, err := range docs.ListBlobs(ctx, prefix) {
			if err != nil {
				return nil, fmt.Errorf("list gap links of camera %s: %w", camera, err)
			}
			doc, err := docs.GetBlob(ctx, name)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("read gap link %s: %w", name, err)
			}
			d, err := segment.ParseGapDoc(doc)
			if err != nil || d.Name() != name {
				continue // it tells nothing: then what it should tell of is missing
			}
			if l, ok := gapLinkOf(d); ok {
				out = append(out, l)
			}
		}
	}
	return out, nil
}

// reaching returns those of the gap links that belong to the proof: they begin within the range, or lie between links
// that do.
func reaching(links, runs []Link, within segment.Range) []Link {
	var out []Link
	var low, high uint64
	stretch := func(l Link) {
		if low == 0 || l.low() < low {
			low = l.low()
		}
		high = max(high, l.Seq)
	}
	for _, l := range links {
		stretch(l)
	}
	inside := func(l Link) bool { return !l.Start.Before(within.From) && l.Start.Before(within.To) }
	for _, l := range runs {
		if inside(l) {
			stretch(l)
		}
	}
	for _, l := range runs {
		if inside(l) || (l.Seq >= low && l.low() <= high) {
			out = append(out, l)
		}
	}
	return out
}

// givenUp tells of the gap links that touch the range, those excepted all of whose segments came after all.
func givenUp(links []Link, within segment.Range) []GivenUp {
	there := map[uint64]bool{}
	for _, l := range links {
		if l.Cause == "" {
			there[l.Seq] = true
		}
	}
	var out []GivenUp
	for _, l := range links {
		g := GivenUp{First: l.low(), Last: l.Seq, Prev: l.Prev, SHA256: l.SHA256}
		g.Gap = segment.Gap{Range: segment.Range{From: l.Start, To: l.until}, Cause: l.Cause}
		if l.Cause == "" || !g.Overlaps(within) || came(there, g) {
			continue
		}
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b GivenUp) int { return a.From.Compare(b.From) })
	return out
}

// came reports whether every segment of the run is there, or was.
func came(there map[uint64]bool, g GivenUp) bool {
	if g.Last-g.First >= uint64(len(there)) {
		return false
	}
	for seq := g.First; seq <= g.Last; seq++ {
		if !there[seq] {
			return false
		}
	}
	return true
}
