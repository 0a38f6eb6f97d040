package evidence

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"iter"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"skein/recorder/retain"
	"skein/recorder/segment"
	"skein/recorder/store"
)

// Archive is what verification reads.
type Archive interface {
	List(ctx context.Context, prefix string) iter.Seq2[store.Entry, error]
	Manifest(ctx context.Context, shard, key string) (segment.Manifest, error)
	Open(ctx context.Context, shard, key string) (store.Object, error)
}

// Options say how far to look.
type Options struct {
	Content bool              // read every segment; without it only manifests are compared
	Trusted ed25519.PublicKey // nil: checkpoints are not looked at
}

// Report is what verification found.
type Report struct {
	Camera      string        `json:"camera"`
	Range       segment.Range `json:"range"`
	Segments    int           `json:"segments"`
	Deleted     int           `json:"deleted"`
	Bytes       int64         `json:"bytes_read"`
	Checkpoints int           `json:"checkpoints"` // that name a segment of the range or beside it
	GivenUp     []GivenUp     `json:"given_up"`    // what the edge sealed and the archive never got, by its gap links
	Broken      *Broken       `json:"broken"`      // nil: everything holds
}

// VerifyCamera proves the camera's segments that start within the range: each one's content, the chain through
// segments, tombstones and gap links, and every checkpoint that names one of them. It stops at the first broken link.
// Memory is one link per segment. The error tells that something could not be read.
func VerifyCamera(
	ctx context.Context, a Archive, docs retain.Documents, camera string, within segment.Range, o Options,
) (Report, error) {
	r := Report{Camera: camera, Range: within, GivenUp: []GivenUp{}}
	var links []Link
	var err error
	if links, r.Broken, err = present(ctx, a, &r, o); err != nil || r.Broken != nil {
		return r, err
	}
	stones, err := retain.Tombstones(ctx, docs, camera, within)
	if err != nil {
		return r, err
	}
	for _, s := range stones {
		if s.Start.Before(within.From) || !s.Start.Before(within.To) {
			continue
		}
		l, err := buried(s)
		if err != nil {
			return r, err
		}
		links = append(links, l)
		r.Deleted++
	}
	beside, err := neighbours(ctx, a, camera, within)
	if err != nil {
		return r, err
	}
	links = append(links, beside...)
	runs, err := gapLinks(ctx, docs, camera, within)
	if err != nil {
		return r, err
	}
	links = append(links, reaching(links, runs, within)...)
	r.GivenUp = append(r.GivenUp, givenUp(links, within)...)
	if r.Broken = VerifyChain(links); r.Broken != nil || o.Trusted == nil {
		return r, nil
	}
	// Only later checkpoints can name a segment of the range, and backlog may be named much later.
	list, err := CheckpointsSince(ctx, docs, within.From.Add(-24*time.Hour)) // clocks differ
	if err != nil {
		return r, err
	}
	if r.Broken = VerifyCheckpoints(list, o.Trusted); r.Broken == nil {
		r.Checkpoints, r.Broken = compareHeads(list, camera, links, within)
	}
	return r, nil
}

// neighbours returns the links of the last segment of the day before the range and the first of the day after it: with
// them a segment that is missing at an edge of the range is found as well.
func neighbours(ctx context.Context, a Archive, camera string, within segment.Range) ([]Link, error) {
	const day = 24 * time.Hour
	var links []Link
	for _, side := range []struct {
		within segment.Range
		last   bool
	}{
		{segment.Range{From: within.From.Add(-day), To: within.From}, true},
		{segment.Range{From: within.To, To: within.To.Add(day)}, false},
	} {
		var found *store.Entry
		var seq uint64
		for e, err := range entries(ctx, a, camera, side.within) {
			if err != nil {
				return nil, err
			}
			if found == nil || (e.rec.Seq > seq) == side.last {
				found, seq = &e.Entry, e.rec.Seq
			}
		}
		if found == nil {
			continue
		}
		m, err := a.Manifest(ctx, found.Shard, found.Key)
		if errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil {
			return nil, fmt.Errorf("verify camera %s: %w", camera, err)
		}
		if err == nil { // a bad one is for the verification of its own day
			links = append(links, LinkOf(m))
		}
	}
	return links, nil
}

// listed is an object whose key tells that it starts within the range.
type listed struct {
	store.Entry
	rec segment.Record
}

// entries lists the camera's objects that start within the range.
func entries(ctx context.Context, a Archive, camera string, within segment.Range) iter.Seq2[listed, error] {
	return func(yield func(listed, error) bool) {
		for day := within.From.UTC().Truncate(24 * time.Hour); day.Before(within.To); day = day.AddDate(0, 0, 1) {
			for e, err := range a.List(ctx, segment.KeyPrefix+camera+day.Format("/2006/01/02/")) {
				if err != nil {
					yield(listed{}, fmt.Errorf("verify camera %s: %w", camera, err))
					return
				}
				_, rec, err := segment.ParseKey(e.Key)
				if err != nil || rec.Start.Before(within.From) || !rec.Start.Before(within.To) {
					continue
				}
				if !yield(listed{e, rec}, nil) {
					return
				}
			}
		}
	}
}

