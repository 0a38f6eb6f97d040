// Package caller says who stands behind a request between processes: the node that sends it, of what kind that is, and
// the person for whom a gateway asks.
//
// It is a leaf: values, and how they travel in a header.
package caller

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Kind is what a node is, and so what it may do.
type Kind string

// The kinds of node. Where none is told, a node is an edge: the kind that may do least.
const (
	Edge     Kind = "edge"     // a site: ships the footage of its own cameras and dials the link, reads nothing
	Gateway  Kind = "gateway"  // reads the archive for people, ships what is published to it, dials a higher gateway
	Recorder Kind = "recorder" // another recorder of the archive
)

// Kinds returns all kinds.
func Kinds() []Kind { return []Kind{Edge, Gateway, Recorder} }

// Node is an authenticated node.
type Node struct {
	ID   string
	Kind Kind
}

// Person is who asked the gateway for what the gateway asks of a recorder.
type Person struct {
	Name      string `json:"name"`
	Kind      string `json:"kind,omitempty"` // user or token
	Role      string `json:"role,omitempty"`
	Unit      string `json:"unit,omitempty"`
	Address   string `json:"address,omitempty"`   // the person's IP address, as the gateway sees it
	Retrieval string `json:"retrieval,omitempty"` // id of the registered retrieval
	Reason    string `json:"reason,omitempty"`
}

// Header carries a Person: base64 (RFC 4648 section 4) of its JSON.
const Header = "Skein-Acting"

// The limits of what is read from the header.
const (
	maxHeader = 8 << 10 // bytes
	maxName   = 128     // bytes, of every field but the reason
	maxReason = 500     // runes: the whole of it stands in the gateway's own row
)

// ErrPerson is wrapped by every error about a header that names nobody.
var ErrPerson = errors.New(Header)

// Encode returns the header's value. A reason that would not fit is cut.
func (p Person) Encode() string {
	if r := []rune(p.Reason); len(r) > maxReason {
		p.Reason = string(r[:maxReason])
	}
	b, _ := json.Marshal(p) // strings always marshal
	if len(b) > maxHeader*3/4 {
		p.Reason = ""
		b, _ = json.Marshal(p)
	}
	return base64.StdEncoding.EncodeToString(b)
}

// Parse reads the header's value. Whoever it names must be named: an empty or unreadable name, a field that is too
// long, or a control character anywhere is an error.
func Parse(header string) (Person, error) {
	var p Person
	if header == "" {
		return p, fmt.Errorf("%w is missing: it names the person for whom the gateway asks", ErrPerson)
	}
	if len(header) > maxHeader {
		return p, fmt.Errorf("%w is longer than %d bytes", ErrPerson, maxHeader)
	}
	raw, err := base64.StdEncoding.DecodeString(header)
	if err != nil {
		return p, fmt.Errorf("%w is not base64", ErrPerson)
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return Person{}, fmt.Errorf("%w is no JSON object of texts", ErrPerson)
	}
	for _, f := range []struct {
		name, value string
		limit       int
	}{
		{"name", p.Name, maxName}, {"kind", p.Kind, maxName}, {"role", p.Role, maxName}, {"unit", p.Unit, maxName},
		{"address", p.Address, maxName}, {"retrieval", p.Retrieval, maxName}, {"reason", p.Reason, 4 * maxReason},
	} {
		if err := text(f.value, f.limit); err != nil {
			return Person{}, fmt.Errorf("%w: %s %w", ErrPerson, f.name, err)
		}
	}
	if strings.TrimSpace(p.Name) == "" {
		return Person{}, fmt.Errorf("%w names nobody", ErrPerson)
	}
	return p, nil
}

func text(s string, limit int) error {
	switch {
	case len(s) > limit:
		return fmt.Errorf("is longer than %d bytes", limit)
	case !utf8.ValidString(s):
		return errors.New("is no UTF-8")
	case strings.ContainsFunc(s, unicode.IsControl):
		return errors.New("holds a control character")
	}
	return nil
}
