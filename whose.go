package main

import (
	"fmt"

	"skein/config"
	"skein/config/district"
	"skein/internal/caller"
	"skein/recorder"
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

// ships tells which node may ship a camera's footage to a recorder with this inventory, where so many nodes are edges:
// the one that the camera names; of a camera that names none the only edge; of one that publishes itself any gateway.
func ships(inv *inventory, edges int) func(caller.Node, string) error {
	return func(n caller.Node, camera string) error {
		in := inv.current()
		if len(in.Sources()) == 0 {
			return recorder.ErrFirstContact
		}
		c, ok := in.Camera(camera)
		switch {
		case !ok:
			return fmt.Errorf("the recorder's inventory has no camera %.70q", camera)
		case c.Record == "" || c.Record == district.RecordNone:
			return fmt.Errorf("camera %s is not recorded, by the recorder's inventory", camera)
		case c.Edge == n.ID:
			return nil
		case c.Edge != "":
			return fmt.Errorf("camera %s is of node %s, not of %s", camera, c.Edge, n.ID)
		case c.Pushed() != (n.Kind == caller.Gateway):
			return fmt.Errorf("camera %s is not one that a node of kind %s ships", camera, n.Kind)
		case !c.Pushed() && edges > 1:
			return fmt.Errorf("camera %s names no edge, and there are %d: write edge: NODE in the recorder's inventory", camera,
				edges)
		}
		return nil
	}
}

// countEdges returns how many nodes of the configuration are edges.
func countEdges(cfg *config.Config) int {
	edges := 0
	for _, n := range cfg.Access.Nodes {
		if n.Node().Kind == caller.Edge {
			edges++
		}
	}
	return edges
}
