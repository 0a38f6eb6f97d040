package recorder

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"skein/recorder/guard"
	"skein/recorder/segment"
	"skein/recorder/store"
)

// ManifestHeader carries the segment's manifest: base64 (RFC 4648 section 4) of its JSON.
const ManifestHeader = "Skein-Manifest"

// maxManifestHeader bounds ManifestHeader in bytes.
const maxManifestHeader = 8 << 10

// parseIngest reads what a request says about the segment that follows. start is unix milliseconds, as in object keys,
// or RFC 3339.
func parseIngest(camera, start, header string) (segment.Manifest, error) {
	var m segment.Manifest
	switch {
	case header == "":
		return m, errors.New(ManifestHeader + " is missing")
	case len(header) > maxManifestHeader:
		return m, errors.New(ManifestHeader + " is too long")
	}
	raw, err := base64.StdEncoding.DecodeString(header)
	if err != nil {
		return m, errors.New(ManifestHeader + " is not base64")
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, fmt.Errorf("%s: %w", ManifestHeader, err)
	}
	m.Start = m.Start.UTC()
	if err := checkManifest(m); err != nil {
		return m, err
	}
	at, err := parseStart(start)
	switch {
	case err != nil:
		return m, err
	case m.Camera != camera:
		return m, fmt.Errorf("manifest is of camera %s, the address of %.70q", m.Camera, camera)
	case !at.Equal(m.Start):
		return m, fmt.Errorf("manifest starts at %v, the address at %v", m.Start, at)
	}
	return m, nil
}

func parseStart(s string) (time.Time, error) {
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.UnixMilli(ms).UTC(), nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return t, fmt.Errorf("start %.40q: want unix milliseconds or RFC 3339", s)
	}
	return t.UTC(), nil
}

