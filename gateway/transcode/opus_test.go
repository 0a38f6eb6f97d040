package transcode

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4/pkg/media/oggwriter"

	"skein/edge/media"
	"skein/edge/stream"
)

// installed returns the program, or skips the test.
func installed(t *testing.T) *FFmpeg {
	t.Helper()
	ff := Find(nil)
	if ff == nil {
		if os.Getenv("SKEIN_REQUIRE_TOOLS") == "1" {
			t.Fatal("ffmpeg is missing")
		}
		t.Skip("ffmpeg is missing")
	}
	return ff
}

// convert runs the program once.
func convert(t *testing.T, in []byte, arguments ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ffmpeg", append([]string{"-hide_banner", "-loglevel", "error"}, arguments...)...)
	cmd.Stdin = bytes.NewReader(in)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// beeps is AAC with a tone of 1 kHz in the last half of every second.
type beeps struct {
	rate, channels int
	frames         [][]byte
	config         []byte
	tones          []time.Duration // where tones begin in the decoded sound
	slack          time.Duration   // they may be off by
}

func newBeeps(t *testing.T, rate, channels, seconds int) *beeps {
	t.Helper()
	tone := fmt.Sprintf("aevalsrc='0.5*sin(2*PI*1000*t)*gte(mod(t,1),0.5)':s=%d:d=%d", rate, seconds)
	adts := convert(t, nil, "-f", "lavfi", "-i", tone, "-ac", fmt.Sprint(channels), "-c:a", "aac", "-b:a", "64k", "-f", "adts", "-")
	var packets mpeg4audio.ADTSPackets
	if err := packets.Unmarshal(adts); err != nil {
		t.Fatal(err)
	}
	b := &beeps{rate: rate, channels: channels, slack: 5 * time.Millisecond}
	for _, p := range packets {
		b.frames = append(b.frames, p.AU)
	}
	var err error
	b.config, err = mpeg4audio.AudioSpecificConfig{
		Type: mpeg4audio.ObjectTypeAACLC, SampleRate: rate, ChannelConfig: uint8(channels), ChannelCount: channels,
	}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	b.tones = onsets(convert(t, adts, "-f", "aac", "-i", "-", "-ac", "1", "-ar", "48000", "-f", "s16le", "-"))
	return b
}

// double makes the configuration one of HE-AAC: the decoder makes twice as many samples of each frame, and is 20 ms late.
func (b *beeps) double(t *testing.T) {
	t.Helper()
	b.slack += 20 * time.Millisecond
	var err error
	b.config, err = mpeg4audio.AudioSpecificConfig{
		Type: mpeg4audio.ObjectTypeAACLC, SampleRate: b.rate, ChannelConfig: uint8(b.channels), ChannelCount: b.channels,
		ExtensionType: mpeg4audio.ObjectTypeSBR, ExtensionSampleRate: 2 * b.rate,
	}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
}

// at returns where frame n begins.
func (b *beeps) at(n int) time.Duration {
	return time.Duration(n) * 1024 * time.Second / time.Duration(b.rate)
}

// onsets returns where tones begin in samples of 48 kHz: the first loud sample after 0.3 s of silence.
func onsets(pcm []byte) []time.Duration {
	var out []time.Duration
	quiet := 48000
	for i := 0; i+1 < len(pcm); i += 2 {
		if v := int16(binary.LittleEndian.Uint16(pcm[i:])); v > 4000 || v < -4000 {
			if quiet > 48000*3/10 {
				out = append(out, time.Duration(i/2)*time.Second/48000)
			}
			quiet = 0
		} else {
			quiet++
		}
	}
	return out
}

// play publishes the frames of b in real time, as captured from base on, until over; missing tells which are lost on the
// way.
func (b *beeps) play(in *stream.Stream, base time.Time, missing, over func(n int) bool) {
	desc := &media.Description{Tracks: []media.Track{
		{Codec: media.H264, ClockRate: 90000},
		{Codec: media.AAC, ClockRate: b.rate, Channels: b.channels, AACConfig: b.config},
	}}
	in.Publish(&media.AccessUnit{Desc: desc, Key: true, NALUs: [][]byte{{0x65}}, Wall: base, Arrival: time.Now()})
	for n, f := range b.frames {
		<-time.After(time.Until(base.Add(b.at(n + 1)))) // a frame is there when it is over
		if over(n) {
			return
		}
		if missing(n) {
			continue
		}
		in.Publish(&media.AccessUnit{
			Desc: desc, Track: 1, PTS: 5000 + int64(n)*1024, Epoch: 3, NALUs: [][]byte{f}, Wall: base.Add(b.at(n)), Arrival: time.Now(),
		})
	}
}

// decoded is what a receiver hears: samples of 48 kHz, and when each packet's first one was captured.
func decoded(t *testing.T, units []*media.AccessUnit, channels int) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := oggwriter.NewWith(&file, opusRate, uint16(channels))
	if err != nil {
		t.Fatal(err)
	}
	for i, u := range units {
		p := &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(i), Timestamp: uint32(i) * 960}, Payload: u.NALUs[0]}
		if err := w.WriteRTP(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	const skipped = 3840 // what the writer tells decoders to skip
	pcm := convert(t, file.Bytes(), "-f", "ogg", "-i", "-", "-ac", "1", "-ar", "48000", "-f", "s16le", "-")
	return append(make([]byte, 2*skipped), pcm...)
}

