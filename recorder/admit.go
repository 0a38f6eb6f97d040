package recorder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"skein/internal/caller"
	"skein/recorder/guard"
	"skein/recorder/segment"
	"skein/recorder/store"
)

const (
	ingestAhead = 5 * time.Minute    // how far the clocks of nodes may go before ours
	ingestSlack = 7 * 24 * time.Hour // what lay in a spool for longer than it is kept may still come so late
	openAhead   = 30 * time.Minute   // until when the next word about a gap that goes on must come

	neighbours = 10 * time.Minute // around a segment, in which its neighbours in the chain are looked for
	chainJump  = 1000             // numbers that a chain may go ahead at any time,
	chainPace  = 2                // and for each second since its last segment: more than any camera cuts
	lastSeq    = 1<<40 - 1        // what the index can hold

	maxGapsADay = 5000 // gap documents of one camera
)

// ErrFirstContact is what Deps.Ships returns where there is no inventory: the camera is the node's that ships it first.
var ErrFirstContact = errors.New("there is no inventory")

// notAdmitted is a segment or document that a node may not add to the archive as it is. The node keeps what it has.
type notAdmitted struct {
	status int
	reason string // label of the counter
	detail string
}

func (e *notAdmitted) Error() string { return e.detail }

func inadmissible(reason, format string, args ...any) error {
	return &notAdmitted{http.StatusUnprocessableEntity, reason, fmt.Sprintf(format, args...)}
}

// admitter decides what a node may add. It is safe for concurrent use.
type admitter struct {
	r *Recorder

	mu     sync.Mutex // guards the fields below
	owners map[string]string
	heads  map[string]chainHead
}

// chainHead is the highest number seen of a camera's chain.
type chainHead struct {
	seq   uint64
	start time.Time
}

func newAdmitter(r *Recorder) *admitter {
	return &admitter{r: r, owners: map[string]string{}, heads: map[string]chainHead{}}
}

// ships returns why the node behind ctx may not ship footage of the camera. What this process ships it may.
func (a *admitter) ships(ctx context.Context, camera string) error {
	node, ok := guard.Node(ctx)
	if !ok {
		return nil
	}
	err := ErrFirstContact
	if a.r.deps.Ships != nil {
		err = a.r.deps.Ships(node, camera)
	}
	if errors.Is(err, ErrFirstContact) {
		return a.firstContact(ctx, node, camera)
	}
	if err != nil {
		return &notAdmitted{http.StatusForbidden, "foreign", err.Error()}
	}
	return nil
}

// contact is the document that says whose a camera is for which no inventory speaks.
type contact struct {
	Node  string    `json:"node"`
	Since time.Time `json:"since"`
}

// firstContact lets the node through that shipped the camera first, and remembers it for all recorders of the archive.
func (a *admitter) firstContact(ctx context.Context, node caller.Node, camera string) error {
	a.mu.Lock()
	owner := a.owners[camera]
	a.mu.Unlock()
	if owner == "" {
		var err error
		if owner, err = a.contact(ctx, node, camera); err != nil {
			return err
		}
		a.mu.Lock()
		a.owners[camera] = owner
		a.mu.Unlock()
	}
	if owner != node.ID {
		return &notAdmitted{http.StatusForbidden, "foreign",
			fmt.Sprintf("footage of camera %s comes from node %s, which shipped it first", camera, owner)}
	}
	return nil
}

// contact returns whose the camera is, which may have become this node's just now.
func (a *admitter) contact(ctx context.Context, node caller.Node, camera string) (string, error) {
	if a.r.deps.Docs == nil {
		return node.ID, nil
	}
	name := "owners/" + camera + ".json"
	doc, err := a.r.deps.Docs.GetBlob(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		if doc, err = json.Marshal(contact{Node: node.ID, Since: a.r.now().UTC()}); err != nil {
			return "", err
		}
		err = a.r.deps.Docs.CreateBlob(ctx, name, doc)
		if errors.Is(err, store.ErrExists) { // another recorder of the archive was asked at the same time
			doc, err = a.r.deps.Docs.GetBlob(ctx, name)
		} else if err == nil {
			a.r.log.Info("a camera ships for the first time", "camera", camera, "node", node.ID)
		}
	}
	if err != nil {
		return "", fmt.Errorf("whose camera %s is: %w", camera, err)
	}
	var c contact
	if err := json.Unmarshal(doc, &c); err != nil || c.Node == "" {
		return "", fmt.Errorf("whose camera %s is: document %s is damaged", camera, name)
	}
	return c.Node, nil
}

