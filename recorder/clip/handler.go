package clip

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"skein/recorder/fmp4"
	"skein/recorder/segment"
)

// Config is what a Handler needs.
type Config struct {
	Records Records
	Objects Objects
	// TempDir is where the tables of long exports go that do not fit in memory. Empty: the system's place for such.
	TempDir string
	// TableMemory is how many bytes of them stay in memory, for each export. 0: 4 MiB, less than 0: none.
	TableMemory int64
	// Gaps returns the gap documents of a camera that concern a range (nil: none), for coverage.
	Gaps func(camera string, within segment.Range) []segment.GapDoc
	// Began tells of a camera when its first footage began, and that which is left now; ok is false if that is not known
	// for certain. Nil: never. For coverage.
	Began func(ctx context.Context, camera string) (first, left time.Time, ok bool)
	Log   *slog.Logger // nil: discard
}

// Handler serves the archive over HTTP. It is safe for concurrent use and starts nothing that outlives a request.
//
//	GET /v1/clips/{camera}.mp4?from&to                one MP4; Range, HEAD, If-Range
//	        [&download=1]                             to be saved
//	        [&sound=original]                         sound as it was recorded
//	GET /v1/clips/{camera}.m3u8?from&to               HLS playlist
//	GET /v1/clips/{camera}.json?from&to               Timeline: which moment each picture of the MP4 is of
//	GET /v1/clips/{camera}/hls/{segment}/init.mp4     and {first}-{last}.m4s: what the playlist points at
//	GET /v1/coverage?from&to&camera=...               spans and typed gaps
//
// Who may see what is decided in front of it.
type Handler struct {
	library *library
	gaps    func(camera string, within segment.Range) []segment.GapDoc
	began   func(ctx context.Context, camera string) (first, left time.Time, ok bool)
	log     *slog.Logger
	mux     *http.ServeMux
}

