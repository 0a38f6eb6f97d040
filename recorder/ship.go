package recorder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"skein/recorder/segment"
	"skein/recorder/store"
)

// Ship takes a sealed file of this machine in: a directory store on the same file system links it, nothing is copied.
// It returns when the segment is stored and indexed, and is idempotent. While the index is being filled it waits.
func (r *Recorder) Ship(ctx context.Context, m segment.Manifest, path string) (segment.Receipt, error) {
	if err := checkManifest(m); err != nil {
		return segment.Receipt{}, err
	}
	have, err := r.lookup(ctx, m)
	for errors.Is(err, segment.ErrIndexIncomplete) && ctx.Err() == nil {
		select {
		case <-time.After(indexPause):
		case <-ctx.Done():
		}
		have, err = r.lookup(ctx, m)
	}
	if err == nil && have == nil {
		var shard string
		if shard, err = r.deps.Store.Put(ctx, m, store.Source{Path: path}); err == nil {
			return r.indexed(ctx, m, shard, nil)
		}
	}
	if err != nil {
		return segment.Receipt{}, fmt.Errorf("ship segment %s: %w", m.Key(), err)
	}
	return r.indexed(ctx, m, have.Shard, have)
}

// indexPause is how long a segment of this machine waits between two looks at an index that is being filled.
const indexPause = 100 * time.Millisecond

// lookup returns the record of the segment if it already is in the archive. A different segment with the same start
// and sequence number is store.ErrConflict.
func (r *Recorder) lookup(ctx context.Context, m segment.Manifest) (*segment.Record, error) {
	at := segment.Range{From: m.Start, To: m.Start.Add(time.Millisecond)}
	list, err := r.deps.Index.Range(ctx, m.Camera, at)
	if err != nil {
		return nil, err
	}
	want := m.Record("")
	for _, have := range list {
		if have.Seq != want.Seq || !have.Start.Equal(want.Start) {
			continue
		}
		if have.Hash != want.Hash || have.Bytes != want.Bytes || have.Duration != want.Duration {
			return nil, fmt.Errorf("%w: segment %d has other content", store.ErrConflict, m.Seq)
		}
		return &have, nil
	}
	return nil, nil
}

// indexed writes the record of a stored segment, unless have is that already, and gives the receipt. A repetition may
// bring a gap that was typed later: then the record is written again.
func (r *Recorder) indexed(ctx context.Context, m segment.Manifest, shard string, have *segment.Record) (
	segment.Receipt, error,
) {
	rec := m.Record(shard)
	if have == nil || have.Gap != rec.Gap {
		if err := r.deps.Index.Add(ctx, m.Camera, rec); err != nil {
			return segment.Receipt{}, fmt.Errorf("index segment %s: %w", m.Key(), err)
		}
	}
	if err := r.noteHoles(ctx, m); err != nil {
		return segment.Receipt{}, err
	}
	if have == nil {
		if total := r.usage.add(m.Camera, rec, time.Now()); r.cfg.MaxBytes > 0 && total > r.cfg.MaxBytes {
			select {
			case r.full <- struct{}{}:
			default: // it is known
			}
		}
	}
	r.m.stored(m, have != nil)
	if have == nil {
		r.admit.advance(m.Camera, chainHead{m.Seq, m.Start})
	}
	return segment.Receipt{
		Camera: m.Camera, Start: m.Start, Seq: m.Seq, SHA256: m.SHA256, Bytes: m.Bytes, Key: rec.Key(m.Camera),
		Shard: shard, Stored: time.Now().UTC(),
	}, nil
}

// checkManifest refuses what cannot describe a segment.
func checkManifest(m segment.Manifest) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("manifest: "+format, args...)
	}
	switch {
	case !segment.ValidCamera(m.Camera):
		return bad("camera id %.70q: want 1-64 of a-z, 0-9 and -", m.Camera)
	case m.Profile != "main" && m.Profile != "sub":
		return bad("profile %.20q: want main or sub", m.Profile)
	case m.Seq == 0:
		return bad("sequence number is missing")
	case m.Start.Year() < 1970 || m.Start.Year() > 9999 || m.Start.UnixMilli() < 0:
		return bad("start %v is out of range", m.Start)
	case m.Start.Nanosecond()%int(time.Millisecond) != 0:
		return bad("start %v: want whole milliseconds", m.Start)
	case m.Duration < 0 || m.Duration > maxDuration:
		return bad("duration %v: want 0 to %v", m.Duration, maxDuration)
	case m.Bytes <= 0:
		return bad("%d bytes", m.Bytes)
	case m.SHA256.IsZero():
		return bad("SHA-256 is missing")
	case m.Seq == 1 != m.Prev.IsZero():
		return bad("segment %d: hash of the segment before is missing, or there is none", m.Seq)
	case m.Damaged < 0 || m.Damaged > m.Frames:
		return bad("%d of %d frames damaged", m.Damaged, m.Frames)
	case m.Frames < 0 || len(m.Codecs) > 256 || len(m.Sealed) > 32:
		return bad("frames, codecs or reason of sealing is out of range")
	}
	if err := checkGap(m.Gap); err != nil {
		return err
	}
	for i := range m.Holes {
		h := &m.Holes[i]
		if err := checkGap(h); err != nil {
			return err
		}
		if i >= segment.MaxHoles || h.From.Before(m.Start) || h.To.After(m.End().Add(segment.Join)) {
			return bad("hole from %v to %v is not inside", h.From, h.To)
		}
	}
	return nil
}

// checkGap refuses what cannot be a gap; nil is none.
func checkGap(g *segment.Gap) error {
	if g != nil && (len(g.Cause) > 32 || g.From.After(g.To) || !slices.Contains(segment.Causes(), g.Cause)) {
		return fmt.Errorf("manifest: gap with cause %.40q from %v to %v", g.Cause, g.From, g.To)
	}
	return nil
}
