package api

import (
	"skein/config/district"
	"skein/gateway/access"
)

// scope answers quickly who may see what in one inventory. It is immutable.
type scope struct {
	inv     *district.Inventory
	sources []district.Camera
	byID    map[string]district.Camera
	parents map[string]string // of every unit
}

// inventory returns the scope of the inventory in force.
func (s *Server) inventory() *scope {
	inv := s.o.Inventory()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.scope == nil || s.scope.inv != inv {
		s.scope = newScope(inv)
	}
	return s.scope
}

func newScope(inv *district.Inventory) *scope {
	sc := &scope{inv: inv, sources: inv.Sources(), byID: map[string]district.Camera{}, parents: map[string]string{}}
	for _, c := range sc.sources {
		sc.byID[c.ID] = c
	}
	for _, u := range inv.Units {
		sc.parents[u.ID] = u.Parent
	}
	return sc
}

// below reports whether unit is root or below it. Neither may be empty.
func (sc *scope) below(root, unit string) bool {
	for range len(sc.parents) + 1 { // an inventory with a circle must not hang us
		if unit == root {
			return unit != ""
		}
		parent, ok := sc.parents[unit]
		if !ok {
			return false
		}
		unit = parent
	}
	return false
}

// unit reports whether the principal may see the unit.
func (sc *scope) unit(p access.Principal, unit string) bool {
	return p.Everywhere() || sc.below(p.Unit, unit)
}

// camera returns the camera if it exists and the principal may see it. The two cannot be told apart from outside.
func (sc *scope) camera(p access.Principal, id string) (district.Camera, bool) {
	c, ok := sc.byID[id]
	if !ok || !sc.unit(p, c.Unit) {
		return district.Camera{}, false
	}
	return c, true
}

// cameras returns all cameras and terminals the principal may see, in inventory order.
func (sc *scope) cameras(p access.Principal) []district.Camera {
	var out []district.Camera
	for _, c := range sc.sources {
		if sc.unit(p, c.Unit) {
			out = append(out, c)
		}
	}
	return out
}

// Edge returns the node that the inventory gives a camera to, "" for none; ok is false for a camera it does not know.
func (s *Server) Edge(camera string) (node string, ok bool) {
	c, ok := s.inventory().byID[camera]
	return c.Edge, ok
}

// May reports whether the principal may do act with the camera: its role allows it and the camera is in its scope.
func (s *Server) May(p access.Principal, act access.Action, camera string) bool {
	if !p.May(act) {
		return false
	}
	_, ok := s.inventory().camera(p, camera)
	return ok
}

// Still is May for what goes on after the request that began it: the login must not be over by now, and role and scope
// are those of today.
func (s *Server) Still(p access.Principal, act access.Action, camera string) bool {
	now, ok := s.o.Access.Current(p)
	return ok && s.May(now, act, camera)
}
