package retain

import (
	"context"
	"fmt"
	"time"

	"skein/recorder/segment"
)

// Forecast tells how the archive will grow under the present retention classes.
type Forecast struct {
	Cameras   int   `json:"cameras"`
	PerDay    int64 `json:"bytes_per_day"` // recorded in the last full 24 hours
	Steady    int64 `json:"bytes_steady"`  // what the classes hold at this rate once they are full; -1: some are for ever
	Held      int64 `json:"bytes_held"`
	DaysLeft  int   `json:"days_left"` // until free bytes are used up; -1: never at this rate
	Shortfall int64 `json:"shortfall"` // by how much Steady exceeds what there is room for; 0 if it fits
}

// Forecast adds up the index. free is how many bytes the store can still take.
func (k *Keeper) Forecast(ctx context.Context, free int64) (Forecast, error) {
	var f Forecast
	cameras, err := k.o.Index.Cameras(ctx)
	if err != nil {
		return f, fmt.Errorf("forecast: %w", err)
	}
	now := k.o.Now()
	last := segment.Range{From: now.Add(-24 * time.Hour), To: now}
	list := make([]usage, 0, len(cameras))
	for _, id := range cameras {
		u := usage{keep: k.o.Policy(id)}
		days, err := k.o.Index.Days(ctx, id)
		if err != nil {
			return f, fmt.Errorf("forecast: %w", err)
		}
		for _, day := range days {
			records, err := k.dayOf(ctx, id, day)
			if err != nil {
				return f, fmt.Errorf("forecast: %w", err)
			}
			for _, r := range records {
				u.held += r.Bytes
				if r.Start.After(last.From) && !r.Start.After(last.To) {
					u.perDay += r.Bytes
				}
			}
		}
		list = append(list, u)
	}
	return forecast(list, free), nil
}

// usage is one camera's share.
type usage struct {
	keep         int // days, 0: for ever
	held, perDay int64
}

// forecast simulates day by day: each camera grows by its rate until it holds what its class allows.
func forecast(list []usage, free int64) Forecast {
	f := Forecast{Cameras: len(list), DaysLeft: -1}
	forever := false
	for _, u := range list {
		f.PerDay += u.perDay
		f.Held += u.held
		f.Steady += u.perDay * int64(u.keep)
		forever = forever || (u.keep <= 0 && u.perDay > 0)
	}
	room := f.Held + free
	if forever {
		f.Steady = -1
	} else {
		f.Shortfall = max(0, f.Steady-room)
	}
	const horizon = 3650
	for day := 0; day <= horizon; day++ {
		var need int64
		for _, u := range list {
			grown := u.held + u.perDay*int64(day)
			if u.keep > 0 {
				grown = min(grown, max(u.held, u.perDay*int64(u.keep)))
			}
			need += grown
		}
		if need > room {
			f.DaysLeft = max(0, day-1)
			break
		}
	}
	return f
}
