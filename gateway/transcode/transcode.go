// Package transcode makes of a live stream what a viewer's browser can decode, by the ffmpeg program, if that is
// installed: H.264 of H.265 and JPEG pictures, small, and Opus of AAC sound. One process does one of these for one
// stream, with no added delay beyond a picture or two, or two packets of sound.
package transcode

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"slices"
	"sync"
	"time"

	"skein/edge/media"
	"skein/edge/stream"
)

const (
	width, height = 640, 360
	stampFPS      = 25 // what the program is told; pictures are told apart by it, not timed
	remembered    = 256
)

var errEnded = errors.New("ffmpeg ended")

// FFmpeg transcodes with the ffmpeg program.
type FFmpeg struct {
	path  string
	log   *slog.Logger
	pause time.Duration // failurePause
}

// Find returns the program, or nil if it is not installed. logger may be nil.
func Find(logger *slog.Logger) *FFmpeg {
	path, err := exec.LookPath("ffmpeg")
	if err != nil {
		return nil
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &FFmpeg{path: path, log: logger, pause: failurePause}
}

// H264 returns a stream of in's pictures, H.265, JPEG or H.264 without IDR pictures, as H.264, 640x360 at most, and of
// its sound as it is, with in's capture times. It waits for in's first unit, which tells what to decode, and ends with
// in, with the program, or by stop, which waits until nothing of it is left.
func (f *FFmpeg) H264(ctx context.Context, in *stream.Stream) (out *stream.Stream, stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	r := in.Subscribe(stream.ReaderOptions{Name: "transcode", Queue: 64, History: true})
	codec, p, first, err := f.startFor(ctx, r)
	if err != nil {
		r.Close()
		cancel()
		return nil, nil, err
	}
	j := &job{codec: codec, out: stream.New(stream.Options{}), taken: map[int]*media.AccessUnit{}}
	var run sync.WaitGroup
	run.Go(func() {
		defer p.in.Close()
		defer r.Close()
		if err := j.feed(ctx, first, r, p.in); err != nil && ctx.Err() == nil {
			f.log.Debug("transcoding is no longer fed", "error", err)
		}
	})
	run.Go(func() {
		err := j.read(bufio.NewReaderSize(p.out, 64<<10))
		cancel()
		j.out.Close(fmt.Errorf("%w: %w", errEnded, errors.Join(err, p.wait())))
	})
	return j.out, func() {
		cancel()
		run.Wait()
	}, nil
}

// startFor runs the program for what r delivers. It returns the unit that told so.
func (f *FFmpeg) startFor(ctx context.Context, r *stream.Reader) (media.Codec, *program, *media.AccessUnit, error) {
	first, err := r.Next(ctx)
	if err != nil {
		return 0, nil, nil, err
	}
	codec := media.H265
	if i := first.Desc.Video(); i >= 0 {
		codec = first.Desc.Tracks[i].Codec
	}
	format := formatOf(codec)
	if format == "" {
		return 0, nil, nil, fmt.Errorf("pictures in %v are not transcoded", codec)
	}
	p, err := f.start(ctx, pictureArguments(format))
	return codec, p, first, err
}

// formatOf names the form in which the codec's pictures are given to the program, "" if it is not transcoded.
func formatOf(c media.Codec) string {
	switch c {
	case media.H264:
		return "h264"
	case media.H265:
		return "hevc"
	case media.MJPEG:
		return multipart
	}
	return ""
}

// multipart says how long each JPEG is: none waits for the next.
const multipart = "mpjpeg"

func pictureArguments(format string) []string {
	size := fmt.Sprintf("scale=%d:%d:force_original_aspect_ratio=decrease:force_divisible_by=2", width, height)
	input := []string{"-framerate", fmt.Sprint(stampFPS), "-f", format, "-i", "pipe:0"}
	if format == multipart {
		input = input[2:] // it has a rate of its own, which is the same
	}
	return slices.Concat([]string{
		"-hide_banner", "-loglevel", "error", "-nostdin",
		"-flags", "low_delay", "-threads", "1", "-probesize", "32768", "-analyzeduration", "0",
	}, input, []string{
		"-an", "-vf", size, "-fps_mode", "passthrough", "-pix_fmt", "yuv420p",
		"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "50", "-maxrate", "800k", "-bufsize", "400k",
		"-x264-params", "threads=1:sliced-threads=0:scenecut=0", "-threads", "1",
		"-f", "flv", "-flvflags", "no_duration_filesize", "-flush_packets", "1", "pipe:1",
	})
}

// job is one transcoding.
type job struct {
	out   *stream.Stream
	codec media.Codec // of what is transcoded

	mu    sync.Mutex // guards the fields below, and publishing
	n     int        // pictures given to the program
	taken map[int]*media.AccessUnit
	sound []media.Track      // one at most
	desc  *media.Description // of out, nil before its first picture
}

// feed writes the pictures of r, the first of which is u, to the program until either ends.
func (j *job) feed(ctx context.Context, u *media.AccessUnit, r *stream.Reader, w io.Writer) error {
	var b []byte
	var desc *media.Description
	for ; ; u = nil {
		if u == nil {
			var err error
			if u, err = r.Next(ctx); err != nil {
				return err
			}
		}
		if desc != u.Desc {
			desc = u.Desc
			j.hear(desc)
		}
		if !u.IsVideo() {
			j.pass(u)
			continue
		}
		t := &u.Desc.Tracks[u.Track]
		if t.Codec != j.codec {
			return fmt.Errorf("the camera sends %v now", t.Codec)
		}
		b = written(b[:0], u, t)
		j.mu.Lock()
		j.taken[j.n] = u
		delete(j.taken, j.n-remembered)
		j.n++
		j.mu.Unlock()
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
}

// written appends a picture as the program reads it. An access unit delimiter behind it tells that it is whole.
func written(b []byte, u *media.AccessUnit, t *media.Track) []byte {
	if t.Codec == media.MJPEG {
		for _, n := range u.NALUs {
			b = fmt.Appendf(b, "--\r\nContent-type: image/jpeg\r\nContent-length: %d\r\n\r\n", len(n))
			b = append(append(b, n...), "\r\n"...)
		}
		return b
	}
	if u.Key {
		for _, n := range [][]byte{t.VPS, t.SPS, t.PPS} {
			b = append(append(b, 0, 0, 0, 1), n...)
		}
	}
	for _, n := range u.NALUs {
		b = append(append(b, 0, 0, 0, 1), n...)
	}
	if t.Codec == media.H264 {
		return append(b, 0, 0, 0, 1, 0x09, 0xf0)
	}
	return append(b, 0, 0, 0, 1, 0x46, 0x01, 0x50)
}

// hear takes the track of the sound.
func (j *job) hear(d *media.Description) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sound = nil
	if i := d.Audio(); i >= 0 {
		j.sound = d.Tracks[i : i+1 : i+1]
	}
	if j.desc != nil {
		j.show(j.desc.Tracks[0])
	}
}

// show takes the track of the pictures. The caller holds j.mu.
func (j *job) show(t media.Track) {
	j.desc = &media.Description{Tracks: append([]media.Track{t}, j.sound...)}
}

// pass publishes sound as it is, once there are pictures.
func (j *job) pass(u *media.AccessUnit) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.desc != nil && u.Track == u.Desc.Audio() {
		j.out.Publish(&media.AccessUnit{
			Desc: j.desc, Track: 1, Epoch: u.Epoch, PTS: u.PTS, Wall: u.Wall, Arrival: time.Now(), NALUs: u.NALUs,
		})
	}
}