// Sound of an AAC camera comes out as Opus that sounds the same at the same time, soon, over a hole in it too.
func TestOpus(t *testing.T) {
	t.Parallel()
	ff := installed(t)
	for name, c := range map[string]struct {
		rate, channels int
		doubled        bool
	}{
		"16 kHz mono": {16000, 1, false}, "44.1 kHz stereo": {44100, 2, false}, "8 kHz mono": {8000, 1, false},
		"HE-AAC": {24000, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBeeps(t, c.rate, c.channels, 30)
			if c.doubled {
				b.double(t)
			}
			in := stream.New(stream.Options{})
			out, stop := ff.Opus(t.Context(), in)
			defer stop()
			base := time.Now()
			l := listen(t, out)
			// The program takes its time to start. From the next second on there are four and a half, with a hole that
			// begins in a silent half.
			since := func(n int) time.Duration { return b.at(n) - l.first(base).Truncate(time.Second) - time.Second }
			lost := func(n int) bool { return since(n) > 2*time.Second && since(n) < 2200*time.Millisecond }
			b.play(in, base, lost, func(n int) bool { return since(n) > 4500*time.Millisecond })
			in.Close(nil)
			units := l.all()
			if len(units) < 150 {
				t.Fatalf("%d packets of 5 s", len(units))
			}
			b.check(t, units, base, lost)
		})
	}
}

// check compares what came out with what went in.
func (b *beeps) check(t *testing.T, units []*media.AccessUnit, base time.Time, lost func(int) bool) {
	holes := 0
	var late []time.Duration
	for i, u := range units {
		tr := u.Desc.Tracks[u.Track]
		if tr.Codec != media.Opus || tr.ClockRate != opusRate || u.Epoch != 3 || opus.PacketDuration2(u.NALUs[0]) != 960 {
			t.Fatalf("packet %d: %+v of %+v", i, u, tr)
		}
		// Media time and capture time are one line.
		media := time.Duration(float64(u.PTS)/opusRate*float64(time.Second)) - time.Duration(5000*int(time.Second)/b.rate)
		if d := u.Wall.Sub(base) - media; d.Abs() > time.Millisecond {
			t.Errorf("packet %d: captured at %v, media time %v", i, u.Wall.Sub(base), media)
		}
		if i > 0 && u.PTS-units[i-1].PTS != 960 {
			holes++
		}
		// Its last sample was captured 20 ms after its first, and came in with the rest of its frame.
		n := int(u.Wall.Add(20*time.Millisecond).Sub(base) * time.Duration(b.rate) / 1024 / time.Second)
		if !lost(n) {
			late = append(late, u.Arrival.Sub(base.Add(b.at(n+1))))
		}
	}
	if holes > 2 {
		t.Errorf("%d holes, want the one of the input", holes)
	}
	slices.Sort(late)
	t.Logf("%d packets; after the frame that ends them came in: median %v, 95 %% %v, worst %v", len(units),
		late[len(late)/2].Round(time.Millisecond), late[len(late)*95/100].Round(time.Millisecond), late[len(late)-1].Round(time.Millisecond))
	if m := late[len(late)/2]; m > 500*time.Millisecond {
		t.Errorf("median delay %v", m)
	}
	var heard []time.Duration
	for _, at := range onsets(decoded(t, units, b.channels)) {
		i := int(at * opusRate / 960 / time.Second)
		heard = append(heard, units[i].Wall.Sub(base)+at-time.Duration(i)*20*time.Millisecond)
	}
	compared := 0
	for _, at := range heard {
		nearest := slices.MinFunc(b.tones, func(x, y time.Duration) int { return int((x - at).Abs() - (y - at).Abs()) })
		if nearest < units[0].Arrival.Sub(base) { // a tone that began before the program did
			continue
		}
		compared++
		t.Logf("tone at %v, heard at %v: off by %v", nearest.Round(time.Microsecond), at.Round(time.Microsecond), (at - nearest).Round(100*time.Microsecond))
		if (at - nearest).Abs() > b.slack {
			t.Errorf("a tone of %v is heard at %v", nearest, at)
		}
	}
	if compared < 3 {
		t.Errorf("%d tones heard: %v of %v", compared, heard, b.tones)
	}
}

