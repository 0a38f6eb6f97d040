package api

import (
	"context"
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"skein/config/district"
	"skein/edge/status"
	"skein/gateway/access"
)

type unitsOutput struct {
	Body unitsBody
}

type unitsBody struct {
	Units []unitJSON `json:"units"`
}

type unitJSON struct {
	ID     string          `json:"id"`
	Name   string          `json:"name"`
	Tier   district.Tier   `json:"tier" enum:"district,town,community"`
	Parent string          `json:"parent" doc:"empty for the district; may be out of the caller's scope"`
	Grids  []district.Grid `json:"grids"`
}

type camerasInput struct {
	Unit   string   `query:"unit" doc:"only cameras of this unit and everything below"`
	Q      string   `query:"q" maxLength:"200" doc:"only cameras whose id, name, unit or grid contains this"`
	ID     []string `query:"id,explode" maxItems:"500" doc:"only these cameras; those out of scope are left out"`
	Limit  int      `query:"limit" minimum:"0" maximum:"10000" doc:"0: all"`
	Cursor string   `query:"cursor" maxLength:"64" doc:"next of the page before"`
}

type camerasOutput struct {
	ETag string `header:"ETag" doc:"of all but now"`
	Body camerasBody
}

type camerasBody struct {
	Now     time.Time    `json:"now" doc:"the gateway's clock"`
	Version string       `json:"version" doc:"what GET /v1/changes goes on from: its parameter since"`
	Cameras []cameraJSON `json:"cameras"`
	Next    string       `json:"next,omitempty" doc:"cursor of the next page; absent on the last"`
}

// cameraJSON is what callers see of a camera. Addresses and credentials have no field here.
type cameraJSON struct {
	ID            string                    `json:"id"`
	Name          string                    `json:"name"`
	Kind          district.Kind             `json:"kind" enum:"camera,terminal"`
	Unit          string                    `json:"unit"`
	Grid          string                    `json:"grid"`
	Location      *district.Location        `json:"location"`
	Edge          string                    `json:"edge" doc:"node that pulls it; empty: the gateway itself"`
	Pushed        bool                      `json:"pushed" doc:"it publishes itself: POST /v1/whip/{id}"`
	State         status.State              `json:"state" doc:"the state of the best usable profile"`
	Reason        status.Reason             `json:"reason,omitempty"`
	Detail        string                    `json:"detail,omitempty"`
	Since         *time.Time                `json:"since,omitempty"`
	Profiles      map[string]status.Profile `json:"profiles"`
	Recording     status.Recording          `json:"recording"`
	RetentionDays int                       `json:"retention_days"`
}

func (s *Server) registerInventory() {
	huma.Register(s.huma, huma.Operation{
		OperationID: "units", Method: http.MethodGet, Path: "/v1/units", Summary: "Units in the caller's scope",
	}, s.units)
	huma.Register(s.huma, huma.Operation{
		OperationID: "cameras", Method: http.MethodGet, Path: "/v1/cameras",
		Summary: "Cameras and terminals in the caller's scope, with their states",
	}, s.cameras)
}

func (s *Server) units(ctx context.Context, _ *struct{}) (*unitsOutput, error) {
	p, err := principal(ctx, access.SeeInventory)
	if err != nil {
		return nil, err
	}
	sc := s.inventory()
	out := &unitsOutput{Body: unitsBody{Units: []unitJSON{}}}
	for _, u := range sc.inv.Units {
		if !sc.unit(p, u.ID) {
			continue
		}
		j := unitJSON{ID: u.ID, Name: u.Name, Tier: u.Tier, Parent: u.Parent, Grids: u.Grids}
		if j.Grids == nil {
			j.Grids = []district.Grid{}
		}
		out.Body.Units = append(out.Body.Units, j)
	}
	return out, nil
}

