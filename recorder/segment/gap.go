package segment

import "time"

// Cause tells why there is no footage.
type Cause string

// The causes of a gap.
const (
	CauseCameraOff    Cause = "camera_off"
	CauseNetwork      Cause = "network"
	CauseEdgeDown     Cause = "edge_down"
	CauseSpoolFull    Cause = "spool_full"
	CauseStoreRefused Cause = "store_refused"
	CauseClock        Cause = "clock"
	CausePrivacy      Cause = "privacy_pause"
	CausePlanned      Cause = "planned_work"
	CauseConfig       Cause = "configuration_changed" // the camera's configuration was changed, and it was begun anew
	CauseUnknown      Cause = "unknown"
)

// What coverage says of time that no edge has to account for. No manifest and no document carries these.
const (
	CauseNotInUse  Cause = "not_yet_in_use" // before the camera's first footage
	CauseNotStored Cause = "not_yet_stored" // the edge has it, the archive not yet
	CauseDeleted   Cause = "deleted"        // it was there, and its time was over
)

// Range is a stretch of time: From inclusive, To exclusive. UTC.
type Range struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Duration returns To minus From, never negative.
func (r Range) Duration() time.Duration { return max(0, r.To.Sub(r.From)) }

// Overlaps reports whether the two ranges share any time.
func (r Range) Overlaps(o Range) bool { return r.From.Before(o.To) && o.From.Before(r.To) }

// Clip returns the part of r inside o; ok is false if there is none.
func (r Range) Clip(o Range) (c Range, ok bool) {
	c = r
	if c.From.Before(o.From) {
		c.From = o.From
	}
	if c.To.After(o.To) {
		c.To = o.To
	}
	return c, c.From.Before(c.To)
}

// Gap is a stretch of time without footage and its cause.
type Gap struct {
	Range
	Cause Cause `json:"cause"`
}

// Join is the longest hole between two segments that still counts as continuous: rounding of wall times to
// milliseconds and the 500 ppm correction leave a few milliseconds between segments that belong together.
const Join = 100 * time.Millisecond

// Coverage splits within into spans that have footage and typed gaps; together they add up to within exactly.
// Records must be ordered by Start; they may overlap. last is the cause given to a hole at the end.
func Coverage(records []Record, within Range, last Cause) (spans []Range, gaps []Gap) {
	at := within.From
	hole := func(to time.Time, c Cause) {
		if c == "" {
			c = CauseUnknown
		}
		if at.Before(to) {
			gaps = append(gaps, Gap{Range{at, to}, c})
		}
	}
	for _, r := range records {
		c, ok := r.Range().Clip(within)
		if !ok || !at.Before(c.To) {
			continue
		}
		if c.From.Sub(at) > Join || (len(spans) == 0 && at.Before(c.From)) {
			hole(c.From, r.Gap)
			spans = append(spans, c)
		} else if len(spans) == 0 {
			spans = append(spans, Range{at, c.To})
		} else {
			spans[len(spans)-1].To = c.To
		}
		at = c.To
	}
	hole(within.To, last)
	return spans, gaps
}

// Explain gives the parts of gaps that lie in known.Range and have no known cause that of known. The sum of the gaps
// stays the same.
func Explain(gaps []Gap, known Gap) []Gap {
	var out []Gap
	add := func(r Range, c Cause) {
		if !r.From.Before(r.To) {
			return
		}
		if n := len(out); n > 0 && out[n-1].Cause == c && out[n-1].To.Equal(r.From) {
			out[n-1].To = r.To
			return
		}
		out = append(out, Gap{r, c})
	}
	for _, g := range gaps {
		in, ok := known.Clip(g.Range)
		if !ok || g.Cause != CauseUnknown {
			add(g.Range, g.Cause)
			continue
		}
		add(Range{g.From, in.From}, g.Cause)
		add(in, known.Cause)
		add(Range{in.To, g.To}, g.Cause)
	}
	return out
}