// NewHandler returns a Handler.
func NewHandler(c Config) *Handler {
	h := &Handler{library: newLibrary(c), gaps: c.Gaps, began: c.Began, log: c.Log, mux: http.NewServeMux()}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.gaps == nil {
		h.gaps = func(string, segment.Range) []segment.GapDoc { return nil }
	}
	h.mux.HandleFunc("GET /v1/clips/{file}", h.clip)
	h.mux.HandleFunc("GET /v1/clips/{camera}/hls/{segment}/{part}", h.part)
	h.mux.HandleFunc("GET /v1/coverage", h.coverage)
	return h
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// clip answers for all forms of a whole range.
func (h *Handler) clip(w http.ResponseWriter, r *http.Request) {
	camera, kind, _ := strings.Cut(r.PathValue("file"), ".")
	if camera == "" || (kind != "mp4" && kind != "m3u8" && kind != "json") {
		problem(w, http.StatusNotFound, "no such clip", "want /v1/clips/{camera}.mp4, .m3u8 or .json")
		return
	}
	within, err := parseRange(r.URL.Query(), MaxRange)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	switch kind {
	case "m3u8":
		h.playlist(w, r, camera, within)
	case "json":
		h.timeline(w, r, camera, within)
	default:
		h.mp4(w, r, camera, within)
	}
}

// soundOriginal is the value of the query's sound that asks for it as it was recorded.
const soundOriginal = "original"

func (h *Handler) mp4(w http.ResponseWriter, r *http.Request, camera string, within segment.Range) {
	ctx := r.Context()
	sound := r.URL.Query().Get("sound")
	if sound != "" && sound != soundOriginal {
		problem(w, http.StatusBadRequest, "invalid sound", "want sound=original, or no sound at all in the query")
		return
	}
	recs, err := h.library.find(ctx, camera, within)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	p, err := h.library.layout(ctx, camera, within, recs, sound == soundOriginal)
	if errors.Is(err, errEmpty) {
		err = nearest(ctx, h.library.records, camera, within)
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	defer p.Close()
	disposition := "inline"
	if r.URL.Query().Get("download") == "1" {
		disposition = "attachment"
	}
	name := fmt.Sprintf("%s_%s_%ds.mp4", camera, p.from.UTC().Format("20060102T150405.000Z"),
		int(p.to.Sub(p.from).Round(time.Second).Seconds()))
	w.Header().Set("Content-Type", "video/mp4")
	w.Header().Set("Content-Disposition", fmt.Sprintf("%s; filename=%q", disposition, name))
	w.Header().Set("Skein-Clip-From", p.from.UTC().Format(time.RFC3339Nano))
	w.Header().Set("Skein-Clip-To", p.to.UTC().Format(time.RFC3339Nano))
	w.Header().Set("Etag", etag(camera, within, recs, sound))
	h.send(w, r, p)
}

// send serves a plan: whole, in ranges, or its head only.
func (h *Handler) send(w http.ResponseWriter, r *http.Request, p *plan) {
	body := newReader(r.Context(), p, h.library.objects)
	defer func() {
		if err := body.Close(); err != nil {
			h.log.Warn("close segment", "path", r.URL.Path, "err", err)
		}
	}()
	w.Header().Set("Cache-Control", "private, no-cache")
	watched := &watchedReader{ReadSeeker: body}
	http.ServeContent(w, r, "", time.Time{}, watched)
	if watched.err != nil && r.Context().Err() == nil {
		// The client sees a body shorter than its Content-Length: the server closes the connection.
		h.log.Error("clip cut short", "path", r.URL.Path, "err", watched.err)
	}
}

// watchedReader keeps the first error other than io.EOF, which http.ServeContent does not report.
type watchedReader struct {
	io.ReadSeeker
	err error
}

func (w *watchedReader) Read(p []byte) (int, error) {
	n, err := w.ReadSeeker.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && w.err == nil {
		w.err = err
	}
	return n, err
}

func (h *Handler) playlist(w http.ResponseWriter, r *http.Request, camera string, within segment.Range) {
	query := r.URL.Query()
	query.Del("from")
	query.Del("to")
	text, err := h.library.playlist(r.Context(), camera, within, query)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/vnd.apple.mpegurl")
	w.Header().Set("Cache-Control", "private, no-cache")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = io.WriteString(w, text) // a client that left needs no answer
}

// part answers for the pieces a playlist points at.
func (h *Handler) part(w http.ResponseWriter, r *http.Request) {
	ctx, camera := r.Context(), r.PathValue("camera")
	rec, x, err := h.segment(ctx, camera, r.PathValue("segment"))
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if x == nil {
		problem(w, http.StatusNotFound, "no such segment", "the segment is no longer in the archive; load the playlist again")
		return
	}
	w.Header().Set("Content-Type", "video/mp4")
	if r.PathValue("part") == "init.mp4" {
		head := fmp4.AppendInit(nil, partTracks(x), x.Start)
		p := &plan{}
		p.setHeader(head)
		h.send(w, r, p)
		return
	}
	c, err := parsePart(r.PathValue("part"), r.URL.Query())
	if err != nil || c.last >= len(x.Fragments) || x.Start.Sub(c.t0).Abs() > MaxRange+time.Hour {
		problem(w, http.StatusNotFound, "no such part", "parts are named by the playlist; load it again")
		return
	}
	p, ok := part(source{shard: rec.Shard, key: rec.Key(camera)}, x, c)
	if !ok {
		problem(w, http.StatusNotFound, "empty part", "nothing of this part lies in the range")
		return
	}
	h.send(w, r, p)
}

// segment finds a segment by the name it has in a playlist; the index is nil if there is none.
func (h *Handler) segment(ctx context.Context, camera, id string) (segment.Record, *fmp4.Index, error) {
	ms, _, _ := strings.Cut(id, "-")
	at, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return segment.Record{}, nil, nil //nolint:nilerr // a malformed name is a segment that does not exist
	}
	from := time.UnixMilli(at).UTC()
	recs, err := h.library.records.Range(ctx, camera, segment.Range{From: from, To: from.Add(time.Millisecond)})
	if err != nil {
		return segment.Record{}, nil, fmt.Errorf("find segment %s of %s: %w", id, camera, err)
	}
	for _, r := range recs {
		if partID(camera, r) == id {
			x, err := h.library.index(ctx, r.Shard, r.Key(camera))
			return r, x, err
		}
	}
	return segment.Record{}, nil, nil
}

// parsePart reads "first-last.m4s" and the times in the query.
func parsePart(name string, q url.Values) (partCut, error) {
	bad := fmt.Errorf("part %q: want first-last.m4s", name)
	a, b, ok := strings.Cut(strings.TrimSuffix(name, ".m4s"), "-")
	if !ok {
		return partCut{}, bad
	}
	first, err1 := strconv.Atoi(a)
	last, err2 := strconv.Atoi(b)
	t0, err3 := strconv.ParseInt(q.Get("t0"), 10, 64)
	if err1 != nil || err2 != nil || err3 != nil || first < 0 || last < first {
		return partCut{}, bad
	}
	c := partCut{first: first, last: last, t0: time.UnixMilli(t0).UTC()}
	c.begins = q.Get("begins") != ""
	if s := q.Get("until"); s != "" {
		ms, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return partCut{}, bad
		}
		c.until = time.UnixMilli(ms).UTC()
	}
	return c, nil
}

