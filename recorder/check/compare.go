package check

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"skein/recorder/segment"
	"skein/recorder/store"
)

// compare proves (a) to (c) for one camera, day by day.
func (c *run) compare(ctx context.Context, camera string) error {
	indexed, err := c.index.Days(ctx, camera)
	if err != nil {
		return err
	}
	var before time.Time
	only := func(until time.Time) error { // days that only the index knows
		for len(indexed) > 0 && (until.IsZero() || indexed[0].Before(until)) {
			if err := c.compareDay(ctx, camera, dayList{day: indexed[0]}); err != nil {
				return err
			}
			indexed = indexed[1:]
		}
		return nil
	}
	for d, err := range c.days(ctx, camera) {
		if err != nil {
			return err
		}
		if err := only(d.day); err != nil {
			return err
		}
		if len(indexed) > 0 && indexed[0].Equal(d.day) {
			indexed = indexed[1:]
		}
		if before, err = c.gaps(ctx, camera, d.objects, before); err != nil {
			return err
		}
		if err := c.compareDay(ctx, camera, d); err != nil {
			return err
		}
	}
	return only(time.Time{})
}

// compareDay walks both sides of one day in the same order.
func (c *run) compareDay(ctx context.Context, camera string, d dayList) error {
	records, err := c.recordsOf(ctx, camera, d.day)
	if err != nil {
		return err
	}
	objects := d.objects
	var bytes int64
	for _, o := range objects {
		bytes += o.record.Bytes
	}
	c.update(func() {
		c.report.Objects += int64(len(objects))
		c.report.Records += int64(len(records))
		c.report.Bytes += bytes
	})
	for len(objects) > 0 || len(records) > 0 {
		order := 0
		switch {
		case len(objects) == 0:
			order = 1
		case len(records) == 0:
			order = -1
		default:
			order = compareRecords(objects[0].record, records[0])
		}
		if order > 0 {
			if err := c.noObject(ctx, camera, records[0]); err != nil {
				return err
			}
			records = records[1:]
			continue
		}
		n := 1 // the same segment on further shards
		for n < len(objects) && compareObjects(objects[0], objects[n]) == 0 {
			n++
		}
		if order < 0 {
			err = c.noRecord(ctx, camera, objects[:n])
		} else {
			err = c.pair(ctx, camera, objects[:n], records[0])
			records = records[1:]
		}
		if err != nil {
			return err
		}
		objects = objects[n:]
	}
	return nil
}

// recordsOf returns the records that start on the day.
func (c *run) recordsOf(ctx context.Context, camera string, day time.Time) ([]segment.Record, error) {
	records, err := c.index.Range(ctx, camera, segment.Range{From: day, To: day.AddDate(0, 0, 1)})
	if err != nil {
		return nil, err
	}
	for len(records) > 0 && records[0].Start.Before(day) {
		records = records[1:]
	}
	return records, nil
}

// still looks again whether the index has (or lacks) the record: live recording and retention go on meanwhile.
func (c *run) still(ctx context.Context, camera string, want segment.Record) (bool, error) {
	records, err := c.index.Range(ctx, camera, segment.Range{From: want.Start, To: want.Start.Add(time.Millisecond)})
	if err != nil {
		return false, err
	}
	for _, r := range records {
		if compareRecords(r, want) == 0 {
			return true, nil
		}
	}
	return false, nil
}

// noObject handles a record whose object was not listed.
func (c *run) noObject(ctx context.Context, camera string, r segment.Record) error {
	o, err := c.store.Open(ctx, r.Shard, r.Key(camera))
	if err == nil {
		return o.Close() // stored since the listing
	}
	f := Finding{Kind: MissingObject, Camera: camera, Start: r.Start, Shard: r.Shard, Key: r.Key(camera)}
	if !errors.Is(err, store.ErrNotFound) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		f.Kind, f.Detail = Unreadable, err.Error()
		c.found(f)
		return nil
	}
	there, err := c.still(ctx, camera, r)
	if err != nil || !there {
		return err // removed since
	}
	if c.o.Repair {
		if err := c.index.Remove(ctx, camera, r); err != nil {
			return err
		}
		f.Repaired = true
		c.update(func() { c.report.Dropped++ })
	}
	c.found(f)
	return nil
}

// noRecord handles an object (on one shard or several) that the index does not know.
func (c *run) noRecord(ctx context.Context, camera string, copies []object) error {
	o := copies[0]
	if c.o.Now().Sub(o.entry.Modified) < c.o.Grace {
		c.update(func() { c.report.InFlight++ })
		return nil
	}
	there, err := c.still(ctx, camera, o.record)
	if err != nil || there || !c.exists(ctx, o.entry) {
		return err
	}
	if err := c.deep(ctx, camera, o); err != nil {
		return err
	}
	f := Finding{Kind: Unindexed, Camera: camera, Start: o.record.Start, Shard: o.record.Shard, Key: o.entry.Key}
	if c.o.Repair {
		if err := c.index.AddMany(ctx, camera, []segment.Record{o.record}); err != nil {
			return err
		}
		f.Repaired = true
		c.update(func() { c.report.Added++ })
	}
	c.found(f)
	c.duplicates(camera, copies, o.record.Shard)
	return nil
}

