package relay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"

	"skein/edge/media"
	"skein/edge/status"
)

// The data channel of a wall carries one JSON object per message. Page to gateway:
//
//	{"type":"show","slot":0,"camera":"gate-3","profile":"main|sub|auto","width":640,"height":360}
//	{"type":"hide","slot":0}
//	{"type":"listen","slot":0}     sound of that slot's camera; slot -1 for none
//	{"type":"tour","slot":0,"cameras":["gate-3","gate-4"],"camera":"gate-4","dwell_s":10,"profile":"auto","width":640,
//	 "height":360}                 the cameras in turn, from camera on (default: the first); ends with show or hide
//	{"type":"tour_pause","slot":0,"paused":true}
//	{"type":"tour_next","slot":0}
//	{"type":"replay","slot":0,"back_s":30}   the slot's camera from so long ago on (10 to 60); pauses a tour
//	{"type":"live","slot":0}                 back to the live picture
//	{"type":"stats","slots":[{"slot":0,"decoded":500,"dropped":1,"frozen":0,"freeze_ms":0,"jitter_ms":3}]}
//
// Gateway to page, at every change and about once a second while a slot shows something:
//
//	{"type":"state","slot":0,"camera":"gate-3","profile":"sub","state":"live","reason":"","age_ms":40,"fps":15,
//	 "kbps":480}
//	{"type":"error","slot":0,"reason":"bad-message","detail":"…"}    slot only where it is about one
//	{"type":"alive"}    every second: a page that hears nothing for longer restarts ICE, and begins anew if that fails
//
// A slot is the index of its video section in the offer. States are those of package status. From the first live or
// delayed state for a camera on, the pictures of the slot are that camera's. While a slot tours, its states also hold
// "index" and "total" (where in the list the camera is) and "paused"; a state with "skipped":true is about a camera
// that was passed by because of its state and reason, and the slot goes on showing what it shows. While a slot shows
// recorded pictures its state is "replay", "replay" is true, and age_ms and behind_ms tell how old they are. "rtp" and
// "taken" (RFC 3339) of a state tell when the pictures of the slot were captured, each by its RTP timestamp. The states
// of the slot that is listened to have "sound" if that is not as it comes, or cannot be heard: one of the codes that
// begin with sound-. Figures of "stats" are totals since the connection began, but for jitter_ms.

// Bounds of a message.
const (
	maxCommand = 16 << 10 // bytes
	maxTour    = 128      // cameras
	minDwell   = 2        // seconds
	maxDwell   = 3600
	minBack    = 10 // seconds
	maxBack    = 60
)

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
	Cameras []string      `json:"cameras"` // tour
	Dwell   float64       `json:"dwell_s"` // tour
	Paused  *bool         `json:"paused"`  // tour_pause; default true
	Back    float64       `json:"back_s"`  // replay
	Slots   []SlotReport  `json:"slots"`   // stats
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
	Skipped bool          `json:"skipped,omitempty"`
	Replay  bool          `json:"replay,omitempty"`
	Behind  int64         `json:"behind_ms,omitempty"`
	Sound   Code          `json:"sound,omitempty"`
	*pictured
	*tourState
}

// pictured ties the RTP timestamps of a slot's pictures to when they were captured: one with the timestamp RTP was at
// Taken, others as many ticks of 90 kHz before or after. A new one is said whenever they go by another rule.
type pictured struct {
	RTP   uint32    `json:"rtp"`
	Taken time.Time `json:"taken"`
}

// sameMoment is how far two of them may disagree and still go by one rule.
const sameMoment = 20 * time.Millisecond

// follows tells whether p goes by the same rule as what was said before.
func (p *pictured) follows(said *pictured) bool {
	if said == nil {
		return false
	}
	since := time.Duration(int32(p.RTP-said.RTP)) * time.Second / videoRate
	return (p.Taken.Sub(said.Taken) - since).Abs() < sameMoment
}

