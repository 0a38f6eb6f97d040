package fmp4_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"skein/edge/media"
	"skein/recorder/fmp4"
	"skein/recorder/fmp4/fmp4test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 11, 3, 7, 59, 58, 123456789, time.UTC)

// write returns the segment of the units and the fragments it was written in.
func write(t testing.TB, desc *media.Description, units []*media.AccessUnit) ([]byte, []fmp4.Fragment, fmp4.Info) {
	t.Helper()
	return writeAdvancing(t, desc, units, len(units)+1)
}

// writeAdvancing is write with an Advance after every so many units.
func writeAdvancing(t testing.TB, desc *media.Description, units []*media.AccessUnit, every int) (
	[]byte, []fmp4.Fragment, fmp4.Info,
) {
	t.Helper()
	var file bytes.Buffer
	w, err := fmp4.NewWriter(&file, desc, start)
	if err != nil {
		t.Fatal(err)
	}
	var all []fmp4.Fragment
	for i, u := range units {
		f, err := w.Write(u)
		if err != nil {
			t.Fatalf("unit %d: %v", u.Seq, err)
		}
		if f.Size > 0 {
			all = append(all, f)
		}
		if i%every != every-1 {
			continue
		}
		if f, _, err = w.Advance(); err != nil {
			t.Fatalf("after unit %d: %v", u.Seq, err)
		}
		if f.Size > 0 {
			all = append(all, f)
		}
	}
	f, err := w.Flush()
	if err != nil {
		t.Fatal(err)
	}
	if f.Size > 0 {
		all = append(all, f)
	}
	info, err := w.Close(time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return file.Bytes(), all, info
}

func TestSegmentsPlayAndKeepTime(t *testing.T) {
	t.Parallel()
	cases := map[string]fmp4test.Spec{
		"h264":            {Video: "h264", Seconds: 4},
		"h264 aac":        {Video: "h264", Audio: "aac", Seconds: 4},
		"h264 b-frames":   {Video: "h264", BFrames: 3, Seconds: 4, GOP: 50},
		"h264 long gop":   {Video: "h264", Seconds: 7, GOP: 200},
		"h264 long gop b": {Video: "h264", Seconds: 7, GOP: 200, BFrames: 2, Audio: "alaw"},
		"h264 alaw":       {Video: "h264", Audio: "alaw", Seconds: 4},
		"h264 ulaw":       {Video: "h264", Audio: "ulaw", Seconds: 4},
		"h264 opus":       {Video: "h264", Audio: "opus", Seconds: 4},
		"h265":            {Video: "h265", Seconds: 4},
		"h265 b-frames":   {Video: "h265", BFrames: 3, Seconds: 6},
		"mjpeg":           {Video: "mjpeg", Seconds: 3},
		"audio alone":     {Audio: "alaw", Seconds: 5},
	}
	for name, spec := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := fmp4test.Make(t, spec)
			for _, every := range []int{1 << 20, 3, 10} {
				checkSegment(t, src, every)
			}
		})
	}
}

