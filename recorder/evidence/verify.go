package evidence

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"iter"
	"slices"
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
	Checkpoints int           `json:"checkpoints"` // that name a segment of the range
	Broken      *Broken       `json:"broken"`      // nil: everything holds
}

// VerifyCamera proves the camera's segments that start within the range: each one's content, the chain through segments
// and tombstones, and every checkpoint that names one of them. It stops at the first broken link. Memory is one
// link per
// segment. The error tells that something could not be read.
func VerifyCamera(
	ctx context.Context, a Archive, docs retain.Documents, camera string, within segment.Range, o Options,
) (Report, error) {
	r := Report{Camera: camera, Range: within}
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
	if r.Broken = VerifyChain(links); r.Broken != nil || o.Trusted == nil {
		return r, nil
	}
	r.Broken, err = r.checkpoints(ctx, docs, links, o.Trusted)
	return r, err
}

// present returns the links of the segments that are there.
func present(ctx context.Context, a Archive, r *Report, o Options) ([]Link, *Broken, error) {
	var links []Link
	for day := r.Range.From.UTC().Truncate(24 * time.Hour); day.Before(r.Range.To); day = day.AddDate(0, 0, 1) {
		prefix := segment.KeyPrefix + r.Camera + day.Format("/2006/01/02/")
		for e, err := range a.List(ctx, prefix) {
			if err != nil {
				return nil, nil, fmt.Errorf("verify camera %s: %w", r.Camera, err)
			}
			_, rec, err := segment.ParseKey(e.Key)
			if err != nil || rec.Start.Before(r.Range.From) || !rec.Start.Before(r.Range.To) {
				continue
			}
			l := Link{Camera: r.Camera, Seq: rec.Seq, Start: rec.Start, Key: e.Key}
			m, err := a.Manifest(ctx, e.Shard, e.Key)
			if errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil {
				return nil, nil, fmt.Errorf("verify camera %s: %w", r.Camera, err)
			}
			if err != nil {
				return nil, l.broken(FaultManifest, "%v", err), nil
			}
			if o.Content {
				if b, err := r.content(ctx, a, e, m); b != nil || err != nil {
					return nil, b, err
				}
			}
			links = append(links, LinkOf(m))
			r.Segments++
		}
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

// checkpoints compares every checkpoint that names one of the links.
func (r *Report) checkpoints(
	ctx context.Context, docs retain.Documents, links []Link, trusted ed25519.PublicKey,
) (*Broken, error) {
	list, err := Checkpoints(ctx, docs)
	if err != nil {
		return nil, err
	}
	if b := VerifyCheckpoints(list, trusted); b != nil {
		return b, nil
	}
	for i := range list {
		head, ok := list[i].Head(r.Camera)
		if !ok {
			continue
		}
		at := slices.IndexFunc(links, func(l Link) bool { return l.Seq == head.Seq })
		if at < 0 {
			continue
		}
		r.Checkpoints++
		if !hashIs(links[at], head.SHA256) {
			return links[at].broken(FaultCheckpoint, "checkpoint %d of %s names %s", list[i].Seq,
				list[i].At.Format(time.RFC3339), head.SHA256), nil
		}
	}
	return nil, nil
}

// Checkpoints reads all stored checkpoints, ascending.
func Checkpoints(ctx context.Context, docs retain.Documents) ([]Checkpoint, error) {
	var list []Checkpoint
	for name, err := range docs.ListBlobs(ctx, CheckpointPrefix) {
		if err != nil {
			return nil, fmt.Errorf("list checkpoints: %w", err)
		}
		doc, err := docs.GetBlob(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("read checkpoint: %w", err)
		}
		c, err := ParseCheckpoint(doc)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		list = append(list, c)
	}
	return list, nil
}