func (s *Server) cameras(ctx context.Context, in *camerasInput) (*camerasOutput, error) {
	p, err := principal(ctx, access.SeeInventory)
	if err != nil {
		return nil, err
	}
	sc := s.inventory()
	if in.Unit != "" && !sc.known(p, in.Unit) {
		return nil, huma.Error404NotFound("no such unit")
	}
	// First the version, then the states: what changes in between is told twice rather than never.
	version := s.feed.mark().String()
	list := sc.find(p, in.Unit, in.Q)
	if len(in.ID) > 0 {
		list = slices.DeleteFunc(list, func(c district.Camera) bool { return !slices.Contains(in.ID, c.ID) })
	}
	if in.Cursor != "" {
		if list, err = after(list, in.Cursor); err != nil {
			return nil, err
		}
	}
	out := &camerasOutput{Body: camerasBody{Now: s.now().UTC(), Version: version, Cameras: []cameraJSON{}}}
	if in.Limit > 0 && len(list) > in.Limit {
		list = list[:in.Limit]
		out.Body.Next = list[len(list)-1].ID
	}
	states := s.states()
	for _, c := range list {
		out.Body.Cameras = append(out.Body.Cameras, describe(c, stateOf(c, states)))
	}
	out.ETag, err = tagOf(out.Body)
	return out, err
}

// tagOf is the entity tag of a list: that of its content, whenever it was read.
func tagOf(b camerasBody) (string, error) {
	h := fnv.New128a()
	if err := marshal(h, []any{b.Cameras, b.Next}); err != nil {
		return "", fmt.Errorf("entity tag: %w", err)
	}
	return fmt.Sprintf(`W/"%x"`, h.Sum(nil)), nil
}

// known reports whether the unit exists and the principal may see it.
func (sc *scope) known(p access.Principal, unit string) bool {
	_, exists := sc.parents[unit]
	return exists && sc.unit(p, unit)
}

// find returns the cameras in scope that match, in inventory order.
func (sc *scope) find(p access.Principal, unit, q string) []district.Camera {
	q = strings.ToLower(strings.TrimSpace(q))
	names := map[string]string{}
	for _, u := range sc.inv.Units {
		names[u.ID] = u.Name
	}
	var out []district.Camera
	for _, c := range sc.cameras(p) {
		if unit != "" && !sc.below(unit, c.Unit) {
			continue
		}
		text := strings.ToLower(strings.Join([]string{c.ID, c.Name, c.Unit, names[c.Unit], c.Grid}, "\n"))
		if strings.Contains(text, q) {
			out = append(out, c)
		}
	}
	return out
}

// after returns what follows the camera named by the cursor.
func after(list []district.Camera, cursor string) ([]district.Camera, error) {
	for i, c := range list {
		if c.ID == cursor {
			return list[i+1:], nil
		}
	}
	return nil, huma.Error400BadRequest("the cursor is of another list, or its camera is gone: begin again without it")
}

// describe joins a camera with its state.
func describe(c district.Camera, st status.Camera) cameraJSON {
	best := bestProfile(st.Profiles)
	j := cameraJSON{
		ID: c.ID, Name: c.Name, Kind: c.Kind, Unit: c.Unit, Grid: c.Grid, Location: c.Location, Edge: c.Edge,
		Pushed: c.Pushed(),
		State:  best.State, Reason: best.Reason, Detail: best.Detail,
		Profiles: st.Profiles, Recording: st.Recording, RetentionDays: c.Days(),
	}
	if !best.Since.IsZero() {
		t := best.Since.UTC()
		j.Since = &t
	}
	return j
}

// maxNamed is how many cameras one row about the inventory names.
const maxNamed = 500

// InventoryChanged writes the row about a reload of the inventory: whoever may change the files decides what is
// recorded, and who sees it.
func (s *Server) InventoryChanged(c district.Change) {
	e := access.Event{
		Actor: "skein", Action: access.ActConfig, Outcome: access.Done, Detail: fmt.Sprintf(
			"inventory reloaded: %d cameras added, %d edited, %d removed", len(c.Added), len(c.Edited), len(c.Removed)),
	}
	for _, cam := range slices.Concat(c.Added, c.Edited) {
		e.Cameras = append(e.Cameras, cam.ID)
	}
	e.Cameras = append(e.Cameras, c.Removed...)
	e.Cameras = e.Cameras[:min(len(e.Cameras), maxNamed)]
	if _, err := s.o.Access.Audit().Append(e); err != nil {
		s.log.Error("audit row lost", "action", e.Action, "err", err)
	}
}