// checkSegment writes the source, with an Advance after every so many units, and looks at the segment with ffprobe and
// with our own readers.
func checkSegment(t *testing.T, src *fmp4test.Source, every int) {
	t.Helper()
	units, spec := src.At(start), src.Spec
	file, frags, info := writeAdvancing(t, src.Desc, units, every)
	if whole := float64(len(frags)); every <= 10 && spec.Video != "" && whole < info.Duration.Seconds()*2 {
		t.Errorf("every %d: only %v fragments", every, whole)
	}
	path := filepath.Join(t.TempDir(), "s.mp4")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	if w := fmp4test.Warnings(t, path); w != "" {
		t.Errorf("ffprobe: %s", w)
	}
	if spec.Video != "" {
		if got := fmp4test.FrameHashes(t, path); !equal(got, src.Frames) {
			t.Errorf("decoded %d pictures, want %d, the same ones", len(got), len(src.Frames))
		}
	}
	if d := info.Duration - time.Duration(spec.Seconds)*time.Second; d.Abs() > 50*time.Millisecond {
		t.Errorf("duration %v, want %d s", info.Duration, spec.Seconds)
	}
	if d := fmp4test.Duration(t, path, "") - float64(spec.Seconds); d > 0.08 || d < -0.08 {
		t.Errorf("ffprobe duration is off by %v", d)
	}
	x, err := fmp4.ReadIndex(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	checkIndex(t, x, units, file, frags)
	y, end, err := fmp4.Scan(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	checkIndex(t, y, units, file, frags)
	if again := y.AppendTrailer(bytes.Clone(file[:end])); !bytes.Equal(again, file) {
		t.Errorf("re-made trailer differs: %d bytes, want %d", len(again), len(file))
	}
	if x.Duration() != info.Duration || x.Frames() != info.Frames {
		t.Errorf("index says %v %d, writer %v %d", x.Duration(), x.Frames(), info.Duration, info.Frames)
	}
}

func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// checkIndex compares every sample with the unit it came from.
func checkIndex(t *testing.T, x *fmp4.Index, units []*media.AccessUnit, file []byte, frags []fmp4.Fragment) {
	t.Helper()
	if !x.Start.Equal(start) {
		t.Errorf("start %v, want %v", x.Start, start)
	}
	if len(x.Fragments) != len(frags) {
		t.Fatalf("%d fragments, want %d", len(x.Fragments), len(frags))
	}
	next := make([]int, len(x.Tracks)) // position in units per track
	end := make([]int64, len(x.Tracks))
	for i, f := range x.Fragments {
		if f.Offset+f.Size != frags[i].End() {
			t.Errorf("fragment %d ends at %d, want %d", i, f.Offset+f.Size, frags[i].End())
		}
		if frags[i].Duration > 4*time.Second {
			t.Errorf("fragment %d lasts %v", i, frags[i].Duration)
		}
		for _, r := range f.Runs {
			at, data := r.DTS, r.Offset
			if d := at - end[r.Track]; d < 0 || d > 8 {
				t.Errorf("fragment %d: track %d begins %d ticks after its predecessor", i, r.Track, d)
			}
			for _, s := range r.Samples {
				for units[next[r.Track]].Track != r.Track {
					next[r.Track]++
				}
				u := units[next[r.Track]]
				next[r.Track]++
				wall := x.Time(r.Track, at+int64(s.Shift))
				slack := 12 * time.Microsecond
				if !u.IsVideo() {
					slack = 200 * time.Microsecond
				}
				if d := wall.Sub(u.Wall); d.Abs() > slack {
					t.Fatalf("unit %d lies at %v, want %v", u.Seq, wall, u.Wall)
				}
				if u.IsVideo() && s.Shift < 0 {
					t.Errorf("unit %d is decoded %d ticks after it is shown", u.Seq, -s.Shift)
				}
				if u.IsVideo() && s.Key != u.Key {
					t.Errorf("unit %d: key %v", u.Seq, s.Key)
				}
				if got := file[data : data+int64(s.Size)]; !bytes.Equal(got, bytesOf(u)) {
					t.Fatalf("unit %d: payload differs", u.Seq)
				}
				data += int64(s.Size)
				at += int64(s.Duration)
			}
			end[r.Track] = at
		}
	}
	for i := range next {
		for _, u := range units[next[i]:] {
			if u.Track == i {
				t.Fatalf("unit %d is missing", u.Seq)
			}
		}
	}
}

func bytesOf(u *media.AccessUnit) []byte {
	c := u.Desc.Tracks[u.Track].Codec
	if c != media.H264 && c != media.H265 {
		return u.NALUs[0]
	}
	var b []byte
	for _, n := range u.NALUs {
		b = append(b, byte(len(n)>>24), byte(len(n)>>16), byte(len(n)>>8), byte(len(n)))
		b = append(b, n...)
	}
	return b
}

func TestWriterAsksForSplit(t *testing.T) {
	t.Parallel()
	src := fmp4test.Make(t, fmp4test.Spec{Video: "h264", Seconds: 3})
	other := *src.Desc
	other.Tracks = append([]media.Track(nil), src.Desc.Tracks...)
	other.Tracks[0].PPS = append([]byte{}, append(other.Tracks[0].PPS, 1)...)
	same := *src.Desc
	cases := map[string]struct {
		change func(u *media.AccessUnit)
		want   error
	}{
		"gap":              {func(u *media.AccessUnit) { u.Wall = u.Wall.Add(5 * time.Second) }, fmp4.ErrGap},
		"epoch":            {func(u *media.AccessUnit) { u.Epoch++ }, fmp4.ErrEpoch},
		"parameter sets":   {func(u *media.AccessUnit) { u.Desc = &other }, fmp4.ErrCodec},
		"same description": {func(u *media.AccessUnit) { u.Desc = &same }, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var file bytes.Buffer
			w, err := fmp4.NewWriter(&file, src.Desc, start)
			if err != nil {
				t.Fatal(err)
			}
			units := src.At(start)
			c.change(units[25])
			for _, u := range units[:25] {
				if _, err := w.Write(u); err != nil {
					t.Fatal(err)
				}
			}
			_, err = w.Write(units[25])
			if !errors.Is(err, c.want) || (c.want != nil && !errors.Is(err, fmp4.ErrSplit)) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			info, err := w.Close(units[25].Wall)
			if err != nil || info.Frames != 25 && c.want != nil {
				t.Fatalf("%+v, %v", info, err)
			}
			if d := info.Duration - time.Second; c.want != nil && d.Abs() > 12*time.Microsecond {
				t.Errorf("duration %v, want 1 s", info.Duration)
			}
		})
	}
}

func TestSilenceBeforeAnOrdinaryFrameIsAHole(t *testing.T) {
	t.Parallel()
	src := fmp4test.Make(t, fmp4test.Spec{Video: "h264", Seconds: 2, GOP: 100})
	units := src.At(start)
	for _, u := range units[20:] {
		u.Wall = u.Wall.Add(3 * time.Second)
	}
	file, frags, info := write(t, src.Desc, units)
	if len(info.Holes) != 1 || info.Holes[0].To.Sub(info.Holes[0].From).Round(time.Millisecond) != 3*time.Second {
		t.Fatalf("holes %v", info.Holes)
	}
	if len(frags) < 2 || frags[0].Duration.Round(time.Millisecond) != 800*time.Millisecond {
		t.Fatalf("fragments %+v", frags)
	}
	x, err := fmp4.ReadIndex(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	if x.Frames() != 50 || info.Frames != 50 || x.Duration().Round(time.Millisecond) != 5*time.Second {
		t.Errorf("%d frames, %v", x.Frames(), x.Duration())
	}
}

func TestFirstUnitMustBeKeyFrame(t *testing.T) {
	t.Parallel()
	src := fmp4test.Make(t, fmp4test.Spec{Video: "h264", Seconds: 1})
	w, err := fmp4.NewWriter(&bytes.Buffer{}, src.Desc, start)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(src.At(start)[1]); !errors.Is(err, fmp4.ErrNoKeyFrame) {
		t.Fatalf("got %v", err)
	}
}

func TestScanCutsToWholeFragments(t *testing.T) {
	t.Parallel()
	src := fmp4test.Make(t, fmp4test.Spec{Video: "h264", Audio: "alaw", Seconds: 3})
	file, frags, _ := write(t, src.Desc, src.At(start))
	for n := 0; n <= len(file); n += 97 {
		x, end, err := fmp4.Scan(bytes.NewReader(file[:n]), int64(n))
		whole, want := 0, int64(0)
		for _, f := range frags {
			if f.End() <= int64(n) {
				whole, want = whole+1, f.End()
			}
		}
		if err != nil {
			if !errors.Is(err, fmp4.ErrNotSegment) || whole > 0 {
				t.Fatalf("cut at %d: %v", n, err)
			}
			continue
		}
		if len(x.Fragments) != whole || (whole > 0 && end != want) {
			t.Fatalf("cut at %d: %d fragments to %d, want %d to %d", n, len(x.Fragments), end, whole, want)
		}
		sealed := x.AppendTrailer(bytes.Clone(file[:end]))
		if whole > 0 {
			y, err := fmp4.ReadIndex(bytes.NewReader(sealed), int64(len(sealed)))
			if err != nil || len(y.Fragments) != whole {
				t.Fatalf("cut at %d: sealed again: %v", n, err)
			}
		}
	}
}
