package recorder

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"skein/recorder/guard"
	"skein/recorder/segment"
	"skein/recorder/store"
)

// Documents keeps small named documents; store.Archive is one.
type Documents interface {
	PutBlob(ctx context.Context, name string, data []byte) error
	CreateBlob(ctx context.Context, name string, data []byte) error
	GetBlob(ctx context.Context, name string) ([]byte, error)
	DeleteBlob(ctx context.Context, name string) error
	ListBlobs(ctx context.Context, prefix string) iter.Seq2[string, error]
}

const (
	gapLoaders   = 8
	gapLookAgain = time.Minute          // other recorders of the archive may have taken documents
	gapLookBack  = 48 * time.Hour       // whose documents are looked for again
	gapKeep      = 400 * 24 * time.Hour // then nobody's footage is kept any more
	gapDayFormat = "2006/01/02"
)

// gapBook knows the gap documents of all cameras. The documents in the store are the truth; the book is read from them
// at the start, newest day first, and again from time to time.
type gapBook struct {
	docs Documents

	mu      sync.RWMutex // guards the fields below
	cameras map[string][]segment.GapDoc
	longest map[string]time.Duration // by camera: how far a document may reach
}

func newGapBook(docs Documents) *gapBook {
	return &gapBook{docs: docs, cameras: map[string][]segment.GapDoc{}, longest: map[string]time.Duration{}}
}

// put stores the document, then notes it.
func (b *gapBook) put(ctx context.Context, d segment.GapDoc) error {
	if have, ok := b.find(d.Camera, d.From); ok && (have.Noted.After(d.Noted) || have.Lost != nil && d.Lost == nil) {
		return nil // an older version that comes late; a link of the camera's chain stays in any case
	}
	data, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("gap of camera %s: %w", d.Camera, err)
	}
	if err := b.docs.PutBlob(ctx, d.Name(), data); err != nil {
		return fmt.Errorf("store gap %s: %w", d.Name(), err)
	}
	b.note(d)
	return nil
}

func byFrom(d segment.GapDoc, at time.Time) int {
	return cmp.Compare(d.From.UnixMilli(), at.UnixMilli())
}

func (b *gapBook) find(camera string, from time.Time) (segment.GapDoc, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	list := b.cameras[camera]
	i, ok := slices.BinarySearchFunc(list, from, byFrom)
	if !ok {
		return segment.GapDoc{}, false
	}
	return list[i], true
}

// crowded reports whether the camera has so many documents of the day of d that there is no room for it.
func (b *gapBook) crowded(d segment.GapDoc) bool {
	if b == nil {
		return false
	}
	day := d.From.UTC().Truncate(24 * time.Hour)
	b.mu.RLock()
	defer b.mu.RUnlock()
	list := b.cameras[d.Camera]
	if _, ok := slices.BinarySearchFunc(list, d.From, byFrom); ok {
		return false // it takes the place of its former version
	}
	first, _ := slices.BinarySearchFunc(list, day, byFrom)
	next, _ := slices.BinarySearchFunc(list, day.AddDate(0, 0, 1), byFrom)
	return next-first >= maxGapsADay
}

// note enters the document, in place of an older version.
func (b *gapBook) note(d segment.GapDoc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.cameras[d.Camera]
	i, ok := slices.BinarySearchFunc(list, d.From, byFrom)
	switch {
	case !ok:
		list = slices.Insert(list, i, d)
	case !list[i].Noted.After(d.Noted):
		list[i] = d
	}
	b.cameras[d.Camera] = list
	b.longest[d.Camera] = max(b.longest[d.Camera], d.Until().Sub(d.From))
}

// of returns the camera's documents that concern a range, by From.
func (b *gapBook) of(camera string, within segment.Range) []segment.GapDoc {
	b.mu.RLock()
	defer b.mu.RUnlock()
	list := b.cameras[camera]
	first, _ := slices.BinarySearchFunc(list, within.From.Add(-b.longest[camera]), byFrom)
	var out []segment.GapDoc
	for _, d := range list[first:] {
		if !d.From.Before(within.To) {
			break
		}
		if within.From.Before(d.Until()) {
			out = append(out, d)
		}
	}
	return out
}

