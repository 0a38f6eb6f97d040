package index

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"skein/recorder/segment"
)

// query reads a run of hours of one camera together with its head, in one command, so that shard bytes and the table
// that explains them belong together.
type query struct {
	camera string
	hours  []int64
	reply  *redis.SliceCmd
}

func (q *query) send(ctx context.Context, c redis.Cmdable) {
	keys := make([]string, 0, 1+len(q.hours))
	keys = append(keys, headKey(q.camera))
	for _, h := range q.hours {
		keys = append(keys, hourKey(q.camera, h))
	}
	q.reply = c.MGet(ctx, keys...)
}

// records unpacks what the query brought and keeps what overlaps within.
func (q *query) records(within segment.Range) ([]segment.Record, error) {
	values, err := q.reply.Result()
	if err != nil {
		return nil, fmt.Errorf("index camera %s: %w", q.camera, serverError(err))
	}
	packed, err := texts(values, 1+len(q.hours))
	if err != nil {
		return nil, fmt.Errorf("index camera %s: %w", q.camera, err)
	}
	head, err := decodeHead([]byte(packed[0]))
	if err != nil {
		return nil, fmt.Errorf("%s: %w: run check --rebuild", headKey(q.camera), err)
	}
	size := 0
	for i, h := range q.hours {
		n, err := countHour([]byte(packed[i+1]), h, within)
		if err != nil {
			return nil, fmt.Errorf("%s: %w: run check --rebuild", hourKey(q.camera, h), err)
		}
		size += n
	}
	if size == 0 {
		return nil, nil
	}
	all := make([]segment.Record, 0, size)
	for i, h := range q.hours {
		all = appendHour(all, []byte(packed[i+1]), h, head.shards, within)
	}
	return all, nil
}

// texts returns the n values of an MGET; that of a key that does not exist is empty.
func texts(values []any, n int) ([]string, error) {
	if len(values) != n {
		return nil, fmt.Errorf("the server sent %d values for %d keys", len(values), n)
	}
	out := make([]string, n)
	for i, v := range values {
		s, ok := v.(string)
		if !ok && v != nil {
			return nil, fmt.Errorf("the server sent a %T for a value", v)
		}
		out[i] = s
	}
	return out, nil
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

// run sends the queries in one round trip and unpacks their answers.
func (x *Index) run(ctx context.Context, queries []*query, within segment.Range) ([][]segment.Record, error) {
	if len(queries) == 1 {
		queries[0].send(ctx, x.c)
	} else if _, err := x.c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, q := range queries {
			q.send(ctx, p)
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read index: %w", serverError(err))
	}
	out := make([][]segment.Record, len(queries))
	for i, q := range queries {
		var err error
		if out[i], err = q.records(within); err != nil {
			return nil, err
		}
	}
	return out, nil
}
