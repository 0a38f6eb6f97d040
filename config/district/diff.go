package district

import (
	"reflect"
	"slices"
)

// Change is what a reload did to the cameras and terminals. Each slice is in inventory order.
type Change struct {
	Added, Edited []Camera
	Removed       []string
}

// Empty reports whether nothing changed.
func (c Change) Empty() bool { return len(c.Added)+len(c.Edited)+len(c.Removed) == 0 }

// Diff compares two inventories. A camera that is the same in both appears nowhere in the change.
func Diff(old, next *Inventory) Change {
	var c Change
	was := map[string]Camera{}
	for _, cam := range old.Sources() {
		was[cam.ID] = cam
	}
	for _, cam := range next.Sources() {
		prev, ok := was[cam.ID]
		delete(was, cam.ID)
		switch {
		case !ok:
			c.Added = append(c.Added, cam)
		case !reflect.DeepEqual(prev, cam):
			c.Edited = append(c.Edited, cam)
		}
	}
	for id := range was {
		c.Removed = append(c.Removed, id)
	}
	slices.Sort(c.Removed)
	return c
}