// read enters the documents whose names begin with prefix, those that are in the book and ended excepted.
func (b *gapBook) read(ctx context.Context, prefix string) error {
	var wg sync.WaitGroup
	var mu sync.Mutex // guards errs
	var errs []error
	slots := make(chan struct{}, gapLoaders)
	for name, err := range b.docs.ListBlobs(ctx, prefix) {
		if err != nil {
			errs = append(errs, err)
			break
		}
		if b.settled(name) {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := b.fetch(ctx, name); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// settled reports whether the named document is known and cannot change any more.
func (b *gapBook) settled(name string) bool {
	camera, from, ok := parseGapName(name)
	if !ok {
		return true // not ours
	}
	d, ok := b.find(camera, from)
	return ok && d.Due.IsZero()
}

func parseGapName(name string) (camera string, from time.Time, ok bool) {
	rest, ok := strings.CutPrefix(name, segment.GapPrefix)
	f := strings.Split(rest, "/")
	if !ok || len(f) != 5 {
		return "", from, false
	}
	ms, ok := strings.CutSuffix(f[4], ".json")
	at, err := parseStart(ms)
	return f[3], at, ok && err == nil
}

func (b *gapBook) fetch(ctx context.Context, name string) error {
	data, err := b.docs.GetBlob(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read gap %s: %w", name, err)
	}
	if d, err := segment.ParseGapDoc(data); err == nil && d.Name() == name {
		b.note(d) // a damaged document says nothing; the manifests' causes remain
	}
	return nil
}

// forget removes an old document. Gap links stay, as tombstones do: footage under a lock, or taken away as evidence, is
// proved over them.
func (b *gapBook) forget(ctx context.Context, name string) error {
	data, err := b.docs.GetBlob(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read gap %s: %w", name, err)
	}
	if d, err := segment.ParseGapDoc(data); err == nil && d.Lost != nil {
		return nil
	}
	if err := b.docs.DeleteBlob(ctx, name); err != nil {
		return fmt.Errorf("remove an old gap: %w", err)
	}
	return nil
}

// load reads all documents, newest day first, and removes those older than any footage.
func (b *gapBook) load(ctx context.Context, now time.Time) error {
	days := map[string]bool{}
	for name, err := range b.docs.ListBlobs(ctx, segment.GapPrefix) {
		if err != nil {
			return fmt.Errorf("list gaps: %w", err)
		}
		if len(name) < len(segment.GapPrefix)+len(gapDayFormat) {
			continue
		}
		day := name[len(segment.GapPrefix):][:len(gapDayFormat)]
		at, err := time.Parse(gapDayFormat, day)
		switch {
		case err != nil:
		case now.Sub(at) > gapKeep:
			if err := b.forget(ctx, name); err != nil {
				return err
			}
		default:
			days[day] = true
		}
	}
	list := make([]string, 0, len(days))
	for d := range days {
		list = append(list, d)
	}
	slices.Sort(list)
	slices.Reverse(list)
	for _, d := range list {
		if err := b.read(ctx, segment.GapPrefix+d+"/"); err != nil {
			return err
		}
	}
	return nil
}

// run keeps the book up to date until ctx ends.
func (b *gapBook) run(ctx context.Context, r *Recorder) {
	loaded := false
	for ctx.Err() == nil {
		var err error
		now := time.Now()
		if !loaded {
			err = b.load(ctx, now)
			loaded = err == nil
		} else {
			for at := now; now.Sub(at) <= gapLookBack && err == nil; at = at.Add(-24 * time.Hour) {
				err = b.read(ctx, segment.GapPrefix+at.UTC().Format(gapDayFormat)+"/")
			}
		}
		if err != nil && ctx.Err() == nil {
			r.log.Warn("gap documents could not be read; trying again", "err", err)
		}
		pause := gapLookAgain
		if !loaded {
			pause = evictInterval
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// Gaps returns the gap documents of a camera that concern a range, by From.
func (r *Recorder) Gaps(camera string, within segment.Range) []segment.GapDoc {
	if r.gaps == nil {
		return nil
	}
	return r.gaps.of(camera, within)
}

// ShipGap takes a gap document in. It returns when the document is stored, and is idempotent.
func (r *Recorder) ShipGap(ctx context.Context, d segment.GapDoc) error {
	if r.gaps == nil {
		return nil // nobody would read it
	}
	if err := d.Validate(); err != nil {
		return err
	}
	return r.gaps.put(ctx, d)
}

// ingestGap receives one gap document: PUT /v1/ingest/gaps/{camera}/{from}.
func (r *Recorder) ingestGap(w http.ResponseWriter, q *http.Request) {
	data, err := io.ReadAll(http.MaxBytesReader(w, q.Body, segment.MaxGapDoc))
	if err != nil {
		problem(w, http.StatusBadRequest, "the body could not be read, or is too long")
		return
	}
	d, err := segment.ParseGapDoc(data)
	if err == nil {
		var at time.Time
		if at, err = parseStart(q.PathValue("from")); err == nil &&
			(at.UnixMilli() != d.From.UnixMilli() || d.Camera != q.PathValue("camera")) {
			err = errors.New("the document is not the one of the address")
		}
	}
	if err != nil {
		r.m.refused("malformed")
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	if err := r.admitGap(q.Context(), d); err != nil {
		r.refuseGap(w, q, d, err)
		return
	}
	if err := r.ShipGap(q.Context(), d); err != nil {
		r.log.Error("gap could not be stored", "camera", d.Camera, "err", err)
		unavailable(w, "the store cannot take the gap now")
		return
	}
	r.m.gaps.Inc()
	w.WriteHeader(http.StatusNoContent)
}

// admitGap returns why the node behind ctx may not add the document.
func (r *Recorder) admitGap(ctx context.Context, d segment.GapDoc) error {
	if err := r.admit.ships(ctx, d.Camera); err != nil {
		return err
	}
	return r.admit.gap(ctx, d)
}

// refuseGap answers a document that was not taken.
func (r *Recorder) refuseGap(w http.ResponseWriter, q *http.Request, d segment.GapDoc, err error) {
	var no *notAdmitted
	if !errors.As(err, &no) {
		r.log.Error("gap could not be compared with the archive", "camera", d.Camera, "err", err)
		unavailable(w, "the archive cannot be asked now")
		return
	}
	r.m.refused(no.reason)
	row := guard.Row{Action: guard.ActionGap, Cameras: []string{d.Camera}, From: d.From, To: d.To}
	guard.Refused(q.Context(), row, no.detail)
	problem(w, no.status, no.detail)
}

// noteHoles makes the silences inside a stored segment known to coverage.
func (r *Recorder) noteHoles(ctx context.Context, m segment.Manifest) error {
	for _, h := range m.Holes {
		d := segment.GapDoc{Camera: m.Camera, Gap: h, Noted: m.End(), Inside: true}
		if err := r.ShipGap(ctx, d); err != nil {
			return err
		}
	}
	return nil
}
