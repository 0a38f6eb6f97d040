package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media/oggwriter"

	"skein/bench/sim"
	"skein/edge/media"
	"skein/edge/status"
)

// tone is the frequency that launchPublisher sends.
const tone = 440

// ears is a viewer that keeps the sound it gets: a wall with one slot, or a single stream.
type ears struct {
	pc      *webrtc.PeerConnection
	channel *webrtc.DataChannel // of a wall
	warned  []string

	mu      sync.Mutex // guards the fields below
	sound   []*rtp.Packet
	kind    string // of sound: a MIME type
	video   int    // packets
	state   string // newest of the slot
	noted   string // what it says of the sound
	refused string
}

// hear opens path, a camera's stream or the walls.
func (n *node) hear(t testing.TB, path string) *ears {
	t.Helper()
	pc := newPeer(t)
	e := &ears{pc: pc}
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		_, err := pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
		if err != nil {
			t.Fatal(err)
		}
	}
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { e.read(track) })
	open := make(chan struct{})
	if path == "/v1/walls" {
		d, err := pc.CreateDataChannel("wall", nil)
		if err != nil {
			t.Fatal(err)
		}
		e.channel = d
		e.channel.OnOpen(func() { close(open) })
		e.channel.OnMessage(e.told)
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	resp, answer, err := n.send(http.MethodPost, path, "application/sdp", pc.LocalDescription().SDP)
	if err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("POST %s: %v: %s", path, err, answer)
	}
	e.warned = resp.Header.Values("Skein-Warning")
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		t.Fatal(err)
	}
	if e.channel != nil {
		select {
		case <-open:
		case <-time.After(20 * time.Second):
			t.Fatal("the wall's data channel does not open within 20 s")
		}
	}
	return e
}

func (e *ears) read(track *webrtc.TrackRemote) {
	for {
		p, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		e.mu.Lock()
		if track.Kind() == webrtc.RTPCodecTypeVideo {
			e.video++
		} else {
			// A section has one codec at a time, but not the same for ever.
			e.kind = track.Codec().MimeType
			e.sound = append(e.sound, p)
		}
		e.mu.Unlock()
	}
}

func (e *ears) told(m webrtc.DataChannelMessage) {
	var s struct{ Type, State, Sound, Reason, Detail string }
	if json.Unmarshal(m.Data, &s) != nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if s.Type == "error" {
		e.refused = s.Reason + ": " + s.Detail
		return
	}
	e.state, e.noted = s.State, s.Sound
}

// tell sends a message of the page.
func (e *ears) tell(t testing.TB, format string, args ...any) {
	t.Helper()
	if err := e.channel.SendText(fmt.Sprintf(format, args...)); err != nil {
		t.Fatal(err)
	}
}

// await waits for a state of the slot and what it says of the sound.
func (e *ears) await(t testing.TB, state, noted string) {
	t.Helper()
	poll(t, "state "+state+" with sound "+noted, 30*time.Second, func() error {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.state != state || e.noted != noted {
			return fmt.Errorf("it is %q, sound %q; refused: %q", e.state, e.noted, e.refused)
		}
		return nil
	})
}

// listen waits for so much new sound and returns it as samples of 48 kHz.
func (e *ears) listen(t testing.TB, length time.Duration) []int16 {
	t.Helper()
	e.mu.Lock()
	e.sound, e.video = nil, 0
	e.mu.Unlock()
	poll(t, fmt.Sprintf("%v of sound", length), 30*time.Second, func() error {
		e.mu.Lock()
		defer e.mu.Unlock()
		rate := uint32(48000)
		if len(e.sound) > 0 && e.sound[0].PayloadType == 8 {
			rate = 8000
		}
		if n := len(e.sound); n == 0 || time.Duration(e.sound[n-1].Timestamp-e.sound[0].Timestamp)*time.Second/time.Duration(rate) < length {
			return fmt.Errorf("%d packets, %d of the picture, connection %s", n, e.video, e.pc.ConnectionState())
		}
		return nil
	})
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.video == 0 {
		t.Error("no picture beside the sound")
	}
	packets := slices.Clone(e.sound)
	slices.SortStableFunc(packets, func(a, b *rtp.Packet) int { return int(int16(a.SequenceNumber - b.SequenceNumber)) })
	return samples(t, packets)
}

