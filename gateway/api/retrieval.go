package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"skein/gateway/access"
)

// The limits of one retrieval.
const (
	maxRetrievalCameras = 500
	maxRetrievalSpan    = 92 * 24 * time.Hour
)

type retrievalInput struct {
	Body struct {
		Reason   string    `json:"reason" maxLength:"2000" doc:"why the footage is needed"`
		Cameras  []string  `json:"cameras" minItems:"1" maxItems:"500"`
		From     time.Time `json:"from"`
		To       time.Time `json:"to"`
		Document string    `json:"document,omitempty" maxLength:"200" doc:"number of the legal document"`
	}
}

type retrievalOutput struct {
	Body access.Retrieval
}

func (s *Server) registerRetrievals() {
	huma.Register(s.huma, huma.Operation{
		OperationID: "register-retrieval", Method: http.MethodPost, Path: "/v1/retrievals",
		Summary:       "Register who wants to see which footage, and why",
		DefaultStatus: http.StatusCreated, MaxBodyBytes: maxBody,
		Errors: []int{http.StatusForbidden, http.StatusNotFound, http.StatusServiceUnavailable},
	}, s.registerRetrieval)
}

func (s *Server) registerRetrieval(ctx context.Context, in *retrievalInput) (*retrievalOutput, error) {
	p, err := principal(ctx, access.Retrieve)
	if err != nil {
		return nil, err
	}
	b := in.Body
	r := access.Retrieval{
		Reason: strings.TrimSpace(b.Reason), Document: strings.TrimSpace(b.Document), From: b.From, To: b.To,
	}
	if len([]rune(r.Reason)) < 2 {
		return nil, huma.Error422UnprocessableEntity("reason: is missing")
	}
	if err := checkSpan(b.From, b.To); err != nil {
		return nil, huma.Error422UnprocessableEntity(err.Error())
	}
	sc := s.inventory()
	for _, id := range b.Cameras {
		if _, ok := sc.camera(p, id); !ok {
			return nil, huma.Error404NotFound("no such camera: " + printable(id))
		}
		if !slices.Contains(r.Cameras, id) {
			r.Cameras = append(r.Cameras, id)
		}
	}
	if r, err = s.o.Access.Retrievals().Register(p, r, s.now()); err == nil {
		_, err = s.o.Access.Audit().Append(access.Event{
			Action: access.ActRetrieval, Outcome: access.Done, Cameras: r.Cameras, From: r.From, To: r.To,
			Retrieval: r.ID, Detail: r.Reason,
		}.By(p, callerOf(ctx).addr))
	}
	if err != nil {
		s.log.Error("retrieval not registered", "actor", p.Name, "err", err)
		return nil, huma.Error503ServiceUnavailable("the register cannot be written; no footage is opened without it")
	}
	return &retrievalOutput{Body: r}, nil
}

func checkSpan(from, to time.Time) error {
	switch {
	case from.IsZero() || to.IsZero():
		return fmt.Errorf("from, to: are missing")
	case !from.Before(to):
		return fmt.Errorf("from, to: the range is empty")
	case to.Sub(from) > maxRetrievalSpan:
		return fmt.Errorf("from, to: the range is longer than %d days", int(maxRetrievalSpan.Hours()/24))
	}
	return nil
}

// printable shortens what a caller sent for showing it back.
func printable(s string) string {
	if len(s) > 64 {
		s = s[:64]
	}
	return strings.ToValidUTF8(s, "?")
}
