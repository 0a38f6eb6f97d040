package relay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"skein/edge/media"
	"skein/edge/status"
)

// The data channel of a wall carries one JSON object per message. Page to gateway:
//
//	{"type":"show","slot":0,"camera":"gate-3","profile":"main|sub|auto","width":640,"height":360}
//	{"type":"hide","slot":0}
//	{"type":"listen","slot":0}     sound of that slot's camera; slot -1 for none
//
// Gateway to page, at every change and about once a second while a slot shows something:
//
//	{"type":"state","slot":0,"camera":"gate-3","profile":"sub","state":"live","reason":"","age_ms":40,"fps":15,
//	 "kbps":480}
//	{"type":"error","reason":"bad-message","detail":"…"}
//
// A slot is the index of its video section in the offer. States are those of package status. From the first live or
// delayed state for a camera on, the pictures of the slot are that camera's.

// maxCommand bounds a message in bytes.
const maxCommand = 4096

// auto leaves the choice of the profile to the gateway.
const auto media.Profile = "auto"

// command is a message of the page.
type command struct {
	Type    string        `json:"type"`
	Slot    int           `json:"slot"`
	Camera  string        `json:"camera"`
	Profile media.Profile `json:"profile"`
	Width   int           `json:"width"`
	Height  int           `json:"height"`
}

// stateMessage is a message of the gateway about a slot.
type stateMessage struct {
	Type    string        `json:"type"`
	Slot    int           `json:"slot"`
	Camera  string        `json:"camera"`
	Profile media.Profile `json:"profile,omitempty"`
	State   status.State  `json:"state"`
	Reason  Code          `json:"reason,omitempty"`
	AgeMS   int64         `json:"age_ms"`
	FPS     int           `json:"fps"`
	Kbps    int           `json:"kbps"`
}

// errorMessage answers a message that was not understood.
type errorMessage struct {
	Type   string `json:"type"`
	Reason Code   `json:"reason"`
	Detail string `json:"detail"`
}

var errCommand = errors.New("message not understood")

// parseCommand reads and checks a message for a wall of slots slots. Unknown fields are ignored, for newer pages.
func parseCommand(data []byte, slots int) (command, error) {
	var c command
	if len(data) > maxCommand {
		return c, fmt.Errorf("%w: longer than %d bytes", errCommand, maxCommand)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&c); err != nil {
		return c, fmt.Errorf("%w: %w", errCommand, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return c, fmt.Errorf("%w: more than one object", errCommand)
	}
	low := 0
	switch c.Type {
	case "show":
		if c.Profile == "" {
			c.Profile = auto
		}
		if c.Profile != auto && !c.Profile.Valid() {
			return c, fmt.Errorf(`%w: profile is "main", "sub" or "auto"`, errCommand)
		}
		if c.Camera == "" || len(c.Camera) > 64 {
			return c, fmt.Errorf("%w: camera is missing or longer than 64 characters", errCommand)
		}
		if c.Width < 0 || c.Height < 0 || c.Width > 1<<16 || c.Height > 1<<16 {
			return c, fmt.Errorf("%w: impossible size", errCommand)
		}
	case "hide":
	case "listen":
		low = -1
	default:
		return c, fmt.Errorf("%w: unknown type", errCommand)
	}
	if c.Slot < low || c.Slot >= slots {
		return c, fmt.Errorf("%w: slot %d of %d", errCommand, c.Slot, slots)
	}
	return c, nil
}
