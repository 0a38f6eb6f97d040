package retain

import (
	"context"
	"time"

	"skein/recorder/segment"
)

// perEviction bounds how many segments one sweep evicts; the next sweep goes on.
const perEviction = 2000

// evict deletes the oldest segments over all cameras until the cap holds. It reads the index, a camera-day at a time,
// to add up what there is, then chooses, then deletes camera by camera.
func (k *Keeper) evict(ctx context.Context, cameras []string) (Result, error) {
	var total Result
	heads := make([]*oldest, 0, len(cameras))
	for _, id := range cameras {
		h := &oldest{camera: id}
		held, err := h.load(ctx, k)
		total.Held += held
		if err != nil {
			return total, err
		}
		heads = append(heads, h)
	}
	chosen, err := k.choose(ctx, heads, total.Held-k.o.Cap)
	if err != nil {
		return total, err
	}
	for _, h := range heads {
		res, err := k.remove(ctx, h.camera, chosen[h.camera], RuleCap)
		total.add(res)
		total.Held -= res.Bytes
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// choose picks the oldest segments, together at least excess bytes, that are neither locked nor too young.
func (k *Keeper) choose(ctx context.Context, heads []*oldest, excess int64) (map[string][]segment.Record, error) {
	limit := k.o.Now().Add(-k.o.MinAge)
	chosen := make(map[string][]segment.Record)
	for n := 0; excess > 0 && n < perEviction; n++ {
		var first *oldest
		for _, h := range heads {
			if err := h.fill(ctx, k); err != nil {
				return nil, err
			}
			if len(h.queue) > 0 && (first == nil || h.queue[0].Start.Before(first.queue[0].Start)) {
				first = h
			}
		}
		if first == nil || k.o.MinAge > 0 && first.queue[0].End().After(limit) {
			k.o.Log.WarnContext(ctx, "the store is over its cap, but locks and policy allow no more eviction",
				"excess", excess, "cap", k.o.Cap)
			break
		}
		r := first.queue[0]
		first.queue = first.queue[1:]
		chosen[first.camera] = append(chosen[first.camera], r)
		excess -= r.Bytes
	}
	return chosen, nil
}

// oldest walks one camera's unlocked records from the oldest on.
type oldest struct {
	camera string
	days   []time.Time
	locked []segment.Range
	queue  []segment.Record
}

// load finds the days and locks of the camera and adds up its bytes.
func (o *oldest) load(ctx context.Context, k *Keeper) (held int64, err error) {
	if o.days, err = k.o.Index.Days(ctx, o.camera); err != nil {
		return 0, err
	}
	if o.locked, err = k.o.Guard.Locked(ctx, o.camera); err != nil {
		return 0, err
	}
	for _, day := range o.days {
		records, err := k.dayOf(ctx, o.camera, day)
		if err != nil {
			return held, err
		}
		for _, r := range records {
			held += r.Bytes
		}
	}
	return held, nil
}

func (o *oldest) fill(ctx context.Context, k *Keeper) error {
	for len(o.queue) == 0 && len(o.days) > 0 {
		records, err := k.dayOf(ctx, o.camera, o.days[0])
		if err != nil {
			return err
		}
		o.days = o.days[1:]
		for _, r := range records {
			if !covers(o.locked, r.Range()) {
				o.queue = append(o.queue, r)
			}
		}
	}
	return nil
}

// dayOf returns the records that start on the day.
func (k *Keeper) dayOf(ctx context.Context, camera string, day time.Time) ([]segment.Record, error) {
	records, err := k.o.Index.Range(ctx, camera, segment.Range{From: day, To: day.AddDate(0, 0, 1)})
	if err != nil {
		return nil, err
	}
	for len(records) > 0 && records[0].Start.Before(day) {
		records = records[1:]
	}
	return records, nil
}
