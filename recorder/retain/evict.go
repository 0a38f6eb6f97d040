package retain

import (
	"context"

	"skein/recorder/segment"
)

// Evict deletes segments of one camera to make room: tombstones, then record and object of each, in this order. Locked
// footage stays. Where a segment is younger than its camera's retention, its tombstone says what was promised.
func (k *Keeper) Evict(ctx context.Context, camera string, records []segment.Record) (Result, error) {
	res, err := k.remove(ctx, camera, records, RuleCap)
	k.metrics.sweep(res)
	return res, err
}
