package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"skein/edge/media"
	"skein/recorder/fmp4"
	"skein/recorder/segment"
	"skein/recorder/store"
)

// exportRig is one Skein process over an archive that was recorded before: an hour of cam0 at 4 Mbit/s, and a day of
// cam1 in very small pictures whose times jitter, the worst case for the tables of an MP4.
type exportRig struct {
	rig
	hour, day time.Time // when they begin
}

// benchExport measures long exports and the first byte of short clips from the directory store.
func benchExport(ctx context.Context, o options, t *table) (err error) {
	r := &exportRig{}
	defer func() {
		if r.dir != "" {
			err = errors.Join(err, r.end())
		}
	}()
	if err := r.prepare(ctx, o); err != nil {
		return err
	}
	if err := r.firstBytes(ctx, t); err != nil {
		return err
	}
	idle, err := usageOf(r.skein.pid())
	if err != nil {
		return err
	}
	n, took, rss, err := r.export(ctx, "cam0", r.hour, time.Hour)
	if err != nil {
		return err
	}
	rate := float64(n) / 1e6 / took.Seconds()
	t.add(fmt.Sprintf("export of 1 h (%.2f GB) from the directory store", float64(n)/1e9), fmt.Sprintf("%.0f MB/s", rate),
		">= 300 MB/s", rate >= 300)
	t.add("export of 1 h: most memory of the whole process",
		fmt.Sprintf("%.0f MB (before: %.0f MB)", rss, float64(idle.rss)/1e6), "<= 64 MB", rss <= 64)
	if n, took, rss, err = r.export(ctx, "cam1", r.day, 24*time.Hour); err != nil {
		return err
	}
	t.add(fmt.Sprintf("export of 24 h, 2.2 million jittering frames (%.2f GB): most memory", float64(n)/1e9),
		fmt.Sprintf("%.0f MB, %.1f s", rss, took.Seconds()), "<= 64 MB", rss <= 64)
	return nil
}

// prepare writes the archive and starts Skein over it.
func (r *exportRig) prepare(ctx context.Context, o options) (err error) {
	if r.dir, err = os.MkdirTemp("", "skein-bench-export-"); err != nil {
		return err
	}
	st, err := store.OpenDir(filepath.Join(r.dir, "data", "store"))
	if err != nil {
		return err
	}
	r.hour = time.Now().UTC().Add(-65 * time.Minute).Truncate(time.Second)
	r.day = time.Now().UTC().Add(-25 * time.Hour).Truncate(time.Second)
	if err := record(ctx, st, recording{camera: "cam0", from: r.hour, segments: 120, size: 20000}); err != nil {
		return err
	}
	err = record(ctx, st, recording{camera: "cam1", from: r.day, segments: 2880, size: 100, jitter: true})
	if err != nil {
		return err
	}
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	r.http = fmt.Sprintf("127.0.0.1:%d", ports[0])
	file := filepath.Join(r.dir, "skein.yaml")
	text := fmt.Sprintf(`data_dir: %s
listen: %s
webrtc: {udp: "127.0.0.1:%d"}
rtsp: {listen: "127.0.0.1:%d"}
log: {level: warn}
access: {tokens: [{name: bench, token: {env: SKEIN_BENCH_TOKEN}, role: admin, unit: yf}]}
units: [{id: yf, name: 雁峰区, tier: district}]
cameras:
  - {id: cam0, name: A, unit: yf, main: "rtsp://127.0.0.1:1/a", record: none}
  - {id: cam1, name: B, unit: yf, main: "rtsp://127.0.0.1:1/b", record: none}
`, filepath.Join(r.dir, "data"), r.http, ports[1], ports[2])
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	r.skein, err = start(ctx, []string{"SKEIN_BENCH_TOKEN=" + benchToken}, o.skein, "all", "--config", file)
	if err != nil {
		return err
	}
	for range 300 {
		if resp, err := r.get(ctx, "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return pause(ctx, 3*time.Second, r.skein) // the index is being filled from the store
			}
		}
		if err := pause(ctx, 100*time.Millisecond, r.skein); err != nil {
			return err
		}
	}
	return errors.New("skein is not ready after half a minute")
}

// end stops the process and removes the archive.
func (r *exportRig) end() error {
	var err error
	if r.skein != nil {
		err = r.skein.stop()
	}
	return errors.Join(err, os.RemoveAll(r.dir))
}

// firstBytes measures 20 s clips, never the same twice.
func (r *exportRig) firstBytes(ctx context.Context, t *table) error {
	id, err := r.retrieval(ctx, "cam0", r.hour, time.Hour)
	if err != nil {
		return err
	}
	var first []time.Duration
	for i := range 110 {
		from := r.hour.Add(time.Duration(i*37%3500) * time.Second)
		began := time.Now()
		resp, err := r.get(ctx, clipPath("cam0", from, from.Add(20*time.Second), id))
		if err != nil {
			return err
		}
		_, err = io.ReadFull(resp.Body, make([]byte, 1))
		took := time.Since(began)
		_, _ = io.Copy(io.Discard, resp.Body) // the connection is used again
		if cerr := resp.Body.Close(); err != nil || cerr != nil || resp.StatusCode != http.StatusOK {
			return fmt.Errorf("clip: %s: %w", resp.Status, errors.Join(err, cerr))
		}
		if i >= 10 {
			first = append(first, took)
		}
	}
	slices.Sort(first)
	t.add("20 s clip out of an hour at 4 Mbit/s, directory store: first byte p50 / p95",
		fmt.Sprintf("%.1f / %.1f ms", millis(first, 0.5), millis(first, 0.95)), "p50 <= 15 ms", millis(first, 0.5) <= 15)
	return nil
}