// A program that dies is started again, and sound goes on. One that always dies ends the sound.
func TestOpusOfADyingProgram(t *testing.T) {
	t.Parallel()
	ff := installed(t)
	b := newBeeps(t, 16000, 1, 4)
	run := func(script string) (packets int, runs int, err error) {
		dir := t.TempDir()
		path := filepath.Join(dir, "ffmpeg")
		script = "#!/bin/sh\necho >>" + dir + "/runs\nn=$(wc -l <" + dir + "/runs)\n" + script
		if err := os.WriteFile(path, []byte(script), 0o700); err != nil { //nolint:gosec // it is to be run
			t.Fatal(err)
		}
		dying := &FFmpeg{path: path, log: ff.log, pause: 10 * time.Millisecond}
		in := stream.New(stream.Options{})
		out, stop := dying.Opus(t.Context(), in)
		defer stop()
		r := out.Subscribe(stream.ReaderOptions{Name: "test", History: true})
		var playing sync.WaitGroup
		playing.Go(func() {
			never := func(int) bool { return false }
			b.play(in, time.Now(), never, never)
			in.Close(nil)
		})
		defer playing.Wait()
		for {
			if _, err = r.Next(t.Context()); err != nil {
				break
			}
			packets++
		}
		began, _ := os.ReadFile(filepath.Join(dir, "runs"))
		return packets, len(began), err
	}
	t.Run("once in a while", func(t *testing.T) {
		t.Parallel()
		packets, runs, err := run(fmt.Sprintf("[ $n = 2 ] && exit 7\n[ $n = 1 ] && exec timeout 1 %s \"$@\"\nexec %s \"$@\"\n", ff.path, ff.path))
		if packets < 80 || runs != 3 || !errors.Is(err, errInput) {
			t.Errorf("%d packets of 4 s in %d runs: %v", packets, runs, err)
		}
	})
	t.Run("at once", func(t *testing.T) {
		t.Parallel()
		packets, runs, err := run("echo no such encoder >&2\nexit 1\n")
		if packets != 0 || runs != maxFailures || err == nil || !strings.Contains(err.Error(), "no such encoder") {
			t.Errorf("%d packets in %d runs: %v", packets, runs, err)
		}
	})
}

// What cannot be AAC ends the sound without a program.
func TestOpusOfAnUnknownFormat(t *testing.T) {
	t.Parallel()
	in := stream.New(stream.Options{})
	out, stop := (&FFmpeg{path: "/nowhere", log: slog.New(slog.DiscardHandler)}).Opus(t.Context(), in)
	defer stop()
	r := out.Subscribe(stream.ReaderOptions{Name: "test"})
	in.Publish(&media.AccessUnit{
		Desc:  &media.Description{Tracks: []media.Track{{Codec: media.AAC, ClockRate: 16000, AACConfig: []byte{0xff, 0xff}}}},
		NALUs: [][]byte{{1}}, Arrival: time.Now(),
	})
	if _, err := r.Next(t.Context()); !errors.Is(err, errSound) {
		t.Error(err)
	}
}

func TestOgg(t *testing.T) {
	t.Parallel()
	head := func(end int64, sizes ...byte) []byte {
		b := append([]byte("OggS\x00\x00"), make([]byte, 20)...)
		binary.LittleEndian.PutUint64(b[6:], uint64(end))
		return append(append(b, byte(len(sizes))), sizes...)
	}
	whole := slices.Concat(
		head(960, 3, 2), []byte("abcde"), // two packets
		head(-1, 255), bytes.Repeat([]byte("x"), 255), // the beginning of one
		head(1920, 255, 0, 1), bytes.Repeat([]byte("y"), 256)) // and its end
	o := ogg{r: iotest.OneByteReader(bytes.NewReader(whole))}
	first, err := o.next()
	if err != nil || len(first.packets) != 2 || string(first.packets[1]) != "de" || first.end != 960 {
		t.Errorf("%+v, %v", first, err)
	}
	second, err := o.next()
	if err != nil || len(second.packets) != 2 || len(second.packets[0]) != 510 || second.end != 1920 {
		t.Errorf("%+v, %v", second, err)
	}
	if _, err := o.next(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	for name, b := range map[string][]byte{"other": []byte("RIFF" + strings.Repeat("x", 40)), "endless": slices.Repeat(
		slices.Concat(head(-1, slices.Repeat([]byte{255}, 255)...), make([]byte, 255*255)), 3)} {
		o := ogg{r: bytes.NewReader(b)}
		if _, err := o.next(); !errors.Is(err, errOgg) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzOgg(f *testing.F) {
	f.Add(append([]byte("OggS\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00abcdefghijkl\x02\x03\x02"), "abcde"...))
	f.Fuzz(func(t *testing.T, b []byte) {
		o := ogg{r: bytes.NewReader(b)}
		for {
			p, err := o.next()
			if err != nil {
				return
			}
			for _, packet := range p.packets {
				if len(packet) > maxPacket {
					t.Fatal(len(packet))
				}
				opus.PacketDuration2(packet)
			}
		}
	})
}