// samples decodes PCMA (payload type 8) or Opus.
func samples(t testing.TB, packets []*rtp.Packet) []int16 {
	t.Helper()
	var file bytes.Buffer
	format := []string{"-f", "ogg"}
	if packets[0].PayloadType == 8 {
		format = []string{"-f", "alaw", "-ar", "8000", "-ac", "1"}
		for _, p := range packets {
			file.Write(p.Payload)
		}
	} else {
		w, err := oggwriter.NewWith(&file, 48000, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range packets {
			if err := w.WriteRTP(p); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("ffmpeg", append(append([]string{"-v", "error"}, format...), "-i", "-", "-f", "s16le", "-ar", "48000", "-ac", "1", "-")...)
	cmd.Stdin = &file
	raw, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	out := make([]int16, len(raw)/2)
	for i := range out {
		out[i] = int16(binary.LittleEndian.Uint16(raw[2*i:]))
	}
	return out
}

// loudness returns the root mean square of samples.
func loudness(in []int16) float64 {
	var sum float64
	for _, v := range in {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum / float64(max(len(in), 1)))
}

// share returns how much of the samples' energy lies at a frequency, 0 to 1.
func share(in []int16, frequency float64) float64 {
	const block = 4800 // 0.1 s: phases need not hold over a packet that is missing
	var at, all float64
	for b := range slices.Chunk(in, block) {
		var re, im, sum float64
		for i, v := range b {
			a := 2 * math.Pi * frequency * float64(i) / 48000
			re, im, sum = re+float64(v)*math.Cos(a), im+float64(v)*math.Sin(a), sum+float64(v)*float64(v)
		}
		at += 2 * (re*re + im*im) / float64(len(b))
		all += sum
	}
	return at / max(all, 1)
}

// hearsTone proves that what comes is the publisher's tone.
func (e *ears) hearsTone(t testing.TB, where string) {
	t.Helper()
	in := e.listen(t, 2*time.Second)
	loud, part, other := loudness(in), share(in, tone), share(in, 2.5*tone)
	e.mu.Lock()
	kind := e.kind
	e.mu.Unlock()
	t.Logf("%s: %d samples of %s, loudness %.0f, %.1f %% of it at %d Hz", where, len(in), kind, loud, 100*part, tone)
	if loud < 500 || part < 0.9 || other > 0.05 {
		t.Errorf("%s: loudness %.0f, %.2f at %d Hz, %.2f elsewhere", where, loud, part, tone, other)
	}
}

// TestSoundOfAAC proves that cameras that send AAC are heard, over a wall and as a single stream: a tone that ffmpeg
// publishes, and the voice of a simulated camera that is pulled.
func TestSoundOfAAC(t *testing.T) {
	beside(t, 1, 20*time.Second)
	ffmpeg := tool(t, "ffmpeg")
	cams := startSim(t, sim.Config{Cameras: []sim.Camera{{ID: "voice", Video: small(media.H264), Audio: media.AAC}}})
	n := newNode(t, "all")
	n.configure(t, oneUnit+access+"spool: {segment: 4s}\n"+fmt.Sprintf(`cameras:
  - {id: pushed, name: P, unit: yf, main: push, record: main}
  - {id: voice, name: V, unit: yf, main: %q, transport: tcp}
`, cams.URL("voice", media.Main)))
	n.start(t)
	launchPublisher(t, ffmpeg, n.rtsp)
	n.awaitState(t, status.Live, 40*time.Second, "pushed", "voice")

	single := n.hear(t, "/v1/whep/pushed?profile=main")
	if !slices.Equal(single.warned, []string{"sound-transcoded"}) {
		t.Errorf("warned of %q", single.warned)
	}
	single.hearsTone(t, "by WHEP")

	wall := n.hear(t, "/v1/walls")
	wall.tell(t, `{"type":"show","slot":0,"camera":"pushed","profile":"main"}`)
	wall.await(t, "live", "")
	wall.tell(t, `{"type":"listen","slot":0}`)
	wall.await(t, "live", "sound-transcoded")
	wall.hearsTone(t, "on the wall")

	// Back in time the recorded tone is heard, and the live one again after it.
	wall.tell(t, `{"type":"replay","slot":0,"back_s":10}`)
	wall.await(t, "replay", "sound-transcoded")
	wall.hearsTone(t, "in a replay")
	wall.tell(t, `{"type":"live","slot":0}`)
	wall.await(t, "live", "sound-transcoded")
	wall.hearsTone(t, "live again")

	wall.tell(t, `{"type":"show","slot":0,"camera":"voice","profile":"main"}`)
	wall.await(t, "live", "sound-transcoded")
	in := wall.listen(t, 4*time.Second)
	if loud, part := loudness(in[len(in)/4:]), share(in[len(in)/4:], tone); loud < 300 || part > 0.3 {
		t.Errorf("the voice: loudness %.0f, %.2f at %d Hz", loud, part, tone)
	}
}

// TestSoundInChromium proves that the console plays an AAC camera, live and in a replay.
func TestSoundInChromium(t *testing.T) {
	beside(t, 3, 25*time.Second)
	ffmpeg := tool(t, "ffmpeg")
	n := newNode(t, "all")
	n.configure(t, oneUnit+access+"spool: {segment: 4s}\ncameras:\n  - {id: pushed, name: P, unit: yf, main: push, record: main}\n")
	n.start(t)
	launchPublisher(t, ffmpeg, n.rtsp)
	n.awaitState(t, status.Live, 40*time.Second, "pushed")
	c := openConsole(t, n)
	c.ask(`{"do":"login"}`)
	c.ask(`{"do":"moving","n":1}`)
	for _, q := range []string{`{"do":"listen","camera":"pushed"}`, `{"do":"back","camera":"pushed","n":10}`} {
		a := c.ask("%s", q)
		t.Logf("%s: after %d ms %q: %+v", q, a.MS, a.Title, a.Sound)
		// The tone's energy is (1/8)^2/2 a second.
		if s := a.Sound; s.Codec != "audio/opus" || s.Seconds < 3 || s.Energy/s.Seconds < 0.004 || s.Concealed > 0.2 {
			t.Errorf("%s: %+v", q, s)
		}
	}
}
