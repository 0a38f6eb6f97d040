package check

import (
	"context"

	"skein/recorder/retain"
	"skein/recorder/segment"
)

// Register is the Evidence of an archive: its locks and tombstones.
type Register struct {
	Register *retain.Locks
	Docs     retain.Documents
}

// Locks implements Evidence.
func (r Register) Locks(ctx context.Context) ([]Guarded, error) {
	list, err := r.Register.List(ctx)
	if err != nil {
		return nil, err
	}
	var out []Guarded
	for _, l := range list {
		for _, camera := range l.Cameras {
			out = append(out, Guarded{Camera: camera, Range: l.Range, Created: l.Created})
		}
	}
	return out, nil
}

// Tombstones implements Evidence.
func (r Register) Tombstones(ctx context.Context, camera string, within segment.Range) ([]Deleted, error) {
	list, err := retain.Tombstones(ctx, r.Docs, camera, within)
	if err != nil {
		return nil, err
	}
	out := make([]Deleted, len(list))
	for i, t := range list {
		out[i] = Deleted{
			Range: segment.Range{From: t.Start, To: t.Start.Add(t.Duration)}, Key: t.Key, Deleted: t.Deleted,
		}
	}
	return out, nil
}