// near returns the records and gap links around a stretch of footage, where its neighbours in the chain are.
func (a *admitter) near(ctx context.Context, camera string, within segment.Range, before time.Time) (
	[]segment.Record, []segment.GapDoc, error,
) {
	around := segment.Range{From: within.From.Add(-neighbours), To: within.To.Add(neighbours)}
	list, err := a.r.deps.Index.Range(ctx, camera, around)
	if err != nil {
		return nil, nil, err
	}
	links := a.r.Gaps(camera, around)
	if !before.IsZero() && before.Before(around.From) { // the footage before ended there
		there := segment.Range{From: before.Add(-time.Minute), To: before.Add(time.Second)}
		more, err := a.r.deps.Index.Range(ctx, camera, there)
		if err != nil {
			return nil, nil, err
		}
		list = append(list, more...)
		links = append(links, a.r.Gaps(camera, there)...)
	}
	return list, slices.DeleteFunc(links, func(d segment.GapDoc) bool { return d.Lost == nil }), nil
}

// segment returns why a segment that is not stored yet may not be added: its time, its causes, or its place in the
// chain. A chain may come in any order, for what is fresh is shipped before what waited: each segment is compared with
// those neighbours that are there, and its number with what the time allows. A chain that begins anew, as after the
// loss of a spool, is let in.
func (a *admitter) segment(ctx context.Context, m segment.Manifest) error {
	if err := a.when(m.Camera, m.Start, m.End()); err != nil {
		return err
	}
	for _, g := range append(slices.Clone(m.Holes), orNone(m.Gap)...) {
		if err := ofNode(g.Cause); err != nil {
			return err
		}
	}
	if err := a.pace(ctx, m.Camera, m.Seq, m.Start); err != nil {
		return err
	}
	var before time.Time
	if m.Gap != nil {
		before = m.Gap.From
	}
	list, links, err := a.near(ctx, m.Camera, m.Range(), before)
	if err != nil {
		return err
	}
	if err := a.follows(m.Camera, m.Seq, m.Prev, m.Start, list, links); err != nil {
		return err
	}
	if twin, err := a.twin(ctx, m, list); twin || err != nil {
		return err
	}
	return a.precedes(ctx, m.Camera, m.Seq, m.SHA256, m.Start, list, links)
}

func orNone(g *segment.Gap) []segment.Gap {
	if g == nil {
		return nil
	}
	return []segment.Gap{*g}
}

