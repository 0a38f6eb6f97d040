package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"skein/config/district"
	"skein/edge/status"
	"skein/gateway/access"
)

type healthOutput struct {
	Body healthBody
}

type healthBody struct {
	Now     time.Time            `json:"now"`
	Summary map[status.State]int `json:"summary" doc:"cameras by state"`
	Cameras []status.Camera      `json:"cameras"`
}

func (s *Server) registerHealth() {
	huma.Register(s.huma, huma.Operation{
		OperationID: "health-cameras", Method: http.MethodGet, Path: "/v1/health/cameras",
		Summary: "How the cameras in scope are, profile by profile",
	}, s.healthCameras)
}

func (s *Server) healthCameras(ctx context.Context, _ *struct{}) (*healthOutput, error) {
	p, err := principal(ctx, access.SeeHealth)
	if err != nil {
		return nil, err
	}
	out := &healthOutput{Body: healthBody{
		Now: s.now().UTC(), Summary: map[status.State]int{}, Cameras: []status.Camera{},
	}}
	states := s.states()
	for _, c := range s.inventory().cameras(p) {
		st := stateOf(c, states)
		out.Body.Summary[bestProfile(st.Profiles).State]++
		out.Body.Cameras = append(out.Body.Cameras, st)
	}
	return out, nil
}

func (s *Server) states() map[string]status.Camera {
	list := s.o.Health.Cameras()
	m := make(map[string]status.Camera, len(list))
	for _, c := range list {
		m[c.ID] = c
	}
	return m
}

// stateOf returns the state of a camera; edge_silent if nobody tells. It never returns a nil map.
func stateOf(c district.Camera, states map[string]status.Camera) status.Camera {
	st, ok := states[c.ID]
	if ok && len(st.Profiles) > 0 {
		return st
	}
	st.ID, st.Profiles = c.ID, map[string]status.Profile{}
	silent := status.Profile{
		State: status.EdgeSilent, Reason: status.ReasonLink, Detail: "no edge reports this camera",
	}
	st.Profiles["main"] = silent
	if c.Sub != "" {
		st.Profiles["sub"] = silent
	}
	return st
}

// bestProfile returns the profile of most use to a viewer; of two in the same state the main one.
func bestProfile(ps map[string]status.Profile) status.Profile {
	best, found := status.Profile{State: status.EdgeSilent}, false
	for _, name := range []string{"main", "sub"} {
		p, ok := ps[name]
		if ok && (!found || usefulness(p.State) > usefulness(best.State)) {
			best, found = p, true
		}
	}
	return best
}

// usefulness orders states; a word we do not know is the least.
func usefulness(s status.State) int {
	order := []status.State{
		status.EdgeSilent, status.NotPermitted, status.Paused, status.Offline, status.Connecting, status.NoSignal,
		status.SoundOnly, status.Frozen, status.Delayed, status.Live,
	}
	for i, o := range order {
		if s == o {
			return i + 1
		}
	}
	return 0
}
