package clip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"skein/recorder/fmp4"
	"skein/recorder/segment"
)

// The bounds of thumbnails.
const (
	thumbnailWidth   = 320
	thumbnailTimeout = 10 * time.Second // for one picture
	thumbnailMax     = 1 << 20          // bytes of a JPEG of that size, by far
	keyFrameMax      = 16 << 20
	// DefaultThumbnailBytes bounds the pictures kept on disk.
	DefaultThumbnailBytes = 256 << 20
)

// Thumbnails makes small pictures of recorded footage with ffmpeg and keeps them on disk. It serves
//
//	GET /v1/thumbnails/{camera}.jpg?at    the key frame at or before that moment
//
// Pictures are made one per key frame, at most Parallel at a time, and each only once however many ask for it.
type Thumbnails struct {
	library *library
	ffmpeg  string // path; empty: there is none
	cache   *pictureCache
	slots   chan struct{}
	log     *slog.Logger

	mu     sync.Mutex // guards the field below
	making map[string]*making
}

// making is a picture under way.
type making struct {
	done chan struct{}
	jpeg []byte
	err  error
}

// ThumbnailConfig is what Thumbnails need.
type ThumbnailConfig struct {
	Dir      string       // where pictures are kept; made if it is missing
	MaxBytes int64        // default DefaultThumbnailBytes
	Parallel int          // pictures made at the same time, default 2
	FFmpeg   string       // program; default: ffmpeg on the PATH
	Log      *slog.Logger // nil: discard
}

// NewThumbnails returns Thumbnails of the handler's archive.
func (h *Handler) NewThumbnails(c ThumbnailConfig) *Thumbnails {
	if c.MaxBytes == 0 {
		c.MaxBytes = DefaultThumbnailBytes
	}
	if c.Parallel <= 0 {
		c.Parallel = 2
	}
	if c.FFmpeg == "" {
		c.FFmpeg = "ffmpeg"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	t := &Thumbnails{
		library: h.library, slots: make(chan struct{}, c.Parallel), log: c.Log,
		cache: &pictureCache{dir: c.Dir, max: c.MaxBytes, now: time.Now}, making: map[string]*making{},
	}
	if path, err := exec.LookPath(c.FFmpeg); err == nil {
		t.ffmpeg = path
	}
	return t
}

// ServeHTTP implements http.Handler.
func (t *Thumbnails) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	camera, ok := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/v1/thumbnails/"), ".jpg")
	switch {
	case !ok || camera == "" || strings.Contains(camera, "/"):
		problem(w, http.StatusNotFound, "no such thumbnail", "want /v1/thumbnails/{camera}.jpg?at=")
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		problem(w, http.StatusMethodNotAllowed, "method not allowed", "want GET")
		return
	case t.ffmpeg == "":
		problem(w, http.StatusNotImplemented, "no thumbnails here",
			"thumbnails need ffmpeg, which is not installed on the recorder's machine; clips work without it")
		return
	}
	at, err := time.Parse(time.RFC3339Nano, r.URL.Query().Get("at"))
	if err != nil {
		problem(w, http.StatusBadRequest, "invalid time", "at: want an RFC 3339 time such as 2026-11-03T08:00:00.5Z")
		return
	}
	jpeg, frame, err := t.picture(r.Context(), camera, at.UTC())
	if err != nil {
		t.fail(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "image/jpeg")
	h.Set("Cache-Control", "private, max-age=3600")
	h.Set("Etag", `"`+frame.id+`"`)
	h.Set("Skein-Frame-Time", frame.at.UTC().Format(time.RFC3339Nano))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(jpeg))
}

