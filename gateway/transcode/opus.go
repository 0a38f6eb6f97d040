package transcode

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"

	"skein/edge/media"
	"skein/edge/stream"
)

const (
	maxFailures  = 5                      // of the program in a row before it is given up
	steadyFor    = 10 * time.Second       // a program that ran so long did not fail at once
	failurePause = 500 * time.Millisecond // before it is started again, times the number of failures
	maxBehind    = 10 * time.Second       // a program that holds more sound back is stuck
	recent       = 200 * time.Millisecond // older sound is not given to a program that starts
	// snap is how far packets may lie from their moment, in ticks of opusRate, so that they follow each other without a
	// hole as long as the sound does: receivers hear every tick that is missing.
	snap         = opusRate / 100
	soundHistory = 32 << 10
)

var (
	errSound   = errors.New("the sound cannot be transcoded")
	errInput   = errors.New("the stream ended")
	errChanged = errors.New("the sound's format changed")
	errStuck   = errors.New("ffmpeg makes nothing of what it is given")
)

// Opus returns in's AAC sound as Opus packets of 20 ms, with in's times. What came in before the program was ready is
// left out. The program is started again if it dies; if it dies at once again and again, the result ends. Else it ends
// with in, or by stop, which waits until nothing of it is left.
func (f *FFmpeg) Opus(ctx context.Context, in *stream.Stream) (out *stream.Stream, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	v := &voice{ffmpeg: f, in: in, out: stream.New(stream.Options{HistoryBytes: soundHistory})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		v.out.Close(v.run(ctx))
	}()
	return v.out, func() {
		cancel()
		<-ended
	}
}

// voice is the sound of one stream. It is owned by one goroutine.
type voice struct {
	ffmpeg  *FFmpeg
	in, out *stream.Stream
}

// run keeps the program running.
func (v *voice) run(ctx context.Context) error {
	for failures := 1; ; failures++ {
		began := time.Now()
		err := v.once(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errInput) || errors.Is(err, errSound):
			return err
		case time.Since(began) > steadyFor:
			failures = 1
		}
		if failures >= maxFailures {
			return fmt.Errorf("ffmpeg failed %d times: %w", failures, err)
		}
		v.ffmpeg.log.Debug("transcoding of sound begins anew", "error", err)
		select {
		case <-time.After(time.Duration(failures) * v.ffmpeg.pause):
		case <-ctx.Done():
		}
	}
}

// once runs the program once, from the first sound on.
func (v *voice) once(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := v.in.Subscribe(stream.ReaderOptions{Name: "sound", History: true})
	defer r.Close()
	first, err := nextSound(ctx, r, time.Now().Add(-recent))
	if err != nil {
		return err
	}
	track := &first.Desc.Tracks[first.Track]
	var c mpeg4audio.AudioSpecificConfig
	if err := c.Unmarshal(track.AACConfig); err != nil || c.SampleRate <= 0 || track.ClockRate <= 0 {
		return fmt.Errorf("%w: AAC configuration %x: %w", errSound, track.AACConfig, err)
	}
	j := &voicing{times: moments{samples: mpeg4audio.SamplesPerAccessUnit, rate: int64(c.SampleRate)}, channels: 2}
	if c.FrameLengthFlag {
		j.times.samples = 960
	}
	if c.ChannelConfig == 1 {
		j.channels = 1
	}
	p, err := v.ffmpeg.start(ctx, soundArguments(j.channels))
	if err != nil {
		return err
	}
	fed := make(chan error, 1)
	go func() {
		err := j.feed(ctx, cancel, r, first, p.in)
		_ = p.in.Close() // it is over in any case
		fed <- err
	}()
	err = j.read(bufio.NewReaderSize(p.out, 8<<10), v.out)
	cancel()
	// Why it is no longer fed comes first: the rest follows from it.
	return errors.Join(<-fed, err, p.wait())
}

// nextSound returns the next unit of AAC that can be used and came in after since.
func nextSound(ctx context.Context, r *stream.Reader, since time.Time) (*media.AccessUnit, error) {
	for {
		u, err := r.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			return nil, fmt.Errorf("%w: %w", errInput, err)
		}
		t := &u.Desc.Tracks[u.Track]
		if t.Codec == media.AAC && u.Track == u.Desc.Audio() && len(t.AACConfig) > 0 && !u.Arrival.Before(since) {
			return u, nil
		}
	}
}

