package spool

import (
	"context"

	"skein/recorder/segment"
)

// Shipper hands a sealed segment to the archive. Ship returns only when the archive has stored and indexed it; it is
// idempotent and may be called from many goroutines. path is the sealed file: Ship may link or rename it, but not
// change it.
type Shipper interface {
	Ship(ctx context.Context, m segment.Manifest, path string) (segment.Receipt, error)
}
