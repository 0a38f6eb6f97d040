package fmp4test

import (
	"strconv"
	"strings"
	"testing"
)

// FrameHashes returns the MD5 of every picture of the first video stream as a decoder presents them.
func FrameHashes(t testing.TB, path string, args ...string) []string {
	t.Helper()
	all := append([]string{"-v", "error"}, args...)
	out, _ := Run(t, "ffmpeg", append(all, "-i", path, "-map", "0:v:0", "-fps_mode", "passthrough",
		"-f", "framemd5", "-")...)
	var hashes []string
	for l := range strings.Lines(out) {
		if l[0] == '#' {
			continue
		}
		f := strings.Split(strings.TrimSpace(l), ",")
		hashes = append(hashes, strings.TrimSpace(f[len(f)-1]))
	}
	return hashes
}

// Warnings returns what ffprobe prints about a file at level warning when it reads all of it.
func Warnings(t testing.TB, path string) string {
	t.Helper()
	_, e1 := Run(t, "ffprobe", "-v", "warning", "-show_packets", "-show_streams", path)
	_, e2 := Run(t, "ffprobe", "-v", "warning", "-count_frames", "-show_streams", path)
	return e1 + e2
}

// Duration returns the seconds ffprobe reports: of the whole file, or of a stream ("v:0").
func Duration(t testing.TB, path, stream string) float64 {
	t.Helper()
	args := []string{"-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", path}
	if stream != "" {
		args = []string{"-v", "error", "-select_streams", stream, "-show_entries", "stream=duration", "-of", "csv=p=0", path}
	}
	out, _ := Run(t, "ffprobe", args...)
	v, err := strconv.ParseFloat(strings.TrimSpace(out), 64)
	if err != nil {
		t.Fatalf("duration of %s: %q", path, out)
	}
	return v
}
