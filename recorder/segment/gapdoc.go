package segment

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// GapDoc is a gap that no manifest carries, as a document of its own: footage given up before it was shipped, a camera
// that is off right now, a silence inside a segment. The edge writes it, the archive keeps it under camera and From; a
// later document with the same From replaces it.
type GapDoc struct {
	Camera string `json:"camera"`
	Gap
	Noted time.Time `json:"noted"` // when the edge wrote this version
	// Due: the gap goes on, and the edge will tell more about it by this time. Zero: the gap has ended at To.
	Due time.Time `json:"due,omitzero"`
	// Inside: the gap lies inside a segment, so footage around it does not speak against it.
	Inside bool `json:"inside,omitempty"`
	// Lost names segments that were sealed and will not come.
	Lost *Lost `json:"lost,omitempty"`
}

// Lost is a run of sealed segments that were given up. Prev and SHA256 bridge the camera's chain: the segment after
// Last names SHA256 as the one before it.
type Lost struct {
	First  uint64 `json:"first"` // sequence numbers
	Last   uint64 `json:"last"`
	Prev   Hash   `json:"prev"`   // of First
	SHA256 Hash   `json:"sha256"` // of Last
	Bytes  int64  `json:"bytes"`
	Frames int    `json:"frames"`
}

// dueSlack is how late the word of an edge may come before nothing is known about an open gap any more.
const dueSlack = 30 * time.Second

// Until returns how far the document speaks: its end, or for an open gap the time until which the edge is to be
// believed.
func (d GapDoc) Until() time.Time {
	if d.Due.IsZero() {
		return d.To
	}
	return d.Due.Add(dueSlack)
}

// Name returns the name under which the archive keeps the document.
func (d GapDoc) Name() string {
	return fmt.Sprintf("%s%s/%s/%d.json", GapPrefix, d.From.UTC().Format("2006/01/02"), d.Camera, d.From.UnixMilli())
}

// GapPrefix begins the names of all gap documents.
const GapPrefix = "gaps/"

// maxGap bounds the length of one gap.
const maxGap = 10 * 365 * 24 * time.Hour

// Validate reports what makes the document unusable.
func (d GapDoc) Validate() error {
	switch {
	case !ValidCamera(d.Camera):
		return fmt.Errorf("gap of camera %.70q: want an id of 1-64 of a-z, 0-9 and -", d.Camera)
	case d.From.UnixMilli() < 0 || d.From.Year() > 9999 || d.To.Before(d.From) || d.To.Sub(d.From) > maxGap:
		return fmt.Errorf("gap from %v to %v is impossible", d.From, d.To)
	case !d.Due.IsZero() && (d.Due.Before(d.To) || d.Due.Sub(d.To) > 24*time.Hour):
		return fmt.Errorf("gap to %v with more due by %v is impossible", d.To, d.Due)
	case !slices.Contains(Causes(), d.Cause):
		return fmt.Errorf("gap of unknown cause %.40q", d.Cause)
	case d.Lost != nil && (d.Lost.First == 0 || d.Lost.Last < d.Lost.First || d.Lost.SHA256.IsZero()):
		return errors.New("gap names lost segments that cannot be")
	}
	return nil
}

// MaxGapDoc bounds the size of a gap document in bytes.
const MaxGapDoc = 4 << 10

// ParseGapDoc reads a gap document as it is sent and stored.
func ParseGapDoc(data []byte) (GapDoc, error) {
	var d GapDoc
	if len(data) > MaxGapDoc {
		return d, errors.New("gap document is too long")
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return d, fmt.Errorf("gap document: %w", err)
	}
	d.From, d.To, d.Noted, d.Due = d.From.UTC(), d.To.UTC(), d.Noted.UTC(), d.Due.UTC()
	return d, d.Validate()
}

// ValidCamera reports whether id can be a camera's: 1-64 of a-z, 0-9 and -.
func ValidCamera(id string) bool {
	if len(id) == 0 || len(id) > 64 {
		return false
	}
	for _, c := range []byte(id) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// Causes returns all causes that an edge may give a gap.
func Causes() []Cause {
	return []Cause{
		CauseCameraOff, CauseNetwork, CauseEdgeDown, CauseSpoolFull, CauseStoreRefused, CauseClock, CausePrivacy,
		CausePlanned, CauseConfig, CauseUnknown,
	}
}

// Refine tells of the result of Coverage what gap documents know better: silences inside segments are cut out of the
// spans, and each gap is split where documents name a cause. The sum of spans and gaps stays the same.
func Refine(spans []Range, gaps []Gap, docs []GapDoc) ([]Range, []Gap) {
	if len(docs) == 0 {
		return spans, gaps
	}
	for _, d := range docs {
		if d.Inside {
			spans, gaps = cutOut(spans, gaps, d)
		}
	}
	var out []Gap
	for _, g := range gaps {
		out = appendRefined(out, g, docs)
	}
	return spans, out
}

// cutOut moves the time of d from spans to gaps.
func cutOut(spans []Range, gaps []Gap, d GapDoc) ([]Range, []Gap) {
	var left []Range
	for _, s := range spans {
		c, ok := d.Clip(s)
		if !ok {
			left = append(left, s)
			continue
		}
		if s.From.Before(c.From) {
			left = append(left, Range{s.From, c.From})
		}
		if c.To.Before(s.To) {
			left = append(left, Range{c.To, s.To})
		}
		gaps = append(gaps, Gap{c, d.Cause})
	}
	slices.SortFunc(gaps, func(a, b Gap) int { return a.From.Compare(b.From) })
	return left, gaps
}

// appendRefined appends g, split where documents begin and end.
func appendRefined(out []Gap, g Gap, docs []GapDoc) []Gap {
	var here []GapDoc
	cuts := []time.Time{g.From, g.To}
	for _, d := range docs {
		c, ok := Range{d.From, d.Until()}.Clip(g.Range)
		if !ok {
			continue
		}
		here = append(here, d)
		cuts = append(cuts, c.From, c.To)
	}
	// What is lost for certain is told first, then what has ended, then the newest word.
	slices.SortStableFunc(here, func(a, b GapDoc) int {
		if n := cmp.Compare(b.weight(), a.weight()); n != 0 {
			return n
		}
		return b.Noted.Compare(a.Noted)
	})
	slices.SortFunc(cuts, time.Time.Compare)
	for i := 1; i < len(cuts); i++ {
		part := Gap{Range{cuts[i-1], cuts[i]}, g.Cause}
		if !part.From.Before(part.To) {
			continue
		}
		for _, d := range here {
			if d.Cause != CauseUnknown && (Range{d.From, d.Until()}).Overlaps(part.Range) {
				part.Cause = d.Cause
				break
			}
		}
		if n := len(out); n > 0 && out[n-1].Cause == part.Cause && out[n-1].To.Equal(part.From) {
			out[n-1].To = part.To
			continue
		}
		out = append(out, part)
	}
	return out
}

func (d GapDoc) weight() int {
	switch {
	case d.Lost != nil || d.Inside:
		return 2
	case d.Due.IsZero():
		return 1
	}
	return 0
}