func (t *Thumbnails) fail(w http.ResponseWriter, r *http.Request, err error) {
	var none *NoFootageError
	switch {
	case r.Context().Err() != nil:
		return // nobody listens
	case errors.As(err, &none):
		problem(w, http.StatusNotFound, "no footage", none.Error())
	case errors.Is(err, errPicture):
		t.log.Warn("thumbnail", "path", r.URL.Path, "err", err)
		problem(w, http.StatusUnprocessableEntity, "not decodable", "the key frame could not be decoded")
	case errors.Is(err, segment.ErrIndexIncomplete):
		incomplete(w)
	default:
		t.log.Error("thumbnail", "path", r.URL.Path, "err", err)
		w.Header().Set("Retry-After", "5")
		problem(w, http.StatusServiceUnavailable, "archive cannot be read", "the picture could not be made now; try again")
	}
}

// errPicture: ffmpeg could not decode the frame.
var errPicture = errors.New("key frame cannot be decoded")

// keyFrame is a key frame of a segment and, of a gradual refresh, what comes after it until the picture is whole.
type keyFrame struct {
	rec     segment.Record
	key     string // of the object
	track   fmp4.Track
	samples []placed
	size    int64     // of all samples
	at      time.Time // when the last one is shown
	id      string
}

// placed is a sample and where it lies in the object.
type placed struct {
	fmp4.Sample
	off   int64
	shown time.Time
}

// picture returns the JPEG of the key frame that is shown at the moment.
func (t *Thumbnails) picture(ctx context.Context, camera string, at time.Time) ([]byte, keyFrame, error) {
	f, err := t.find(ctx, camera, at)
	if err != nil {
		return nil, f, err
	}
	if b, ok := t.cache.get(f.id); ok {
		return b, f, nil
	}
	t.mu.Lock()
	m, ok := t.making[f.id]
	if !ok {
		m = &making{done: make(chan struct{})}
		t.making[f.id] = m
	}
	t.mu.Unlock()
	if ok {
		select {
		case <-m.done:
			return m.jpeg, f, m.err
		case <-ctx.Done():
			return nil, f, ctx.Err()
		}
	}
	m.jpeg, m.err = t.make(context.WithoutCancel(ctx), f) // others wait for it too
	if m.err == nil {
		if err := t.cache.put(f.id, m.jpeg); err != nil {
			t.log.Warn("thumbnail not kept", "err", err)
		}
	}
	t.mu.Lock()
	delete(t.making, f.id)
	t.mu.Unlock()
	close(m.done)
	return m.jpeg, f, m.err
}

// find returns the last key frame presented at or before the moment in the segment of that moment, or the segment's
// first key frame.
func (t *Thumbnails) find(ctx context.Context, camera string, at time.Time) (keyFrame, error) {
	within := segment.Range{From: at, To: at.Add(time.Millisecond)}
	recs, err := t.library.find(ctx, camera, within)
	if err != nil {
		return keyFrame{}, err
	}
	rec := recs[0]
	for _, r := range recs {
		if !r.Start.After(at) {
			rec = r
		}
	}
	f := keyFrame{rec: rec, key: rec.Key(camera)}
	x, err := t.library.index(ctx, rec.Shard, f.key)
	if err != nil {
		return f, err
	}
	v := x.Video()
	if v < 0 {
		return f, nearest(ctx, t.library.records, camera, within)
	}
	f.track = x.Tracks[v]
	f.choose(samplesOf(x, v), at)
	if f.size == 0 || f.size > keyFrameMax {
		return f, fmt.Errorf("%w: %d bytes in segment %s", errPicture, f.size, f.key)
	}
	f.id = camera + "-" + partID(camera, rec) + "-" + strconv.FormatInt(f.samples[0].off, 10)
	return f, nil
}

// choose takes the last key frame that has become a whole picture by the moment, or the first that does.
func (f *keyFrame) choose(all []placed, at time.Time) {
	for i, s := range all {
		last := i + int(s.Recovery)
		if !s.Key || f.size > 0 && (last >= len(all) || all[last].shown.After(at)) {
			continue
		}
		f.samples, f.size = all[i:min(last+1, len(all))], 0
		for _, s := range f.samples {
			f.size += int64(s.Size)
		}
		f.at = f.samples[len(f.samples)-1].shown
	}
}