// parseRange reads from and to.
func parseRange(q url.Values, most time.Duration) (segment.Range, error) {
	var r segment.Range
	for _, f := range []struct {
		name string
		dst  *time.Time
	}{{"from", &r.From}, {"to", &r.To}} {
		t, err := time.Parse(time.RFC3339Nano, q.Get(f.name))
		if err != nil {
			return r, fmt.Errorf("%w: %s=%q is not an RFC 3339 time such as 2026-11-03T08:00:00.5Z",
				ErrRange, f.name, q.Get(f.name))
		}
		*f.dst = t.UTC()
	}
	if !r.From.Before(r.To) {
		return r, fmt.Errorf("%w: from is not before to", ErrRange)
	}
	if r.Duration() > most {
		return r, fmt.Errorf("%w: %v asked, at most %v at once", ErrRange, r.Duration(), most)
	}
	return r, nil
}

// etag names the bytes of a clip: the same range over the same segments is the same file.
func etag(camera string, within segment.Range, recs []segment.Record, sound string) string {
	h := sha256.New()
	fmt.Fprintf(h, "1 %d %d %s", within.From.UnixNano(), within.To.UnixNano(), sound)
	for _, r := range recs {
		fmt.Fprintln(h, r.Key(camera))
	}
	return `"` + hex.EncodeToString(h.Sum(nil)[:12]) + `"`
}

// fail answers an error as a problem.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	var none *NoFootageError
	switch {
	case r.Context().Err() != nil:
		return // nobody listens
	case errors.As(err, &none):
		problem(w, http.StatusNotFound, "no footage", none.Error())
	case errors.Is(err, ErrRange):
		problem(w, http.StatusBadRequest, "invalid range", err.Error())
	case errors.Is(err, segment.ErrIndexIncomplete):
		incomplete(w)
	default:
		h.log.Error("read archive", "path", r.URL.Path, "err", err)
		problem(w, http.StatusServiceUnavailable, "archive cannot be read",
			"a segment or the index is unavailable; try again")
	}
}

// incomplete answers that footage cannot be found now, which is not the same as that there is none.
func incomplete(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "2")
	problem(w, http.StatusServiceUnavailable, "index is being rebuilt", segment.ErrIndexIncomplete.Error()+
		"; recording goes on; try again in a moment")
}

// problem answers in the form of RFC 9457.
func problem(w http.ResponseWriter, status int, title, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct { // a client that left needs no answer
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{"about:blank", title, status, detail})
}
