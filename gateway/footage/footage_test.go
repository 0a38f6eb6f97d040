package footage_test

import (
	"context"
	"encoding/binary"
	"io"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"skein/edge/media"
	"skein/gateway/footage"
)

func noon() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

func TestParse(t *testing.T) {
	t.Parallel()
	for file, codec := range map[string]media.Codec{"small.mp4": media.H264, "small265.mp4": media.H265} {
		data, err := os.ReadFile("testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		units, err := footage.Parse(data, noon())
		if err != nil || len(units) != 25 {
			t.Fatalf("%s: %d units, %v", file, len(units), err)
		}
		var walls []time.Duration
		for i, u := range units {
			tr := u.Desc.Tracks[0]
			if u.Key != (i%10 == 0) || tr.Codec != codec || len(tr.SPS) == 0 || len(tr.PPS) == 0 || tr.Width != 64 || len(u.NALUs) == 0 {
				t.Errorf("%s, unit %d: key %v, %+v", file, i, u.Key, tr)
			}
			walls = append(walls, u.Wall.Sub(noon()))
		}
		slices.Sort(walls)
		for i, w := range walls {
			if (w - time.Duration(i)*40*time.Millisecond).Abs() > time.Millisecond {
				t.Errorf("%s: picture %d at %v", file, i, w)
			}
		}
	}
}

func TestUnitsOfAnArchive(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/small.mp4")
	if err != nil {
		t.Fatal(err)
	}
	answer := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/clips/gate.mp4" || r.URL.Query().Get("from") != "2026-11-23T12:00:00Z" ||
			r.URL.Query().Get("to") != "2026-11-23T12:00:10Z" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Skein-Clip-From", "2026-11-23T12:00:01.5Z")
		_, _ = w.Write(data)
	}
	a := footage.Archive{Handler: http.HandlerFunc(answer)}
	units, err := a.Units(t.Context(), "gate", noon(), noon().Add(10*time.Second))
	if err != nil || len(units) != 25 || units[0].Wall.Before(noon().Add(1400*time.Millisecond)) {
		t.Errorf("%d units, %v", len(units), err)
	}
	if units, err := a.Units(t.Context(), "other", noon(), noon().Add(time.Second)); err != nil || len(units) != 0 {
		t.Errorf("nothing recorded: %d, %v", len(units), err)
	}
	for name, h := range map[string]http.HandlerFunc{
		"an error": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"no time":  func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(data) },
		"rubbish": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Skein-Clip-From", "2026-11-23T12:00:00Z")
			_, _ = w.Write([]byte("x"))
		},
		"without bound": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, endless{}) },
	} {
		if _, err := (footage.Archive{Handler: h}).Units(t.Context(), "gate", noon(), noon().Add(time.Second)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Units(ctx, "gate", noon(), noon().Add(time.Second)); err == nil {
		t.Error("a cancelled request: no error")
	}
}

// endless is a body that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func FuzzParse(f *testing.F) {
	for _, file := range []string{"small.mp4", "small265.mp4"} {
		data, err := os.ReadFile("testdata/" + file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(binary.BigEndian.AppendUint32(nil, 8))
	f.Fuzz(func(t *testing.T, b []byte) {
		units, err := footage.Parse(b, noon())
		if err != nil {
			return
		}
		for _, u := range units {
			if u.Desc == nil || u.Size() > len(b) {
				t.Fatalf("%+v", u)
			}
		}
	})
}
