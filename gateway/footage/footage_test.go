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

// Clips of half a second from 0.5 s on, with a key frame at 0.4 s, as the archive makes them with the original sound.
func TestParseSound(t *testing.T) {
	t.Parallel()
	for file, c := range map[string]struct {
		track  media.Track
		packet time.Duration
		ticks  int64 // of a packet
	}{
		"alaw.mp4": {media.Track{Codec: media.G711A, ClockRate: 8000, Channels: 1}, 20 * time.Millisecond, 160},
		"aac.mp4": {
			media.Track{Codec: media.AAC, ClockRate: 48000, Channels: 1, AACConfig: []byte{0x11, 0x88}}, 1024 * time.Second / 48000, 1024,
		},
		"opus.mp4": {media.Track{Codec: media.Opus, ClockRate: 48000, Channels: 1}, 20 * time.Millisecond, 960},
	} {
		data, err := os.ReadFile("testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		units, err := footage.Parse(data, noon().Add(500*time.Millisecond))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		pictures, sounds := 0, 0
		var wall time.Time
		var pts int64
		for i, u := range units {
			if d := u.Desc; len(d.Tracks) != 2 || d != units[0].Desc || d.Tracks[0].Codec != media.H264 || !equal(d.Tracks[1], c.track) {
				t.Fatalf("%s, unit %d: %+v", file, i, u.Desc)
			}
			if u.IsVideo() {
				pictures++
				continue
			}
			if first := noon().Add(500 * time.Millisecond); sounds == 0 && (u.Wall.After(first) || u.Wall.Add(c.packet).Before(first)) {
				t.Errorf("%s: the sound begins at %v", file, u.Wall)
			}
			if d := u.Wall.Sub(wall); sounds > 0 && ((d-c.packet).Abs() > 50*time.Microsecond || u.PTS-pts != c.ticks) {
				t.Errorf("%s: sound %d is %v, %d ticks, after the one before", file, sounds, d, u.PTS-pts)
			}
			if i > 0 && u.Wall.Before(units[i-1].Wall) || len(u.NALUs) != 1 || len(u.NALUs[0]) == 0 || u.Key {
				t.Errorf("%s: unit %d: %+v", file, i, u)
			}
			wall, pts = u.Wall, u.PTS
			sounds++
		}
		if want := int(500*time.Millisecond/c.packet) + 1; pictures != 15 || sounds < want-1 || sounds > want+1 {
			t.Errorf("%s: %d pictures, %d sounds", file, pictures, sounds)
		}
	}
}

func equal(a, b media.Track) bool {
	return a.Codec == b.Codec && a.ClockRate == b.ClockRate && a.Channels == b.Channels && slices.Equal(a.AACConfig, b.AACConfig)
}

func TestUnitsOfAnArchive(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/small.mp4")
	if err != nil {
		t.Fatal(err)
	}
	answer := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/clips/gate.mp4" || r.URL.Query().Get("from") != "2026-11-23T12:00:00Z" ||
			r.URL.Query().Get("to") != "2026-11-23T12:00:10Z" || r.URL.Query().Get("sound") != "original" {
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
	for _, file := range []string{"small.mp4", "small265.mp4", "alaw.mp4", "aac.mp4", "opus.mp4"} {
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
