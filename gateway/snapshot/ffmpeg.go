package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"skein/edge/media"
)

const (
	decodeLimit = 5 * time.Second
	maxJPEG     = 16 << 20
	maxWords    = 300 // of what ffmpeg complains about
)

// FFmpeg decodes with the ffmpeg program.
type FFmpeg struct{ path string }

var _ Decoder = (*FFmpeg)(nil)

// FindFFmpeg returns the program, or nil if it is not installed.
func FindFFmpeg() Decoder {
	path, err := exec.LookPath("ffmpeg")
	if err != nil {
		return nil
	}
	return &FFmpeg{path: path}
}

// Decode implements Decoder. It takes some 100 ms of one core for a 1080p picture and at most five seconds.
func (f *FFmpeg) Decode(ctx context.Context, codec media.Codec, pictures int, annexB []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, decodeLimit)
	defer cancel()
	format := "h264"
	if codec == media.H265 {
		format = "hevc"
	}
	//nolint:gosec // found by LookPath, constant arguments
	cmd := exec.CommandContext(ctx, f.path, "-hide_banner", "-loglevel", "error", "-nostdin", "-threads", "1",
		"-flags", "+output_corrupt", "-f", format, "-i", "pipe:0", "-vf", fmt.Sprintf("select=eq(n\\,%d)", pictures-1),
		"-frames:v", "1", "-q:v", "4", "-f", "mjpeg", "pipe:1")
	out, complaint := &bounded{left: maxJPEG}, &bounded{left: maxWords, quiet: true}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(annexB), out, complaint
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%w: ffmpeg took longer than %v", ErrDecode, decodeLimit)
	}
	if b := out.buf.Bytes(); len(b) > 4 && bytes.HasPrefix(b, []byte{0xff, 0xd8}) {
		return b, nil // a picture that was damaged in part is still the best there is
	}
	words := strings.Join(strings.Fields(complaint.buf.String()), " ")
	return nil, fmt.Errorf("%w: %s (%w)", ErrDecode, words, errors.Join(err, errNoJPEG))
}

var errNoJPEG = errors.New("no JPEG came out")

var errTooLarge = errors.New("the picture is too large")

// bounded keeps the first bytes written to it; beyond them it fails, or is quiet.
type bounded struct {
	buf   bytes.Buffer
	left  int
	quiet bool
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	n := min(len(p), b.left)
	b.buf.Write(p[:n])
	b.left -= n
	if n < len(p) && !b.quiet {
		return n, errTooLarge
	}
	return len(p), nil
}
