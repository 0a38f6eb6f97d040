package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"skein/config/district"
	"skein/recorder/index"
	"skein/recorder/segment"
)

const (
	indexQueries = 10_000
	indexWarmUp  = 200 // rounds until connections and caches are warm
)

// indexQuery is one kind of query and how long each took.
type indexQuery struct {
	ask  func(ctx context.Context, from time.Time) error
	took []time.Duration
}

// indexAsker asks the index as one officer at the console does: one query after the other.
type indexAsker struct {
	x      *index.Index
	client *redis.Client
	inv    *district.Inventory
	rnd    *rand.Rand
	found  int // cameras within 1 km, over all queries
}

// queryIndex measures the two queries of the console, and beside them what they cannot do without: a PING, and the
// bytes of a camera-day. Each round asks all in an order of its own, so that load and garbage fall on each alike.
func queryIndex(ctx context.Context, x *index.Index, client *redis.Client, t *table) error {
	a := &indexAsker{x: x, client: client, inv: &district.Inventory{}, rnd: rand.New(rand.NewPCG(3, 3))}
	for i := range indexCameras { // a grid of 32 by 32 in 10 by 10 km
		a.inv.Cameras = append(a.inv.Cameras, district.Camera{ID: syntheticID(i), Location: &district.Location{
			Lat: 26.8 + float64(i/32)*0.0028, Lon: 112.6 + float64(i%32)*0.0031,
		}})
	}
	ping, bytes, day, near := &indexQuery{ask: a.ping}, &indexQuery{ask: a.bytes}, &indexQuery{ask: a.day},
		&indexQuery{ask: a.near}
	runtime.GC() // what filling the index left behind
	order := []*indexQuery{ping, bytes, day, near}
	for i := range indexWarmUp + indexQueries {
		a.rnd.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, q := range order {
			at := time.Duration(a.rnd.IntN(86400)) * time.Second
			from := syntheticBase().AddDate(0, 0, a.rnd.IntN(indexDays-1)).Add(at)
			began := time.Now()
			if err := q.ask(ctx, from); err != nil {
				return err
			}
			if i >= indexWarmUp {
				q.took = append(q.took, time.Since(began))
			}
		}
	}
	for _, q := range order {
		slices.Sort(q.took)
	}
	both := func(q *indexQuery) string {
		return fmt.Sprintf("%.2f / %.2f ms", millis(q.took, 0.5), millis(q.took, 0.99))
	}
	t.add("PING between the queries, what the machine itself costs: p50 / p99", both(ping), "", true)
	t.add("the bytes of a camera-day, nothing unpacked: p50 / p99", both(bytes), "", true)
	t.add("one camera-day (2,800 records): p50 / p99", both(day), "p99 <= 2 ms", millis(day.took, 0.99) <= 2)
	t.add("one camera-day, its bytes, PING: above 2 ms", fmt.Sprintf("%.1f, %.1f, %.1f %%", day.slower(2), bytes.slower(2),
		ping.slower(2)), "", true)
	t.add(fmt.Sprintf("10 minutes over all cameras within 1 km (%d on average): p50 / p99",
		a.found/(indexWarmUp+indexQueries)), both(near), "p99 <= 20 ms", millis(near.took, 0.99) <= 20)
	return nil
}

// slower returns how many percent of a sorted list took more than so many milliseconds.
func (q *indexQuery) slower(ms int) float64 {
	n, _ := slices.BinarySearch(q.took, time.Duration(ms)*time.Millisecond+1)
	return 100 * float64(len(q.took)-n) / float64(len(q.took))
}

func (a *indexAsker) ping(ctx context.Context, _ time.Time) error { return a.client.Ping(ctx).Err() }

// bytes reads the values that a camera-day is in.
func (a *indexAsker) bytes(ctx context.Context, from time.Time) error {
	head := fmt.Sprintf("seg:{%s}", syntheticID(a.rnd.IntN(indexCameras)))
	keys := []string{head}
	for h := from.Unix()/3600 - 1; h*3600 < from.Unix()+86400; h++ {
		keys = append(keys, fmt.Sprintf("%s:%d", head, h))
	}
	return a.client.MGet(ctx, keys...).Err()
}

func (a *indexAsker) day(ctx context.Context, from time.Time) error {
	within := segment.Range{From: from, To: from.AddDate(0, 0, 1)}
	list, err := a.x.Range(ctx, syntheticID(a.rnd.IntN(indexCameras)), within)
	if err != nil || len(list) < 2700 {
		return fmt.Errorf("camera-day of %d records: %w", len(list), err)
	}
	return nil
}

func (a *indexAsker) near(ctx context.Context, from time.Time) error {
	at := a.inv.Cameras[33*6+a.rnd.IntN(600)].Location
	var ids []string
	for _, c := range a.inv.NearTo(*at, 1000) {
		ids = append(ids, c.Camera.ID)
	}
	a.found += len(ids)
	_, err := a.x.RangeMany(ctx, ids, segment.Range{From: from, To: from.Add(10 * time.Minute)})
	return err
}

// millis returns a percentile of a sorted list in milliseconds.
func millis(d []time.Duration, p float64) float64 {
	return float64(d[int(float64(len(d)-1)*p)].Microseconds()) / 1000
}