// ingest receives one segment: PUT /v1/ingest/segments/{camera}/{start}.
func (r *Recorder) ingest(w http.ResponseWriter, q *http.Request) {
	m, err := parseIngest(q.PathValue("camera"), q.PathValue("start"), q.Header.Get(ManifestHeader))
	if err != nil {
		r.m.refused("malformed")
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	if err := r.admit.ships(q.Context(), m.Camera); err != nil {
		r.refuse(w, q, m, err)
		return
	}
	switch {
	case m.Bytes > r.cfg.MaxSegment || q.ContentLength > r.cfg.MaxSegment:
		r.m.refused("too_large")
		problem(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("at most %d bytes", r.cfg.MaxSegment))
		return
	case q.ContentLength < 0:
		r.m.refused("malformed")
		problem(w, http.StatusLengthRequired, "Content-Length is needed")
		return
	case q.ContentLength != m.Bytes:
		r.m.refused("malformed")
		problem(w, http.StatusBadRequest,
			fmt.Sprintf("manifest says %d bytes, Content-Length %d", m.Bytes, q.ContentLength))
		return
	}
	node, _ := guard.Node(q.Context())
	release, ok := r.places.take(node.ID)
	if !ok {
		r.m.refused("busy")
		unavailable(w, "too many segments at the same time")
		return
	}
	defer release()
	began := time.Now()
	receipt, err := r.receive(w, q, m)
	if err != nil {
		r.refuse(w, q, m, err)
		return
	}
	r.m.seconds.Observe(time.Since(began).Seconds())
	writeJSON(w, receipt)
}

// receive streams the body into the store, then indexes it.
func (r *Recorder) receive(w http.ResponseWriter, q *http.Request, m segment.Manifest) (segment.Receipt, error) {
	ctx := q.Context()
	have, err := r.lookup(ctx, m)
	if err != nil {
		return segment.Receipt{}, err
	}
	if have != nil {
		return r.indexed(ctx, m, have.Shard, have)
	}
	if err := r.admit.segment(ctx, m); err != nil {
		return segment.Receipt{}, err
	}
	node, _ := guard.Node(ctx)
	body := &bodyReader{
		body: q.Body, deadline: http.NewResponseController(w), left: m.Bytes,
		upload: upload{places: r.places, node: node.ID, size: m.Bytes, began: time.Now()},
	}
	shard, err := r.deps.Store.Put(ctx, m, store.Source{Reader: body, Size: m.Bytes})
	if body.err != nil { // the store's error may only say that reading failed
		return segment.Receipt{}, body.err
	}
	if err != nil {
		return segment.Receipt{}, err
	}
	return r.indexed(ctx, m, shard, nil)
}

// refuse answers a segment that was not taken.
func (r *Recorder) refuse(w http.ResponseWriter, q *http.Request, m segment.Manifest, err error) {
	log := r.log.With("camera", m.Camera, "seq", m.Seq, "err", err)
	var cut *bodyError
	var no *notAdmitted
	switch {
	case errors.As(err, &no):
		r.m.refused(no.reason)
		row := guard.Row{Action: guard.ActionShip, Cameras: []string{m.Camera}, From: m.Start, To: m.End()}
		guard.Refused(q.Context(), row, fmt.Sprintf("segment %d: %s", m.Seq, no.detail))
		problem(w, no.status, no.detail)
	case errors.Is(err, store.ErrConflict):
		log.Error("segment refused: another one has its place")
		r.m.refused("conflict")
		problem(w, http.StatusConflict, "another segment with this start and number is stored")
	case errors.Is(err, store.ErrHash):
		log.Error("segment refused: content does not match its manifest")
		r.m.refused("hash")
		problem(w, http.StatusBadRequest, "content does not match the manifest's SHA-256 or size")
	case errors.Is(err, errStructure):
		log.Error("segment refused: it is not a segment")
		r.m.refused("structure")
		problem(w, http.StatusBadRequest, err.Error())
	case errors.Is(err, errTooSlow):
		log.Warn("segment refused: it came too slowly")
		r.m.refused("too_slow")
		problem(w, http.StatusRequestTimeout, "the body comes too slowly, and its place is wanted")
	case errors.As(err, &cut):
		log.Warn("segment was not received whole")
		r.m.refused("cut_off")
		problem(w, http.StatusBadRequest, "the body ended early")
	case errors.Is(err, segment.ErrIndexIncomplete):
		log.Debug("segment waits until the index is whole")
		r.m.refused("unavailable")
		unavailable(w, "the index is being rebuilt")
	default:
		log.Error("segment could not be stored")
		r.m.refused("unavailable")
		unavailable(w, "store or index cannot take the segment now")
	}
}

// errTooSlow ends an upload whose place is wanted.
var errTooSlow = errors.New("the body comes too slowly")

// bodyError tells that the body could not be read to its end.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return "read the segment's body: " + e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

// bodyReader passes a request's body on. It hands the last bytes out only if the whole is a segment, so that a store
// that checks size and hash never makes anything else visible.
type bodyReader struct {
	body     io.Reader
	deadline *http.ResponseController
	extended time.Time
	check    structure
	left     int64
	upload   upload
	err      error
}

// Read implements io.Reader.
func (b *bodyReader) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.left == 0 {
		return 0, io.EOF
	}
	if now := time.Now(); now.Sub(b.extended) > readStall/10 {
		b.extended = now
		_ = b.deadline.SetReadDeadline(now.Add(readStall)) // not every server can; then its own limits hold
	}
	n, err := b.body.Read(p[:min(int64(len(p)), b.left)])
	_, _ = b.check.Write(p[:n])
	b.left -= int64(n)
	switch {
	case b.left > 0 && b.upload.tooSlow(b.upload.size-b.left, time.Now()):
		b.err = errTooSlow
	case b.check.err != nil:
		b.err = b.check.err
	case b.left == 0:
		_ = b.deadline.SetReadDeadline(time.Time{})
		b.err = b.check.finish()
	case errors.Is(err, io.EOF):
		b.err = &bodyError{io.ErrUnexpectedEOF}
	case err != nil:
		b.err = &bodyError{err}
	}
	if b.err != nil {
		return 0, b.err
	}
	return n, nil
}