// present returns the links of the segments that are there.
func present(ctx context.Context, a Archive, r *Report, o Options) ([]Link, *Broken, error) {
	var links []Link
	for e, err := range entries(ctx, a, r.Camera, r.Range) {
		if err != nil {
			return nil, nil, err
		}
		l := Link{Camera: r.Camera, Seq: e.rec.Seq, Start: e.rec.Start, Key: e.Key}
		m, err := a.Manifest(ctx, e.Shard, e.Key)
		if errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil {
			return nil, nil, fmt.Errorf("verify camera %s: %w", r.Camera, err)
		}
		if err != nil {
			return nil, l.broken(FaultManifest, "%v", err), nil
		}
		if o.Content {
			if b, err := r.content(ctx, a, e.Entry, m); b != nil || err != nil {
				return nil, b, err
			}
		}
		links = append(links, LinkOf(m))
		r.Segments++
	}
	return links, nil, nil
}

func (r *Report) content(ctx context.Context, a Archive, e store.Entry, m segment.Manifest) (*Broken, error) {
	obj, err := a.Open(ctx, e.Shard, e.Key)
	if err != nil {
		return nil, fmt.Errorf("verify camera %s: %w", r.Camera, err)
	}
	defer obj.Close()
	body, err := obj.Stream(0, obj.Size())
	if err != nil {
		return nil, fmt.Errorf("verify camera %s: %w", r.Camera, err)
	}
	defer body.Close()
	r.Bytes += obj.Size()
	return VerifyContent(body, m)
}

func buried(s retain.Tombstone) (Link, error) {
	l := Link{
		Camera: s.Camera, Seq: s.Seq, Start: s.Start, Key: s.Key, SHA256: s.SHA256, Prev: s.Prev, Deleted: true,
	}
	if s.SHA256.IsZero() {
		return lost(l, s.Hash48)
	}
	return l, nil
}

// compareHeads compares every checkpoint, ascending, with the links of one camera, ascending by sequence, and returns
// how many name one of them. A checkpoint of the range that names a segment behind the last link tells of one that is
// missing: the range's segments up to the time of the checkpoint must be there, or their tombstones.
func compareHeads(list []Checkpoint, camera string, links []Link, within segment.Range) (int, *Broken) {
	n := 0
	if len(links) == 0 {
		return 0, nil
	}
	last := slices.MaxFunc(links, func(a, b Link) int { return cmp.Compare(a.Seq, b.Seq) })
	for i := range list {
		c := &list[i]
		head, ok := c.Head(camera)
		if !ok {
			continue
		}
		at := slices.IndexFunc(links, func(l Link) bool { return l.Cause == "" && l.Seq == head.Seq })
		run := slices.IndexFunc(links, func(l Link) bool { return l.low() <= head.Seq && head.Seq <= l.Seq })
		switch {
		case at < 0 && run >= 0:
			return n, links[run].broken(FaultCheckpoint,
				"a gap link tells that segments %d to %d never came, but checkpoint %d of %s names segment %d",
				links[run].low(), links[run].Seq, c.Seq, c.At.Format(time.RFC3339), head.Seq)
		case at >= 0:
			n++
			if !hashIs(links[at], head.SHA256) {
				return n, links[at].broken(FaultCheckpoint, "checkpoint %d of %s names %s", c.Seq,
					c.At.Format(time.RFC3339), head.SHA256)
			}
		case head.Seq > last.Seq && !c.At.After(within.To):
			missing := Link{Camera: camera, Seq: last.Seq + 1, Start: last.Start}
			return n, missing.broken(FaultMissing, "checkpoint %d of %s names segment %d; nothing after segment %d is there",
				c.Seq, c.At.Format(time.RFC3339), head.Seq, last.Seq)
		}
	}
	return n, nil
}

// Checkpoints reads all stored checkpoints, ascending.
func Checkpoints(ctx context.Context, docs retain.Documents) ([]Checkpoint, error) {
	return CheckpointsSince(ctx, docs, time.Time{})
}

// CheckpointsSince reads the stored checkpoints from that time on, ascending.
func CheckpointsSince(ctx context.Context, docs retain.Documents, since time.Time) ([]Checkpoint, error) {
	var list []Checkpoint
	for name, err := range docs.ListBlobs(ctx, CheckpointPrefix) {
		if err != nil {
			return nil, fmt.Errorf("list checkpoints: %w", err)
		}
		if at, ok := timeOf(name); ok && at.Before(since) {
			continue
		}
		c, err := readCheckpoint(ctx, docs, name)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// newestCheckpoint returns the last one, nil if there is none.
func newestCheckpoint(ctx context.Context, docs retain.Documents) (*Checkpoint, error) {
	last := ""
	for name, err := range docs.ListBlobs(ctx, CheckpointPrefix) {
		if err != nil {
			return nil, fmt.Errorf("list checkpoints: %w", err)
		}
		last = name
	}
	if last == "" {
		return nil, nil
	}
	c, err := readCheckpoint(ctx, docs, last)
	return &c, err
}

func readCheckpoint(ctx context.Context, docs retain.Documents, name string) (Checkpoint, error) {
	doc, err := docs.GetBlob(ctx, name)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("read checkpoint: %w", err)
	}
	c, err := ParseCheckpoint(doc)
	if err != nil {
		return c, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

// timeOf tells the time in a checkpoint's name; a name without one is read as well, so that it is not overlooked.
func timeOf(name string) (time.Time, bool) {
	ms, err := strconv.ParseInt(strings.TrimSuffix(path.Base(name), ".json"), 10, 64)
	return time.UnixMilli(ms), err == nil
}