// tourState is what the states of a touring slot hold besides.
type tourState struct {
	Index  int  `json:"index"`
	Total  int  `json:"total"`
	Paused bool `json:"paused"`
}

// aliveMessage tells the page that the way to it works.
type aliveMessage struct {
	Type string `json:"type"`
}

// errorMessage answers a message that was not understood.
type errorMessage struct {
	Type   string `json:"type"`
	Slot   *int   `json:"slot,omitempty"`
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
	wire := struct {
		*command
		Slot *int `json:"slot"` // nil: not said, which must not mean the first
	}{command: &c}
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&wire); err != nil {
		return c, fmt.Errorf("%w: %w", errCommand, jsonError(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return c, fmt.Errorf("%w: more than one object", errCommand)
	}
	c.Slot = -1
	if wire.Slot != nil {
		c.Slot = *wire.Slot
	}
	low := 0
	var err error
	switch c.Type {
	case "show":
		err = errors.Join(c.checkPicture(), checkCamera(c.Camera))
	case "tour":
		err = errors.Join(c.checkPicture(), c.checkTour())
	case "hide", "tour_pause", "tour_next", "live":
	case "replay":
		if !(c.Back >= minBack && c.Back <= maxBack) {
			err = fmt.Errorf("back_s is %d to %d", minBack, maxBack)
		}
	case "stats":
		low = -1
		if len(c.Slots) > maxSlots+1 {
			err = errors.New("too many slots")
		}
	case "listen":
		low = -1
	default:
		err = fmt.Errorf("type %.32q: want show, hide, listen, tour, tour_pause, tour_next, replay, live or stats", c.Type)
	}
	switch {
	case err != nil:
	case wire.Slot == nil && c.Type != "stats":
		err = fmt.Errorf("slot is missing: this wall has 0 to %d", slots-1)
	case c.Slot < low || c.Slot >= slots:
		err = fmt.Errorf("slot %d: this wall has 0 to %d", c.Slot, slots-1)
	}
	if err != nil {
		return c, fmt.Errorf("%w: %w", errCommand, err)
	}
	return c, nil
}

// jsonError says in the words of the protocol what is wrong with a message's JSON.
func jsonError(err error) error {
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &kind) && kind.Field == "":
		return fmt.Errorf("want one JSON object, not a %s", kind.Value)
	case errors.As(err, &kind):
		return fmt.Errorf("%s cannot be a %s: want %s", kind.Field, kind.Value, jsonKind(kind.Type.Kind()))
	}
	return fmt.Errorf("no JSON: %w", err)
}

func jsonKind(k reflect.Kind) string {
	switch k {
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Float64:
		return "a number"
	default:
		return "a whole number"
	}
}

func checkCamera(id string) error {
	if id == "" || len(id) > 64 {
		return errors.New("camera is missing or longer than 64 characters")
	}
	return nil
}

// checkPicture checks what is said about how a camera is to be shown, and fills in the default.
func (c *command) checkPicture() error {
	if c.Profile == "" {
		c.Profile = auto
	}
	if c.Profile != auto && !c.Profile.Valid() {
		return errors.New(`profile is "main", "sub" or "auto"`)
	}
	if c.Width < 0 || c.Height < 0 || c.Width > 1<<16 || c.Height > 1<<16 {
		return errors.New("impossible size")
	}
	return nil
}

func (c *command) checkTour() error {
	if len(c.Cameras) == 0 || len(c.Cameras) > maxTour {
		return fmt.Errorf("a tour has 1 to %d cameras", maxTour)
	}
	for _, id := range c.Cameras {
		if err := checkCamera(id); err != nil {
			return err
		}
	}
	if c.Dwell == 0 {
		c.Dwell = 10
	}
	if !(c.Dwell >= minDwell && c.Dwell <= maxDwell) {
		return fmt.Errorf("dwell_s is %d to %d", minDwell, maxDwell)
	}
	return nil
}
