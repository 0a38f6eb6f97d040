package relay

import (
	"context"
	"errors"

	"skein/edge/media"
)

// Wall starts a wall.
func (r *Relay) Wall(_ context.Context, _ WallOffer) (Session, error) {
	return Session{}, errors.ErrUnsupported
}

type wall struct{}

func (w *wall) tick()                             {}
func (w *wall) close()                            {}
func (w *wall) shows(int) (string, media.Profile) { return "", "" }
