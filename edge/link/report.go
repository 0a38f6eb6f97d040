package link

import (
	"context"
	"reflect"
	"time"

	"github.com/coder/websocket"

	"skein/edge/status"
)

// reportCameras is how many cameras one status message holds at most: far below MaxMessage.
const reportCameras = 500

// reporter sends states over one link: all of them at first and every now and then, changed ones at once.
type reporter struct {
	c    *Client
	conn *websocket.Conn
	sent map[string]status.Camera
}

func newReporter(c *Client, conn *websocket.Conn) *reporter {
	return &reporter{c: c, conn: conn, sent: map[string]status.Camera{}}
}

func (r *reporter) run(ctx context.Context) error {
	if err := r.full(ctx); err != nil {
		return err
	}
	poll, resync := time.NewTicker(r.c.o.Poll), time.NewTicker(r.c.o.Resync)
	defer poll.Stop()
	defer resync.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.c.poke:
			err = send(ctx, r.conn, Message{Type: TypeOffer, Offer: &Offer{Cameras: r.c.o.Offer()}})
			if err == nil {
				err = r.full(ctx)
			}
		case <-r.c.failing:
			for _, f := range r.c.takeFailed() {
				if err = send(ctx, r.conn, Message{Type: TypeFailed, Failed: &f}); err != nil {
					break
				}
			}
		case <-poll.C:
			err = r.changes(ctx)
		case <-resync.C:
			err = r.full(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// full sends all states, in as many messages as needed.
func (r *reporter) full(ctx context.Context) error {
	all := r.c.o.Statuses.Cameras()
	clear(r.sent)
	for _, c := range all {
		r.sent[c.ID] = c
	}
	for first := true; ; first = false {
		n := min(len(all), reportCameras)
		s := Status{Full: true, First: first, Last: n == len(all), Cameras: all[:n]}
		if err := r.send(ctx, s); err != nil {
			return err
		}
		if all = all[n:]; len(all) == 0 {
			return nil
		}
	}
}

// changes sends the states that are not what they were.
func (r *reporter) changes(ctx context.Context) error {
	var changed []status.Camera
	for _, c := range r.c.o.Statuses.Cameras() {
		if old, ok := r.sent[c.ID]; !ok || !same(old, c) {
			changed = append(changed, c)
			r.sent[c.ID] = c
		}
	}
	for len(changed) > 0 {
		n := min(len(changed), reportCameras)
		if err := r.send(ctx, Status{Cameras: changed[:n]}); err != nil {
			return err
		}
		changed = changed[n:]
	}
	return nil
}

func (r *reporter) send(ctx context.Context, s Status) error {
	if s.Cameras == nil {
		s.Cameras = []status.Camera{}
	}
	return send(ctx, r.conn, Message{Type: TypeStatus, Status: &s})
}

// same reports whether two states tell people the same. Measurements that change with every frame are left out: they
// follow with the next full report.
func same(a, b status.Camera) bool {
	if len(a.Profiles) != len(b.Profiles) || !a.Recording.Alike(b.Recording) {
		return false
	}
	for k, p := range a.Profiles {
		q, ok := b.Profiles[k]
		if !ok || !reflect.DeepEqual(lasting(p), lasting(q)) {
			return false
		}
	}
	return true
}

func lasting(p status.Profile) status.Profile {
	p.FPS, p.Kbps, p.DelayMS, p.LostPackets, p.LossPercent, p.Damaged = 0, 0, 0, 0, 0, 0
	p.LastFrame, p.LastKey, p.Retry = time.Time{}, time.Time{}, time.Time{}
	p.ClockOffsetMS = nil
	return p
}