// when returns why footage from and to these times cannot come now.
func (a *admitter) when(camera string, from, to time.Time) error {
	now := a.r.now()
	if from.After(now.Add(ingestAhead)) || to.After(now.Add(ingestAhead+maxDuration)) {
		return inadmissible("time", "it is of %s, and here it is %s: check the clocks of the node and of the recorder",
			from.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	if a.r.deps.Keep == nil {
		return nil
	}
	days := a.r.deps.Keep(camera)
	if oldest := now.Add(-time.Duration(days)*24*time.Hour - ingestSlack); days > 0 && from.Before(oldest) {
		return inadmissible("time", "it is of %s; footage of camera %s is kept for %d days", from.Format(time.RFC3339),
			camera, days)
	}
	return nil
}

// ofNode returns an error for a cause that only people can give.
func ofNode(c segment.Cause) error {
	if c == segment.CausePrivacy || c == segment.CausePlanned {
		return inadmissible("cause", "cause %s: a node cannot tell that, only a person at the gateway", c)
	}
	return nil
}

// pace returns why the chain cannot have come to the number by that time.
func (a *admitter) pace(ctx context.Context, camera string, seq uint64, start time.Time) error {
	if seq > lastSeq {
		return inadmissible("chain", "segment number %d is impossible", seq)
	}
	h, err := a.head(ctx, camera)
	if err != nil || h.seq == 0 || seq <= h.seq {
		return err
	}
	may := uint64(chainJump) + chainPace*uint64(start.Sub(h.start).Abs()/time.Second) // a duration in seconds fits
	if seq-h.seq > may {
		return inadmissible("chain", "segment number %d cannot be: the archive has the chain up to %d at %s", seq, h.seq,
			h.start.Format(time.RFC3339))
	}
	return nil
}

// head returns the highest number of the camera's newest day; zero if there is no footage. Days to come are no footage.
func (a *admitter) head(ctx context.Context, camera string) (chainHead, error) {
	a.mu.Lock()
	h, ok := a.heads[camera]
	a.mu.Unlock()
	if ok {
		return h, nil
	}
	days, err := a.r.deps.Index.Days(ctx, camera)
	if err != nil {
		return h, err
	}
	limit := a.r.now().Add(ingestAhead)
	for i := len(days) - 1; i >= 0 && h.seq == 0; i-- {
		if days[i].After(limit) {
			continue
		}
		list, err := a.r.deps.Index.Range(ctx, camera, segment.Range{From: days[i], To: days[i].AddDate(0, 0, 1)})
		if err != nil {
			return h, err
		}
		for _, rec := range list {
			if rec.Seq > h.seq && !rec.Start.After(limit) {
				h = chainHead{rec.Seq, rec.Start}
			}
		}
	}
	return a.advance(camera, h), nil
}

// advance notes that a camera's chain has come to h, and returns how far it has.
func (a *admitter) advance(camera string, h chainHead) chainHead {
	a.mu.Lock()
	defer a.mu.Unlock()
	if have, ok := a.heads[camera]; ok && have.seq > h.seq {
		return have
	}
	a.heads[camera] = h
	return h
}

// follows returns an error if a segment with the number before is known at or before start, and none of that number has
// the hash that prev names. Several chains of a camera may meet there.
func (a *admitter) follows(
	camera string, seq uint64, prev segment.Hash, start time.Time, list []segment.Record, links []segment.GapDoc,
) error {
	known := false
	for _, rec := range list {
		if rec.Seq+1 != seq || rec.Start.After(start) {
			continue
		}
		if known = true; rec.Hash == [6]byte(prev[:6]) {
			return nil
		}
	}
	for _, d := range links {
		if d.Lost.Last+1 != seq || d.From.After(start) {
			continue
		}
		if known = true; d.Lost.SHA256 == prev {
			return nil
		}
	}
	if known && seq > 1 {
		return inadmissible("chain", "segment %d of camera %s names %s before it; segment %d in the archive is another",
			seq, camera, prev, seq-1)
	}
	return nil
}

// twin reports whether another segment around has the number of m. One that also follows the same segment is a fork of
// the chain, and an error; otherwise it is of a chain that began anew.
func (a *admitter) twin(ctx context.Context, m segment.Manifest, list []segment.Record) (bool, error) {
	found := false
	for _, rec := range list {
		if rec.Seq != m.Seq || rec.Hash == [6]byte(m.SHA256[:6]) {
			continue
		}
		found = true
		other, err := a.manifest(ctx, m.Camera, rec)
		if err != nil {
			return true, err
		}
		if other != nil && !m.Prev.IsZero() && other.Prev == m.Prev {
			return true, fmt.Errorf("%w: segment %d of camera %s is there already, from %s", store.ErrConflict, m.Seq,
				m.Camera, rec.Start.Format(time.RFC3339))
		}
	}
	return found, nil
}

// precedes returns an error if the segment with the number after is known at or after start and names another than sum.
func (a *admitter) precedes(
	ctx context.Context, camera string, seq uint64, sum segment.Hash, start time.Time, list []segment.Record,
	links []segment.GapDoc,
) error {
	var other segment.Hash
	for _, rec := range list {
		if rec.Seq != seq+1 || rec.Start.Before(start) {
			continue
		}
		next, err := a.manifest(ctx, camera, rec)
		if err != nil {
			return err
		}
		if next == nil || next.Prev == sum {
			return nil
		}
		other = next.Prev
	}
	for _, d := range links {
		if d.Lost.First != seq+1 || d.From.Before(start) {
			continue
		}
		if d.Lost.Prev == sum {
			return nil
		}
		other = d.Lost.Prev
	}
	if !other.IsZero() {
		return inadmissible("chain", "segment %d of camera %s is %s; segment %d in the archive names %s before it", seq,
			camera, sum, seq+1, other)
	}
	return nil
}

// manifest reads the manifest of a stored segment; nil if it cannot be read for good.
func (a *admitter) manifest(ctx context.Context, camera string, rec segment.Record) (*segment.Manifest, error) {
	if a.r.deps.Manifest == nil {
		return nil, nil
	}
	m, err := a.r.deps.Manifest(ctx, rec.Shard, rec.Key(camera))
	if errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil {
		return nil, err
	}
	if err != nil {
		return nil, nil //nolint:nilerr // a damaged neighbour proves nothing against this segment
	}
	return &m, nil
}

// gap returns why a gap document may not be added.
func (a *admitter) gap(ctx context.Context, d segment.GapDoc) error {
	now := a.r.now()
	if err := ofNode(d.Cause); err != nil {
		return err
	}
	if err := a.when(d.Camera, d.From, d.To); err != nil {
		return err
	}
	switch {
	case d.To.After(now.Add(ingestAhead)):
		return inadmissible("time", "a gap until %s has not been yet", d.To.Format(time.RFC3339))
	case d.Due.After(now.Add(openAhead)):
		return inadmissible("time", "the next word about a gap must come within %v", openAhead)
	case a.r.gaps.crowded(d):
		return inadmissible("gaps", "camera %s has %d gap documents of that day already", d.Camera, maxGapsADay)
	case d.Inside:
		return a.inside(ctx, d)
	case d.Lost != nil:
		return a.lost(ctx, d)
	}
	return nil
}

// inside returns an error unless a stored segment's manifest tells of the silence: footage that is there is not hidden
// by a word that comes later.
func (a *admitter) inside(ctx context.Context, d segment.GapDoc) error {
	list, err := a.r.deps.Index.Range(ctx, d.Camera, d.Range)
	if err != nil {
		return err
	}
	for _, rec := range list {
		if !d.Due.IsZero() || d.Lost != nil || d.From.Before(rec.Start) || d.To.After(rec.End().Add(segment.Join)) {
			continue
		}
		m, err := a.manifest(ctx, d.Camera, rec)
		if err != nil {
			return err
		}
		if m != nil && slices.ContainsFunc(m.Holes, func(h segment.Gap) bool {
			return !d.From.Before(h.From) && !d.To.After(h.To)
		}) {
			return nil
		}
	}
	return inadmissible("gaps", "no segment of camera %s holds a silence from %s to %s", d.Camera,
		d.From.Format(time.RFC3339), d.To.Format(time.RFC3339))
}

// lost returns why a gap link does not fit the chain.
func (a *admitter) lost(ctx context.Context, d segment.GapDoc) error {
	if err := a.pace(ctx, d.Camera, d.Lost.Last, d.To); err != nil {
		return err
	}
	if n := d.Lost.Last - d.Lost.First; n > chainJump+chainPace*uint64(d.Duration()/time.Second) {
		return inadmissible("chain", "%d segments in %v cannot be", n+1, d.Duration())
	}
	list, links, err := a.near(ctx, d.Camera, d.Range, time.Time{})
	if err != nil {
		return err
	}
	links = slices.DeleteFunc(links, func(l segment.GapDoc) bool { return l.From.Equal(d.From) }) // its former version
	if err := a.follows(d.Camera, d.Lost.First, d.Lost.Prev, d.From, list, links); err != nil {
		return err
	}
	return a.precedes(ctx, d.Camera, d.Lost.Last, d.Lost.SHA256, d.From, list, links)
}
