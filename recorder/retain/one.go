package retain

import (
	"context"
	"errors"
	"fmt"

	"skein/recorder/segment"
	"skein/recorder/store"
)

// Remove deletes one segment to make room: tombstone, record, object, in this order. Locked footage gives
// store.ErrLocked and stays.
func (k *Keeper) Remove(ctx context.Context, camera string, r segment.Record) error {
	done, err := k.remove(ctx, camera, []segment.Record{r}, RuleCap)
	switch {
	case err != nil:
		return err
	case done.Locked > 0:
		return fmt.Errorf("%s: %w", r.Key(camera), store.ErrLocked)
	case done.Failed > 0:
		return errors.New("the store or the index refused to delete " + r.Key(camera))
	}
	return nil
}
