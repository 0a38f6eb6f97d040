package main

import (
	"skein/config/district"
)

// owned chooses the cameras and terminals of an inventory that are a process's own.
type owned func(*district.Inventory) []district.Camera

// here are those of a node that does everything: they name it or no edge.
func here(node string) owned {
	return keep(func(c district.Camera) bool { return c.Edge == "" || c.Edge == node })
}

// pulled are those of a site's edge: what publishes cannot reach it.
func pulled(node string) owned {
	return keep(func(c district.Camera) bool { return !c.Pushed() && (c.Edge == "" || c.Edge == node) })
}

// published are those of a gateway beside edges.
func published() owned { return keep(district.Camera.Pushed) }

func keep(mine func(district.Camera) bool) owned {
	return func(inv *district.Inventory) []district.Camera {
		var out []district.Camera
		for _, c := range inv.Sources() {
			if mine(c) {
				out = append(out, c)
			}
		}
		return out
	}
}
