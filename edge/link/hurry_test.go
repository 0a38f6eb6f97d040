package link_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"skein/config/secret"
	"skein/edge/link"
)

func TestHurryOverTheLink(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var asked []string
		w := newWorld(t, func(_ *link.HubOptions, co *link.ClientOptions) {
			co.Hurry = func(ctx context.Context, camera string, until time.Time) error {
				mu.Lock()
				asked = append(asked, fmt.Sprint(camera, " ", time.Until(until)))
				mu.Unlock()
				switch camera {
				case "cam1": // never done
					<-ctx.Done()
					return ctx.Err()
				case "cam2":
					return errors.New("the disk is full")
				}
				time.Sleep(700 * time.Millisecond)
				return nil
			}
		})
		defer w.stop()
		w.site.set("cam2", "live")
		w.client.OfferChanged()
		synctest.Wait()
		hurry := func(camera string) (time.Duration, error) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			began := time.Now()
			err := w.hub.Hurry(ctx, camera, began.Add(-time.Second))
			return time.Since(began), err
		}
		if d, err := hurry("cam0"); err != nil || d != 700*time.Millisecond {
			t.Errorf("%v after %v", err, d)
		}
		if d, err := hurry("cam1"); err == nil || d != 5*time.Second {
			t.Errorf("%v after %v", err, d)
		}
		if d, err := hurry("cam2"); err == nil || !strings.Contains(err.Error(), "the disk is full") || d != 0 {
			t.Errorf("%v after %v", err, d)
		}
		if _, err := hurry("nobody"); !errors.Is(err, link.ErrUnknown) {
			t.Errorf("%v", err)
		}
		if asked[0] != "cam0 -1s" || len(asked) != 3 {
			t.Errorf("the node was asked %v", asked)
		}
		// many at once are answered, beyond the node's limit with a refusal
		var wg sync.WaitGroup
		errs := make([]error, 40)
		for i := range errs {
			wg.Go(func() { _, errs[i] = hurry("cam0") })
		}
		wg.Wait()
		good := 0
		for _, err := range errs {
			if err == nil {
				good++
			}
		}
		if good != 16 {
			t.Errorf("%d of 40 at the same time, want 16", good)
		}
		// who gives up does not take the link along
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := w.hub.Hurry(ctx, "cam0", time.Now()); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		synctest.Wait()
		if !w.client.Up() {
			t.Error("the link is down")
		}
		// a link that breaks answers at once
		done := make(chan error, 1)
		go func() {
			_, err := hurry("cam1")
			done <- err
		}()
		synctest.Wait()
		began := time.Now()
		w.net.drop(true)
		if err := <-done; err == nil || time.Since(began) > time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if _, err := hurry("cam1"); !errors.Is(err, link.ErrNodeDown) {
			t.Errorf("%v", err)
		}
	})
}

func TestANodeThatShipsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(_ *link.HubOptions, co *link.ClientOptions) { co.Token = secret.New("token-of-east") })
		defer w.stop()
		if err := w.hub.Hurry(t.Context(), "cam0", time.Now()); err == nil || !strings.Contains(err.Error(), "ships nothing") {
			t.Errorf("%v", err)
		}
	})
}