// source returns the picture that was given to the program as number n, or the newest.
func (j *job) source(n int) *media.AccessUnit {
	j.mu.Lock()
	defer j.mu.Unlock()
	if u := j.taken[n]; u != nil {
		return u
	}
	return j.taken[j.n-1]
}

// read publishes what the program makes.
func (j *job) read(r io.Reader) error {
	v := flv{r: r}
	last := int64(-1)
	began := time.Time{}
	for {
		p, err := v.next()
		if err != nil {
			return err
		}
		if p.sps != nil {
			j.mu.Lock()
			j.show(media.Track{
				Codec: media.H264, ClockRate: 90000, SPS: p.sps, PPS: p.pps, Width: width, Height: height, FPS: stampFPS,
			})
			j.mu.Unlock()
			continue
		}
		from := j.source(int((p.stamp*stampFPS + 500) / 1000))
		if from == nil || len(p.nalus) == 0 {
			continue
		}
		if began.IsZero() {
			began = from.Wall
		}
		last = max(int64(from.Wall.Sub(began).Seconds()*90000), last+1)
		j.mu.Lock()
		if j.desc != nil {
			j.out.Publish(&media.AccessUnit{
				Desc: j.desc, Key: p.key, NALUs: p.nalus, PTS: last, Wall: from.Wall, Arrival: time.Now(),
			})
		}
		j.mu.Unlock()
	}
}