func soundArguments(channels int) []string {
	return []string{
		"-hide_banner", "-loglevel", "error", "-nostdin",
		"-flags", "low_delay", "-threads", "1", "-probesize", "32", "-analyzeduration", "0", "-f", "flv", "-i", "pipe:0",
		"-vn", "-ac", fmt.Sprint(channels), "-c:a", "libopus", "-b:a", fmt.Sprintf("%dk", 32*channels),
		"-frame_duration", "20", "-threads", "1",
		"-f", "ogg", "-page_duration", "1", "-flush_packets", "1", "pipe:1", // a page for each packet
	}
}

// voicing is one run of the program.
type voicing struct {
	times    moments
	channels int
}

// feed writes the sound to the program, from first on, until it ends, changes or ctx ends. stop kills the program.
func (j *voicing) feed(
	ctx context.Context, stop func(), r *stream.Reader, first *media.AccessUnit, w io.Writer,
) error {
	config := first.Desc.Tracks[first.Track].AACConfig
	b := appendSoundHead(nil, config)
	for u := first; ; {
		for i, frame := range u.NALUs {
			if len(frame) == 0 || len(frame) > maxFrame {
				continue
			}
			stamp := j.times.begin(j.times.add(u, i), 1000)
			if stamp > math.MaxInt32 {
				return errChanged // in 24 days; the format has no larger stamps
			}
			b = appendSound(b, uint32(stamp), frame)
		}
		if j.times.behind() > maxBehind {
			stop()
			return errStuck
		}
		stuck := time.AfterFunc(maxBehind, stop)
		_, err := w.Write(b)
		stuck.Stop()
		if err != nil {
			return fmt.Errorf("write to ffmpeg: %w", err)
		}
		b = b[:0]
		if u, err = nextSound(ctx, r, time.Time{}); err != nil {
			return err
		}
		if !bytes.Equal(u.Desc.Tracks[u.Track].AACConfig, config) {
			return errChanged
		}
	}
}

// read publishes what the program makes.
func (j *voicing) read(r io.Reader, out *stream.Stream) error {
	o := ogg{r: r}
	head, err := o.next()
	if err != nil {
		return err
	}
	if h := head.packets[0]; len(h) < 19 || string(h[:8]) != "OpusHead" {
		return fmt.Errorf("%w: no Opus", errOgg)
	}
	// What is decoded before so many ticks is to be thrown away (RFC 7845 section 4.2): it lies before the first frame.
	skip := int64(head.packets[0][10]) | int64(head.packets[0][11])<<8
	if _, err := o.next(); err != nil { // comments
		return err
	}
	p := publisher{
		out: out, frame: time.Duration(j.times.begin(1, int64(time.Second))),
		desc: &media.Description{Tracks: []media.Track{{Codec: media.Opus, ClockRate: opusRate, Channels: j.channels}}},
	}
	for {
		g, err := o.next()
		if err != nil {
			return err
		}
		at := g.end - skip
		for _, packet := range g.packets {
			at -= opus.PacketDuration2(packet)
		}
		for _, packet := range g.packets {
			if m, ok := j.times.at(at); ok {
				p.publish(packet, m)
			}
			at += opus.PacketDuration2(packet)
		}
	}
}

// publisher gives packets to a stream, each behind the one before.
type publisher struct {
	out   *stream.Stream
	desc  *media.Description
	frame time.Duration // of what they are made of

	since time.Time // what came in before is old news; zero: nothing is published yet
	epoch uint32
	due   int64 // where the next packet is to follow
}

func (p *publisher) publish(packet []byte, m moment) {
	now := time.Now()
	if p.since.IsZero() {
		p.since, p.epoch, p.due = now.Add(-p.frame), m.epoch, m.pts
	}
	if m.arrival.Before(p.since) {
		p.due = m.pts + opus.PacketDuration2(packet)
		return
	}
	off := p.due - m.pts
	switch {
	case m.epoch != p.epoch || off < -snap:
		off = 0 // a hole
	case off > snap:
		return // already there
	}
	p.epoch, p.due = m.epoch, m.pts+off+opus.PacketDuration2(packet)
	p.out.Publish(&media.AccessUnit{
		Desc: p.desc, Epoch: m.epoch, PTS: m.pts + off, Wall: m.wall.Add(time.Duration(off) * time.Second / opusRate),
		Arrival: now, NALUs: [][]byte{packet},
	})
}
