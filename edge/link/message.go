package link

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"skein/edge/media"
	"skein/edge/status"
)

// Version is the version of the link's protocol. A gateway refuses a node that speaks another.
const Version = 1

// MaxMessage is the longest message in bytes, in either direction. Longer status reports are split.
const MaxMessage = 4 << 20

// The types of message.
const (
	TypeHello   = "hello"   // node to gateway, first message: Hello
	TypeWelcome = "welcome" // gateway to node, answer: Welcome
	TypeOffer   = "offer"   // node to gateway, when its inventory changed: Offer
	TypeStatus  = "status"  // node to gateway: Status
	TypeFailed  = "failed"  // node to gateway: Failed
	TypeDesired = "desired" // gateway to node: Desired
	TypeHurry   = "hurry"   // gateway to node: Hurry
	TypeHurried = "hurried" // node to gateway, answer: Hurried
)

// Message is one WebSocket text message: a type, and the field of that type set. An unknown type is ignored, so that a
// newer node can tell more; an unknown field likewise.
type Message struct {
	Type    string   `json:"type"`
	Hello   *Hello   `json:"hello,omitempty"`
	Welcome *Welcome `json:"welcome,omitempty"`
	Offer   *Offer   `json:"offer,omitempty"`
	Status  *Status  `json:"status,omitempty"`
	Failed  *Failed  `json:"failed,omitempty"`
	Desired *Desired `json:"desired,omitempty"`
	Hurry   *Hurry   `json:"hurry,omitempty"`
	Hurried *Hurried `json:"hurried,omitempty"`
}

// Hello opens the link.
type Hello struct {
	Version  int       `json:"version"`  // of the protocol
	Node     string    `json:"node"`     // must be the node the token belongs to
	Software string    `json:"software"` // for people
	Now      time.Time `json:"now"`      // the node's clock
	Cameras  []Camera  `json:"cameras"`
}

// Camera is what a node tells of a camera it offers: never its address, never a credential.
type Camera struct {
	ID       string          `json:"id"`
	Name     string          `json:"name,omitempty"`
	Profiles []media.Profile `json:"profiles"`
}

// Welcome accepts the link.
type Welcome struct {
	Version int       `json:"version"`
	Now     time.Time `json:"now"` // the gateway's clock
	// RTSP is where to publish: rtsp://host:port or rtsps://host:port. An empty host means the host that was dialled.
	RTSP string `json:"rtsp,omitempty"`
}

// Offer replaces the cameras of the hello.
type Offer struct {
	Cameras []Camera `json:"cameras"`
}

// Status tells how cameras are. A full report begins with First and ends with Last; cameras not in it are unknown from
// then on. Other reports hold only what changed.
type Status struct {
	Full    bool            `json:"full,omitempty"`
	First   bool            `json:"first,omitempty"`
	Last    bool            `json:"last,omitempty"`
	Cameras []status.Camera `json:"cameras"`
}

// Failed tells that a wanted publication ended or could not be made. The gateway answers with a new token if it still
// wants it.
type Failed struct {
	Camera  string        `json:"camera"`
	Profile media.Profile `json:"profile"`
	Token   string        `json:"token"`  // of the publication that failed
	Reason  string        `json:"reason"` // one line, without credentials
}

// Desired is everything the gateway wants the node to publish; what is not in it is to be stopped.
type Desired struct {
	Publish []Publish `json:"publish"`
}

// Publish is one wanted publication.
type Publish struct {
	Camera  string        `json:"camera"`
	Profile media.Profile `json:"profile"`
	Path    string        `json:"path"`  // of the RTSP URL, with the leading slash
	Token   string        `json:"token"` // password of the publication, good for one ANNOUNCE
}

// Hurry asks the node to bring a camera's footage up to a moment into the archive now, for somebody waits for it. A
// node that does not know this message ignores it, and the gateway waits in vain for a moment.
type Hurry struct {
	ID     uint64    `json:"id"` // of the request, in the answer too
	Camera string    `json:"camera"`
	Until  time.Time `json:"until"`
	// WithinMS is how long the gateway waits for the answer, in milliseconds.
	WithinMS int64 `json:"within_ms"`
}

// Hurried answers Hurry: the footage is in the archive if Error is empty.
type Hurried struct {
	ID    uint64 `json:"id"`
	Error string `json:"error,omitempty"` // one line, without credentials
}

// String hides the token.
func (p Publish) String() string { return fmt.Sprintf("%s/%s", p.Camera, p.Profile) }

// Key names one stream.
type Key struct {
	Camera  string
	Profile media.Profile
}

// String returns camera/profile.
func (k Key) String() string { return k.Camera + "/" + string(k.Profile) }

// errMessage is wrapped by every error of Parse.
var errMessage = errors.New("bad link message")

// Parse reads one message and checks that it holds what its type says, with well-formed ids.
func Parse(b []byte) (Message, error) {
	var m Message
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&m); err != nil {
		return Message{}, fmt.Errorf("%w: %w", errMessage, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Message{}, fmt.Errorf("%w: something follows the object", errMessage)
	}
	if err := m.check(); err != nil {
		return Message{}, fmt.Errorf("%w: %s: %w", errMessage, m.Type, err)
	}
	m.shorten()
	return m, nil
}

