package index

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"skein/recorder/segment"
)

// query reads a run of hours of one camera together with its head, in one transaction, so that shard bytes and the
// table that explains them belong together.
type query struct {
	camera string
	hours  []int64
	head   *redis.StringCmd
	values *redis.SliceCmd
}

func (q *query) send(ctx context.Context, p redis.Pipeliner) {
	keys := make([]string, len(q.hours))
	for i, h := range q.hours {
		keys[i] = hourKey(q.camera, h)
	}
	q.head = p.Get(ctx, headKey(q.camera))
	q.values = p.MGet(ctx, keys...)
}

// records decodes what the query brought and keeps what overlaps within.
func (q *query) records(within segment.Range) ([]segment.Record, error) {
	raw, err := q.head.Bytes()
	if err != nil && err != redis.Nil { //nolint:errorlint // redis.Nil is never wrapped
		return nil, fmt.Errorf("index camera %s: %w", q.camera, serverError(err))
	}
	head, err := decodeHead(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: run check --rebuild", headKey(q.camera), err)
	}
	values, err := q.values.Result()
	if err != nil {
		return nil, fmt.Errorf("index camera %s: %w", q.camera, serverError(err))
	}
	size := 0
	for _, v := range values {
		if s, ok := v.(string); ok {
			size += len(s)/recordSize + 1
		}
	}
	if size == 0 {
		return nil, nil
	}
	if most := 4 + int(within.Duration()/(4*time.Second)); most < size {
		size = most // segments are seldom shorter; a longer answer grows
	}
	all := make([]segment.Record, 0, size)
	for i, v := range values {
		s, ok := v.(string)
		if !ok {
			continue // no such hour
		}
		if all, err = decodeWithin(all, []byte(s), q.hours[i], head.shards, within); err != nil {
			return nil, fmt.Errorf("%s: %w: run check --rebuild", hourKey(q.camera, q.hours[i]), err)
		}
	}
	return overlapping(all, within), nil
}

// overlapping keeps the records of an ascending list that overlap within. What does not lies at the ends, but for
// records that are inside others, so most are not moved.
func overlapping(all []segment.Record, within segment.Range) []segment.Record {
	out := func(r *segment.Record) bool { return !r.Range().Overlaps(within) && !instant(*r, within) }
	for len(all) > 0 && out(&all[0]) {
		all = all[1:]
	}
	for len(all) > 0 && out(&all[len(all)-1]) {
		all = all[:len(all)-1]
	}
	for i := range all {
		if all[i].End().After(within.From) && all[i].Start.Before(within.To) {
			continue
		}
		if out(&all[i]) {
			return slices.DeleteFunc(all, func(r segment.Record) bool { return out(&r) })
		}
	}
	return all
}

// instant reports whether r is a segment without length that lies within.
func instant(r segment.Record, within segment.Range) bool {
	return r.Duration == 0 && !r.Start.Before(within.From) && r.Start.Before(within.To)
}

// hoursOf returns the hours whose segments can overlap within: one before the first, since a segment may reach over
// the full hour by at most MaxDuration.
func hoursOf(within segment.Range) (first, last int64) {
	return max(0, hourOf(within.From.Add(-MaxDuration))), hourOf(within.To.Add(-time.Millisecond))
}

// Range returns the records that overlap within, ordered by Start. A camera without any is no error.
func (x *Index) Range(ctx context.Context, camera string, within segment.Range) ([]segment.Record, error) {
	if err := checkCamera(camera); err != nil {
		return nil, err
	}
	first, last := hoursOf(within)
	if !within.From.Before(within.To) || last < first {
		return nil, nil
	}
	if last-first < spanHours {
		lists, err := x.run(ctx, []*query{{camera: camera, hours: hourList(first, last)}}, within)
		if err != nil {
			return nil, err
		}
		return lists[0], nil
	}
	return x.longRange(ctx, camera, within)
}

// longRange reads the days that exist, a month per command.
func (x *Index) longRange(ctx context.Context, camera string, within segment.Range) ([]segment.Record, error) {
	head, err := x.head(ctx, camera)
	if err != nil {
		return nil, err
	}
	first, last := hoursOf(within)
	var out []segment.Record
	for days := range slices.Chunk(head.days, spanHours/24) {
		var hours []int64
		for _, d := range days {
			hours = append(hours, hourList(max(first, int64(d)*24), min(last, int64(d)*24+23))...)
		}
		if len(hours) == 0 {
			continue
		}
		lists, err := x.run(ctx, []*query{{camera: camera, hours: hours}}, within)
		if err != nil {
			return nil, err
		}
		out = append(out, lists[0]...)
	}
	return out, nil
}

func hourList(first, last int64) []int64 {
	var out []int64
	for h := first; h <= last; h++ {
		out = append(out, h)
	}
	return out
}

// RangeMany is Range for many cameras in one round trip; the results are in the order of cameras. The range may be at
// most a month long.
func (x *Index) RangeMany(
	ctx context.Context, cameras []string, within segment.Range,
) ([][]segment.Record, error) {
	first, last := hoursOf(within)
	if last-first >= spanHours {
		return nil, fmt.Errorf("%w: a range over many cameras is at most a month", ErrRecord)
	}
	if !within.From.Before(within.To) || last < first {
		return make([][]segment.Record, len(cameras)), nil
	}
	queries := make([]*query, len(cameras))
	for i, id := range cameras {
		if err := checkCamera(id); err != nil {
			return nil, err
		}
		queries[i] = &query{camera: id, hours: hourList(first, last)}
	}
	return x.run(ctx, queries, within)
}

// run sends the queries and decodes their answers. One query runs as a transaction of its own slot; of several, each
// camera's pair of commands goes to the same server in sequence, which is as good unless its index is reset between.
func (x *Index) run(ctx context.Context, queries []*query, within segment.Range) ([][]segment.Record, error) {
	send := x.c.Pipelined
	if len(queries) == 1 {
		send = x.c.TxPipelined
	}
	_, err := send(ctx, func(p redis.Pipeliner) error {
		for _, q := range queries {
			q.send(ctx, p)
		}
		return nil
	})
	if err != nil && err != redis.Nil { //nolint:errorlint // redis.Nil is never wrapped
		return nil, fmt.Errorf("read index: %w", serverError(err))
	}
	out := make([][]segment.Record, len(queries))
	for i, q := range queries {
		if out[i], err = q.records(within); err != nil {
			return nil, err
		}
	}
	return out, nil
}
