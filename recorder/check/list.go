package check

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"skein/recorder/segment"
	"skein/recorder/store"
)

// object is a listed segment with what its key tells.
type object struct {
	entry  store.Entry
	record segment.Record // Bytes and Shard from the listing, Gap not known
}

// dayList is what the store holds of one camera and day of start, in order of start, doubles on two shards adjacent.
type dayList struct {
	day     time.Time
	objects []object
}

// days yields the camera's objects a day at a time. Memory is one day of one camera. A shard that fails ends it with
// an error: its share would seem to be missing.
func (c *run) days(ctx context.Context, camera string) iter.Seq2[dayList, error] {
	return func(yield func(dayList, error) bool) {
		var d dayList
		flush := func() bool {
			if len(d.objects) == 0 {
				return true
			}
			slices.SortFunc(d.objects, compareObjects)
			ok := yield(d, nil)
			d = dayList{}
			return ok
		}
		for e, err := range c.store.List(ctx, segment.KeyPrefix+camera+"/") {
			if err != nil {
				var se *store.ShardError
				if errors.As(err, &se) {
					err = fmt.Errorf("%w: %w", errShard, err)
				}
				yield(dayList{}, err)
				return
			}
			id, r, err := segment.ParseKey(e.Key)
			if err != nil || id != camera {
				c.found(Finding{Kind: BadKey, Camera: camera, Shard: e.Shard, Key: e.Key, Detail: fmt.Sprint(err)})
				continue
			}
			r.Bytes, r.Shard = e.Size, e.Shard
			if day := dayOf(r.Start); !day.Equal(d.day) {
				if !flush() {
					return
				}
				d.day = day
			}
			d.objects = append(d.objects, object{e, r})
		}
		flush()
	}
}

func dayOf(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

func compareObjects(a, b object) int { return compareRecords(a.record, b.record) }

// compareRecords orders by what identifies a segment.
func compareRecords(a, b segment.Record) int {
	if n := a.Start.Compare(b.Start); n != 0 {
		return n
	}
	if a.Duration != b.Duration {
		return int(a.Duration/time.Millisecond) - int(b.Duration/time.Millisecond)
	}
	switch {
	case a.Seq < b.Seq:
		return -1
	case a.Seq > b.Seq:
		return 1
	}
	return slices.Compare(a.Hash[:], b.Hash[:])
}

// gaps fills in the cause of the gap before each object. Only where there is a hole does the cause matter, so only
// there is the manifest read: rebuilding an archive costs a listing and one request per hole. before is the end of what
// precedes the first object.
func (c *run) gaps(ctx context.Context, camera string, objects []object, before time.Time) (time.Time, error) {
	for i := range objects {
		r := &objects[i].record
		if r.Start.Sub(before) > segment.Join {
			m, err := c.store.Manifest(ctx, r.Shard, objects[i].entry.Key)
			switch {
			case err == nil:
				r.Gap = m.Record("").Gap
			case ctx.Err() != nil:
				return before, ctx.Err()
			case errors.Is(err, store.ErrUnavailable):
				return before, err
			case errors.Is(err, store.ErrNotFound) && !c.exists(ctx, objects[i].entry):
				// deleted since it was listed
			default:
				c.found(Finding{
					Kind: BadManifest, Camera: camera, Start: r.Start, Shard: r.Shard, Key: objects[i].entry.Key,
					Detail: err.Error(),
				})
			}
		}
		if r.End().After(before) {
			before = r.End()
		}
	}
	return before, nil
}

// exists reports whether an object is in the store, on any shard.
func (c *run) exists(ctx context.Context, e store.Entry) bool {
	o, err := c.store.Open(ctx, e.Shard, e.Key)
	if err != nil {
		return !errors.Is(err, store.ErrNotFound)
	}
	_ = o.Close()
	return true
}

// rebuild writes the camera's records from the listing. Records of live recording that appear meanwhile are the same
// records; records of objects that are gone stay and are found by a check.
func (c *run) rebuild(ctx context.Context, camera string) error {
	var before time.Time
	for d, err := range c.days(ctx, camera) {
		if err != nil {
			return err
		}
		if before, err = c.gaps(ctx, camera, d.objects, before); err != nil {
			return err
		}
		records := make([]segment.Record, len(d.objects))
		var bytes int64
		for i, o := range d.objects {
			records[i] = o.record
			bytes += o.record.Bytes
		}
		if err := c.index.AddMany(ctx, camera, records); err != nil {
			return err
		}
		c.update(func() {
			c.report.Objects += int64(len(records))
			c.report.Added += int64(len(records))
			c.report.Bytes += bytes
		})
	}
	return nil
}