// pair compares a record with its object, or with the copy on the shard that the record names.
func (c *run) pair(ctx context.Context, camera string, copies []object, r segment.Record) error {
	o := copies[0]
	for _, other := range copies {
		if other.record.Shard == r.Shard {
			o = other
		}
	}
	f := Finding{Kind: WrongSize, Camera: camera, Start: r.Start, Shard: o.record.Shard, Key: o.entry.Key}
	switch {
	case o.record.Shard != r.Shard:
		f.Kind, f.Detail = MissingObject, fmt.Sprintf("the record names shard %q", r.Shard)
	case o.record.Bytes != r.Bytes:
		f.Detail = fmt.Sprintf("object %d bytes, record %d bytes", o.record.Bytes, r.Bytes)
	default:
		c.duplicates(camera, copies, r.Shard)
		return c.deep(ctx, camera, o)
	}
	m, err := c.store.Manifest(ctx, o.record.Shard, o.entry.Key)
	whole := err == nil && m.Bytes == o.record.Bytes
	if c.o.Repair && whole { // the object is as it was sealed: the record is what is wrong
		fixed := m.Record(o.record.Shard)
		if err := c.index.AddMany(ctx, camera, []segment.Record{fixed}); err != nil {
			return err
		}
		f.Repaired = true
		c.update(func() { c.report.Added++ })
	}
	c.found(f)
	return nil
}

// duplicates reports copies on other shards than the one that counts.
func (c *run) duplicates(camera string, copies []object, shard string) {
	for _, o := range copies {
		if o.record.Shard != shard {
			c.found(Finding{
				Kind: Duplicate, Camera: camera, Start: o.record.Start, Shard: o.record.Shard, Key: o.entry.Key,
				Detail: "the index uses the copy on shard " + shard,
			})
		}
	}
}

// deep reads the object and compares it with its manifest and key.
func (c *run) deep(ctx context.Context, camera string, o object) error {
	if !c.o.Deep {
		return nil
	}
	f := Finding{Kind: WrongHash, Camera: camera, Start: o.record.Start, Shard: o.record.Shard, Key: o.entry.Key}
	m, err := c.store.Manifest(ctx, o.record.Shard, o.entry.Key)
	if err == nil {
		var got segment.Hash
		if got, err = c.hash(ctx, o); err == nil {
			if got != m.SHA256 {
				f.Detail = fmt.Sprintf("content has SHA-256 %s, manifest says %s", got, m.SHA256)
				c.found(f)
			}
			return nil
		}
	} else if !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrNotFound) {
		f.Kind, f.Detail = BadManifest, err.Error()
		c.found(f)
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	f.Kind, f.Detail = Unreadable, err.Error()
	if errors.Is(err, store.ErrNotFound) {
		if !c.exists(ctx, o.entry) {
			return nil // deleted since
		}
		f.Kind = BadManifest
	}
	c.found(f)
	return nil
}

func (c *run) hash(ctx context.Context, o object) (h segment.Hash, err error) {
	obj, err := c.store.Open(ctx, o.record.Shard, o.entry.Key)
	if err != nil {
		return h, err
	}
	defer obj.Close()
	body, err := obj.Stream(0, obj.Size())
	if err != nil {
		return h, err
	}
	defer body.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, body); err != nil {
		return h, err
	}
	sum.Sum(h[:0])
	return h, nil
}

// locks proves (d): no tombstone lies within a lock that was older than the deletion.
func (c *run) locks(ctx context.Context) error {
	list, err := c.o.Evidence.Locks(ctx)
	if err != nil {
		return fmt.Errorf("check locks: %w", err)
	}
	for _, l := range list {
		gone, err := c.o.Evidence.Tombstones(ctx, l.Camera, l.Range)
		if err != nil {
			return fmt.Errorf("check locks: %w", err)
		}
		for _, d := range gone {
			if !d.Deleted.After(l.Created) || !d.Range.Overlaps(l.Range) {
				continue
			}
			// the tombstone comes first: an object that the store refused to delete is still there
			if !c.exists(ctx, store.Entry{Key: d.Key}) {
				c.found(Finding{
					Kind: LockedGone, Camera: l.Camera, Start: d.Range.From, Key: d.Key,
					Detail: fmt.Sprintf("locked since %s, deleted %s", l.Created.Format(time.RFC3339),
						d.Deleted.Format(time.RFC3339)),
				})
			}
		}
	}
	c.update(func() { c.report.ProvedD = true })
	return nil
}