// samplesOf lists the samples of a track.
func samplesOf(x *fmp4.Index, track int) []placed {
	var all []placed
	for _, fragment := range x.Fragments {
		for _, r := range fragment.Runs {
			if r.Track != track {
				continue
			}
			dts, off := r.DTS, r.Offset
			for _, s := range r.Samples {
				all = append(all, placed{s, off, x.Time(track, dts+int64(s.Shift))})
				dts += int64(s.Duration)
				off += int64(s.Size)
			}
		}
	}
	return all
}

// make decodes a key frame.
func (t *Thumbnails) make(ctx context.Context, f keyFrame) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, thumbnailTimeout)
	defer cancel()
	select {
	case t.slots <- struct{}{}:
		defer func() { <-t.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	movie, err := t.movie(ctx, f)
	if err != nil {
		return nil, err
	}
	var out limitedBuffer
	var said bytes.Buffer
	scale := fmt.Sprintf("select='eq(n,%d)',scale='min(%d,iw)':-2", len(f.samples)-1, thumbnailWidth)
	//nolint:gosec // found by LookPath, no argument from outside
	cmd := exec.CommandContext(ctx, t.ffmpeg, "-hide_banner", "-loglevel", "error", "-threads", "1",
		"-flags", "+output_corrupt", "-f", "mp4", "-i",
		"pipe:0", "-an", "-frames:v", "1", "-vf", scale, "-threads", "1", "-q:v", "5", "-f", "mjpeg", "pipe:1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(movie), &out, &limitedWriter{w: &said, left: 2000}
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil || out.Len() == 0 {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("thumbnail of %s: %w", f.key, ctx.Err())
		}
		return nil, fmt.Errorf("%w: %s at byte %d: %w: %s", errPicture, f.key, f.samples[0].off, err,
			strings.TrimSpace(said.String()))
	}
	return out.Bytes(), nil
}

// movie returns an MP4 of the frame and what it needs.
func (t *Thumbnails) movie(ctx context.Context, f keyFrame) ([]byte, error) {
	run := fmp4.PartRun{ID: 1, Video: true}
	for _, s := range f.samples {
		s.Shift, s.Duration = 0, max(s.Duration, 1)
		run.Samples = append(run.Samples, s.Sample)
	}
	b := fmp4.AppendInit(nil, []fmp4.Track{f.track}, f.at)
	b = fmp4.AppendPartHead(b, 1, []fmp4.PartRun{run})
	head := len(b)
	b = append(b, make([]byte, f.size)...)
	o, err := t.library.objects.Open(ctx, f.rec.Shard, f.key)
	if err != nil {
		return nil, fmt.Errorf("open segment %s on %s: %w", f.key, f.rec.Shard, err)
	}
	defer o.Close()
	for _, s := range f.samples {
		if n, err := o.ReadAt(b[head:head+int(s.Size)], s.off); n < int(s.Size) {
			return nil, fmt.Errorf("read segment %s on %s at byte %d: %w", f.key, f.rec.Shard, s.off, err)
		}
		head += int(s.Size)
	}
	return b, nil
}

// limitedBuffer takes at most thumbnailMax bytes; more is an error, which ends the program that writes.
type limitedBuffer struct{ bytes.Buffer }

// Write implements io.Writer.
func (b *limitedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > thumbnailMax {
		return 0, errors.New("picture is too large")
	}
	return b.Buffer.Write(p)
}

// limitedWriter passes on the first bytes and drops the rest.
type limitedWriter struct {
	w    io.Writer
	left int
}

// Write implements io.Writer.
func (l *limitedWriter) Write(p []byte) (int, error) {
	k := min(l.left, len(p))
	l.left -= k
	if _, err := l.w.Write(p[:k]); err != nil {
		return 0, err
	}
	return len(p), nil
}
