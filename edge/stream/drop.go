package stream

// DropReason names why a reader did not get a unit.
type DropReason int

// The reasons. Each is a label of the drop counter.
const (
	DropOverflow DropReason = iota // the reader's queue was full: it skips to the next key frame
	DropSkip                       // passed over while waiting for that key frame
	DropAudio                      // audio passed over while the picture skips
	dropReasons
)

// DropReasons lists all reasons, for registering counters.
func DropReasons() []DropReason { return []DropReason{DropOverflow, DropSkip, DropAudio} }

// String returns the metric label.
func (d DropReason) String() string {
	switch d {
	case DropOverflow:
		return "overflow"
	case DropSkip:
		return "skip_to_key"
	case DropAudio:
		return "audio"
	}
	return "unknown"
}

// Drops counts dropped units by reason.
type Drops [dropReasons]uint64

// Total returns the sum over all reasons.
func (d Drops) Total() uint64 {
	var n uint64
	for _, v := range d {
		n += v
	}
	return n
}