// retrieval registers one and returns its id.
func (r *exportRig) retrieval(
	ctx context.Context, camera string, from time.Time, length time.Duration,
) (string, error) {
	body, err := json.Marshal(map[string]any{
		"reason": "bench", "cameras": []string{camera}, "from": from.Add(-time.Minute), "to": from.Add(length + time.Minute),
	})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+r.http+"/v1/retrievals", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+benchToken)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var out struct{ ID string }
	err = json.NewDecoder(resp.Body).Decode(&out)
	if err == nil && out.ID == "" {
		err = fmt.Errorf("retrieval: %s", resp.Status)
	}
	return out.ID, err
}

func clipPath(camera string, from, to time.Time, retrieval string) string {
	q := url.Values{
		"from": {from.Format(time.RFC3339Nano)}, "to": {to.Format(time.RFC3339Nano)}, "retrieval": {retrieval},
	}
	return "/v1/clips/" + camera + ".mp4?" + q.Encode()
}

// export reads a whole clip and returns its length, the time it took, and the most memory the process had in MB.
func (r *exportRig) export(
	ctx context.Context, camera string, from time.Time, length time.Duration,
) (n int64, took time.Duration, rss float64, err error) {
	id, err := r.retrieval(ctx, camera, from, length)
	if err != nil {
		return 0, 0, 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	most := make(chan float64, 1)
	go func() {
		top := 0.0
		for ctx.Err() == nil {
			if u, err := usageOf(r.skein.pid()); err == nil {
				top = max(top, float64(u.rss)/1e6)
			}
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
		most <- top
	}()
	began := time.Now()
	resp, err := r.get(ctx, clipPath(camera, from, from.Add(length), id))
	if err != nil {
		return 0, 0, 0, err
	}
	defer resp.Body.Close()
	n, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, resp.Body, make([]byte, 1<<20))
	took = time.Since(began)
	cancel()
	rss = <-most
	if err == nil && (n != resp.ContentLength || resp.StatusCode != http.StatusOK) {
		err = fmt.Errorf("export of %s: %s, %d of %d bytes", camera, resp.Status, n, resp.ContentLength)
	}
	return n, took, rss, err
}

// recording is footage to make up: segments of 30 s with 25 pictures/s of that size and G.711.
type recording struct {
	camera   string
	from     time.Time
	segments int
	size     int // bytes of a picture
	jitter   bool
}

// record puts made-up footage into a store.
func record(ctx context.Context, st store.Archive, rec recording) error {
	desc := &media.Description{Tracks: []media.Track{
		{Codec: media.MJPEG, ClockRate: 90000, Width: 1920, Height: 1080, FPS: 25},
		{Codec: media.G711A, ClockRate: 8000, Channels: 1},
	}}
	frame, sound := make([]byte, rec.size), make([]byte, 320)
	rnd := rand.New(rand.NewPCG(1, 1))
	var file bytes.Buffer
	var prev segment.Hash
	for s := range rec.segments {
		began := rec.from.Add(time.Duration(s) * 30 * time.Second)
		file.Reset()
		out := bufio.NewWriterSize(&file, 1<<20)
		w, err := fmp4.NewWriter(out, desc, began)
		if err != nil {
			return err
		}
		for i := range 750 {
			at := began.Add(time.Duration(i) * 40 * time.Millisecond)
			shown := at
			if rec.jitter && i > 0 {
				shown = at.Add(time.Duration(rnd.IntN(10_000)) * time.Microsecond)
			}
			_, verr := w.Write(&media.AccessUnit{Desc: desc, Wall: shown, Key: i%50 == 0, NALUs: [][]byte{frame}})
			_, aerr := w.Write(&media.AccessUnit{Desc: desc, Track: 1, Wall: at, NALUs: [][]byte{sound}})
			if err := errors.Join(verr, aerr); err != nil {
				return err
			}
		}
		if _, err := w.Close(began.Add(30 * time.Second)); err != nil {
			return err
		}
		if err := out.Flush(); err != nil {
			return err
		}
		m := segment.Manifest{
			Camera: rec.camera, Profile: "main", Seq: uint64(s + 1), Epoch: 1, Start: began, Duration: 30 * time.Second,
			Bytes: int64(file.Len()), SHA256: sha256.Sum256(file.Bytes()), Prev: prev, Codecs: "mp4v.6C,alaw", Frames: 750,
			Sealed: segment.SealedDuration,
		}
		prev = m.SHA256
		if _, err := st.Put(ctx, m, store.Source{Reader: &file, Size: m.Bytes}); err != nil {
			return err
		}
	}
	return nil
}