const (
	// MaxCameras is how many cameras one node may offer. A message that names more ends the link.
	MaxCameras = 2000
	maxText    = 300 // characters of a text for people
)

// shorten cuts texts for people to what people read: they are kept and logged for each camera.
func (m *Message) shorten() {
	cut := func(texts ...*string) {
		for _, s := range texts {
			if r := []rune(*s); len(*s) > maxText && len(r) > maxText {
				*s = string(r[:maxText])
			}
		}
	}
	if m.Hello != nil {
		cut(&m.Hello.Software)
		for i := range m.Hello.Cameras {
			cut(&m.Hello.Cameras[i].Name)
		}
	}
	if m.Offer != nil {
		for i := range m.Offer.Cameras {
			cut(&m.Offer.Cameras[i].Name)
		}
	}
	if m.Failed != nil {
		cut(&m.Failed.Reason)
	}
	if m.Hurried != nil {
		cut(&m.Hurried.Error)
	}
	if m.Status == nil {
		return
	}
	for i := range m.Status.Cameras {
		c := &m.Status.Cameras[i]
		cut(&c.Recording.Detail)
		if c.Recording.Loss != nil {
			cut(&c.Recording.Loss.Cause)
		}
		for name, p := range c.Profiles {
			cut((*string)(&p.State), (*string)(&p.Reason), &p.Detail, &p.Codec, &p.Audio, (*string)(&p.Refresh), &p.Transport)
			c.Profiles[name] = p
		}
	}
}

var errMissing = errors.New("the field of that name is missing")

func (m Message) check() error {
	switch m.Type {
	case "":
		return errors.New("has no type")
	case TypeHello:
		if m.Hello == nil {
			return errMissing
		}
		if !validID(m.Hello.Node) {
			return fmt.Errorf("node %q is no id", m.Hello.Node)
		}
		return checkCameras(m.Hello.Cameras)
	case TypeOffer:
		if m.Offer == nil {
			return errMissing
		}
		return checkCameras(m.Offer.Cameras)
	case TypeStatus:
		if m.Status == nil {
			return errMissing
		}
		return checkStatus(m.Status.Cameras)
	case TypeFailed:
		if m.Failed == nil {
			return errMissing
		}
		return checkKey(m.Failed.Camera, m.Failed.Profile)
	case TypeWelcome:
		if m.Welcome == nil {
			return errMissing
		}
	case TypeDesired:
		if m.Desired == nil {
			return errMissing
		}
		return checkDesired(m.Desired.Publish)
	case TypeHurry:
		if m.Hurry == nil {
			return errMissing
		}
		if !validID(m.Hurry.Camera) {
			return fmt.Errorf("camera %q is no id", m.Hurry.Camera)
		}
	case TypeHurried:
		if m.Hurried == nil {
			return errMissing
		}
	}
	return nil
}

func checkCameras(cs []Camera) error {
	if len(cs) > MaxCameras {
		return fmt.Errorf("%d cameras: want at most %d of one node", len(cs), MaxCameras)
	}
	seen := make(map[string]bool, len(cs))
	for _, c := range cs {
		if !validID(c.ID) {
			return fmt.Errorf("camera %q is no id", c.ID)
		}
		if seen[c.ID] {
			return fmt.Errorf("camera %s is there twice", c.ID)
		}
		seen[c.ID] = true
		if len(c.Profiles) > 2 { // main and sub
			return fmt.Errorf("camera %s has %d profiles", c.ID, len(c.Profiles))
		}
		for _, p := range c.Profiles {
			if !p.Valid() {
				return fmt.Errorf("camera %s: profile %q is not known", c.ID, p)
			}
		}
	}
	return nil
}

func checkStatus(cs []status.Camera) error {
	if len(cs) > MaxCameras {
		return fmt.Errorf("%d cameras: want at most %d of one node", len(cs), MaxCameras)
	}
	for _, c := range cs {
		if !validID(c.ID) {
			return fmt.Errorf("camera %q is no id", c.ID)
		}
		for p := range c.Profiles {
			if !media.Profile(p).Valid() {
				return fmt.Errorf("camera %s: profile %q is not known", c.ID, p)
			}
		}
	}
	return nil
}

func checkDesired(ps []Publish) error {
	seen := make(map[Key]bool, len(ps))
	for _, p := range ps {
		if err := checkKey(p.Camera, p.Profile); err != nil {
			return err
		}
		k := Key{p.Camera, p.Profile}
		if seen[k] {
			return fmt.Errorf("%s is there twice", k)
		}
		seen[k] = true
		if !validPath(p.Path) {
			return fmt.Errorf("path %q: want one that begins with / and has no query", p.Path)
		}
		if p.Token == "" {
			return fmt.Errorf("%s has no token", k)
		}
	}
	return nil
}

func checkKey(camera string, p media.Profile) error {
	if !validID(camera) {
		return fmt.Errorf("camera %q is no id", camera)
	}
	if !p.Valid() {
		return fmt.Errorf("camera %s: profile %q is not known", camera, p)
	}
	return nil
}

func validID(s string) bool {
	if len(s) == 0 || len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

func validPath(s string) bool {
	return regexp.MustCompile(`^/[a-z0-9/_.-]{1,200}$`).MatchString(s)
}
