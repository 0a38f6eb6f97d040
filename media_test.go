package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Eyevinn/mp4ff/mp4"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media/samplebuilder"

	"skein/bench/sim"
	"skein/edge/media"
)

// frame is one coded picture of a simulated camera, found in a file.
type frame struct {
	sim.Mark
	codec media.Codec
	at    time.Duration // presentation time on the movie's timeline
	shown bool          // within the edit list's range
}

// movie is a parsed file. Its frames are in the order of the file.
type movie struct {
	duration time.Duration
	frames   []frame
	tracks   []string // sample entries: avc1, hvc1, fLaC, mp4a, Opus
}

// shown returns the frames a player shows, in order of presentation.
func (m movie) shown() []frame {
	out := slices.DeleteFunc(slices.Clone(m.frames), func(f frame) bool { return !f.shown })
	slices.SortStableFunc(out, func(a, b frame) int { return int(a.at - b.at) })
	return out
}

// codecOf returns the codec of a video track, 0 for others, and its sample entry.
func codecOf(trak *mp4.TrakBox) (media.Codec, string) {
	entry := trak.Mdia.Minf.Stbl.Stsd.Children[0].Type()
	switch entry {
	case "avc1", "avc3":
		return media.H264, entry
	case "hvc1", "hev1":
		return media.H265, entry
	}
	return 0, entry
}

// parseMP4 reads a progressive or a fragmented file.
func parseMP4(data []byte) (movie, error) {
	f, err := mp4.DecodeFile(bytes.NewReader(data))
	if err != nil {
		return movie{}, err
	}
	if f.Moov == nil {
		return movie{}, errors.New("no moov")
	}
	m := movie{duration: ticks(int64(f.Moov.Mvhd.Duration), f.Moov.Mvhd.Timescale)}
	for _, trak := range f.Moov.Traks {
		codec, entry := codecOf(trak)
		m.tracks = append(m.tracks, entry)
		if codec == 0 {
			continue
		}
		if f.IsFragmented() {
			err = m.addFragments(f, trak, codec)
		} else {
			err = m.addSamples(data, f.Moov.Mvhd.Timescale, trak, codec)
		}
		if err != nil {
			return m, err
		}
	}
	return m, nil
}

func ticks(n int64, scale uint32) time.Duration {
	return time.Duration(float64(n) / float64(scale) * float64(time.Second))
}

// addSamples reads a track's sample tables and its edit list: at most one empty edit and one of the media.
func (m *movie) addSamples(data []byte, movieScale uint32, trak *mp4.TrakBox, codec media.Codec) error {
	scale := trak.Mdia.Mdhd.Timescale
	skip, delay, show := int64(0), time.Duration(0), m.duration
	if trak.Edts != nil {
		for _, e := range trak.Edts.Elst[0].Entries {
			if e.MediaTime < 0 {
				delay += ticks(int64(e.SegmentDuration), movieScale)
			} else {
				skip, show = e.MediaTime, ticks(int64(e.SegmentDuration), movieScale)
			}
		}
	}
	n := trak.GetNrSamples()
	samples, err := trak.GetSampleData(1, n)
	if err != nil {
		return err
	}
	dts := int64(0)
	for i, s := range samples {
		at, err := trak.GetRangesForSampleInterval(uint32(i+1), uint32(i+1))
		if err != nil {
			return err
		}
		if len(at) != 1 || at[0].Offset+at[0].Size > uint64(len(data)) {
			return fmt.Errorf("sample %d lies outside the file", i+1)
		}
		pts := dts + int64(s.CompositionTimeOffset)
		fr, err := parseSample(data[at[0].Offset:at[0].Offset+at[0].Size], codec)
		if err != nil {
			return fmt.Errorf("sample %d: %w", i+1, err)
		}
		fr.at = delay + ticks(pts-skip, scale)
		fr.shown = pts >= skip && ticks(pts-skip, scale) < show
		m.frames = append(m.frames, fr)
		dts += int64(s.Dur)
	}
	return nil
}

func (m *movie) addFragments(f *mp4.File, trak *mp4.TrakBox, codec media.Codec) error {
	var trex *mp4.TrexBox
	for _, x := range f.Moov.Mvex.Trexs {
		if x.TrackID == trak.Tkhd.TrackID {
			trex = x
		}
	}
	for _, s := range f.Segments {
		for _, fragment := range s.Fragments {
			samples, err := fragment.GetFullSamples(trex)
			if err != nil {
				return err
			}
			for _, sample := range samples {
				fr, err := parseSample(sample.Data, codec)
				if err != nil {
					return err
				}
				fr.at, fr.shown = ticks(sample.PresentationTime(), trak.Mdia.Mdhd.Timescale), true
				m.frames = append(m.frames, fr)
			}
		}
	}
	return nil
}

// parseSample finds the mark among the length-prefixed NAL units of a sample.
func parseSample(data []byte, codec media.Codec) (frame, error) {
	f, found := frame{codec: codec}, false
	for len(data) >= 4 {
		n := binary.BigEndian.Uint32(data)
		if uint64(n) > uint64(len(data)-4) {
			return f, errors.New("NAL unit longer than its sample")
		}
		if mark, ok := sim.ParseSEI(data[4:4+n], codec); ok {
			f.Mark, found = mark, true
		}
		data = data[4+n:]
	}
	if !found || len(data) != 0 {
		return f, errors.New("no mark")
	}
	return f, nil
}

// parseAnnexB returns the marks of a byte stream.
func parseAnnexB(data []byte, codec media.Codec) []uint64 {
	var out []uint64
	for nal := range bytes.SplitSeq(data, []byte{0, 0, 1}) {
		if mark, ok := sim.ParseSEI(bytes.TrimRight(nal, "\x00"), codec); ok {
			out = append(out, mark.Frame)
		}
	}
	return out
}

// recorded is an MP4 fetched from the archive.
type recorded struct {
	movie
	file     string
	from, to time.Time // what the recorder says it shows
}

// wall returns when a frame was captured by the archive's timeline.
func (c recorded) wall(f frame) time.Time { return c.from.Add(f.at) }

// download gets the clip of a range as a file.
func (n *node) download(t testing.TB, camera string, from, to time.Time) (file string, err error) {
	t.Helper()
	_, body, err := n.get("/v1/clips/" + camera + ".mp4?" + rangeQuery(from, to))
	if err != nil {
		return "", err
	}
	file = filepath.Join(t.TempDir(), camera+".mp4")
	return file, os.WriteFile(file, body, 0o600)
}

// fetch gets the clip of a range and parses it.
func (n *node) fetch(t testing.TB, camera string, from, to time.Time) recorded {
	t.Helper()
	resp, body, err := n.get("/v1/clips/" + camera + ".mp4?" + rangeQuery(from, to))
	if err != nil {
		t.Fatal(err)
	}
	c := recorded{file: filepath.Join(t.TempDir(), camera+".mp4")}
	if err := os.WriteFile(c.file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	if c.movie, err = parseMP4(body); err != nil {
		t.Fatalf("clip of %s: %v", camera, err)
	}
	var err1, err2 error
	c.from, err1 = time.Parse(time.RFC3339Nano, resp.Header.Get("Skein-Clip-From"))
	c.to, err2 = time.Parse(time.RFC3339Nano, resp.Header.Get("Skein-Clip-To"))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatalf("clip of %s: %v", camera, err)
	}
	return c
}

// playlist is an HLS playlist with the frames of all its parts.
type playlist struct {
	frames      []frame
	starts      time.Time // where a player begins
	jumps, maps int       // discontinuities, initialisations
}

// playlist gets the playlist of a range and everything it points at.
func (n *node) playlist(t testing.TB, camera string, from, to time.Time) playlist {
	t.Helper()
	_, body, err := n.get("/v1/clips/" + camera + ".m3u8?" + rangeQuery(from, to))
	if err != nil {
		t.Fatal(err)
	}
	var l playlist
	var head []byte
	offset := 0.0
	for line := range strings.Lines(string(body)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "#EXT-X-START:"):
			_, err = fmt.Sscanf(line, "#EXT-X-START:TIME-OFFSET=%f", &offset)
		case line == "#EXT-X-DISCONTINUITY":
			l.jumps++
		case strings.HasPrefix(line, "#EXT-X-MAP:"):
			l.maps++
			_, head, err = n.get("/v1/clips/" + strings.Split(line, `"`)[1])
		case strings.HasPrefix(line, "#EXT-X-PROGRAM-DATE-TIME:") && l.starts.IsZero():
			l.starts, err = time.Parse(time.RFC3339Nano, strings.TrimPrefix(line, "#EXT-X-PROGRAM-DATE-TIME:"))
		case !strings.HasPrefix(line, "#") && line != "":
			var part []byte
			var m movie
			if _, part, err = n.get("/v1/clips/" + line); err == nil {
				m, err = parseMP4(slices.Concat(head, part))
			}
			l.frames = append(l.frames, m.frames...)
		}
		if err != nil {
			t.Fatalf("playlist of %s: %s: %v", camera, line, err)
		}
	}
	l.starts = l.starts.Add(time.Duration(offset * float64(time.Second)))
	return l
}

// numbers returns the frames' numbers.
func numbers(frames []frame) []uint64 {
	out := make([]uint64, len(frames))
	for i, f := range frames {
		out[i] = f.Frame
	}
	return out
}

// holes returns where numbers do not count by one, as "after→next".
func holes(n []uint64) []string {
	var out []string
	for i := 1; i < len(n); i++ {
		if n[i] != n[i-1]+1 {
			out = append(out, fmt.Sprintf("%d→%d at %d", n[i-1], n[i], i))
		}
	}
	return out
}

// probed is what ffprobe says of a file.
type probed struct {
	Streams []struct {
		Codec  string `json:"codec_name"`
		Type   string `json:"codec_type"`
		Frames string `json:"nb_read_packets"`
	} `json:"streams"`
	Format struct {
		Duration string `json:"duration"`
	} `json:"format"`
}

func (p probed) duration() time.Duration {
	s, _ := strconv.ParseFloat(p.Format.Duration, 64) // 0 is no clip's duration
	return time.Duration(s * float64(time.Second))
}

func (p probed) codecs() string {
	var all []string
	for _, s := range p.Streams {
		all = append(all, s.Codec)
	}
	return strings.Join(all, "+")
}

// probe asks ffprobe, which must have nothing to complain of.
func probe(t testing.TB, args ...string) probed {
	t.Helper()
	all := append([]string{"-v", "warning", "-count_packets", "-show_streams", "-show_format", "-of", "json"}, args...)
	out, errs, err := command(t, tool(t, "ffprobe"), all...)
	if err != nil || errs != "" {
		t.Errorf("ffprobe %s: %v: %s", args[len(args)-1], err, errs)
	}
	var p probed
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Errorf("ffprobe %s: %v", args[len(args)-1], err)
	}
	return p
}

// decode has ffmpeg decode a whole file or playlist; it must have nothing to complain of.
func decode(t testing.TB, args ...string) {
	t.Helper()
	all := append([]string{"-nostdin", "-v", "warning", "-xerror"}, args...)
	all = append(all, "-fps_mode", "passthrough", "-enc_time_base:v", "1:90000", "-f", "null", "-") // times as they are
	if _, errs, err := command(t, tool(t, "ffmpeg"), all...); err != nil || errs != "" {
		t.Errorf("ffmpeg %v: %v: %s", args, err, errs)
	}
}

// countFrames returns how many pictures a player shows: ffmpeg decodes them and heeds the edit list.
func countFrames(t testing.TB, file string) int {
	t.Helper()
	out, _, err := command(t, tool(t, "ffmpeg"), "-nostdin", "-v", "error", "-i", file, "-map", "0:v:0",
		"-fps_mode", "passthrough", "-enc_time_base:v", "1:90000", "-f", "framemd5", "-")
	if err != nil {
		t.Error(err)
	}
	n := 0
	for _, line := range lines(out) {
		if !strings.HasPrefix(line, "#") {
			n++
		}
	}
	return n
}

// viewer is a WHEP viewer: a plain pion client that reads the marks of what it receives.
type viewer struct {
	pc       *webrtc.PeerConnection
	resource string

	mu    sync.Mutex // guards the fields below
	marks []sim.Mark
	bad   int // pictures without a mark
}

// newPeer returns a connection over the loopback interface that ends with the test.
func newPeer(t testing.TB) *webrtc.PeerConnection {
	t.Helper()
	s := webrtc.SettingEngine{}
	s.SetIncludeLoopbackCandidate(true)
	s.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	m := &webrtc.MediaEngine{}
	if err := m.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithSettingEngine(s)).
		NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.Close() }) // closed twice if the test did
	return pc
}

// watch opens a camera's main stream.
func (n *node) watch(t testing.TB, camera string) *viewer {
	t.Helper()
	pc := newPeer(t)
	v := &viewer{pc: pc}
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { v.read(track) })
	if err := v.negotiate(n, "/v1/whep/"+camera+"?profile=main"); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v *viewer) negotiate(n *node, path string) error {
	_, err := v.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo,
		webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
	if err != nil {
		return err
	}
	offer, err := v.pc.CreateOffer(nil)
	if err != nil {
		return err
	}
	gathered := webrtc.GatheringCompletePromise(v.pc)
	if err := v.pc.SetLocalDescription(offer); err != nil {
		return err
	}
	<-gathered
	body := strings.NewReader(v.pc.LocalDescription().SDP)
	req, err := http.NewRequest(http.MethodPost, "http://"+n.http+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/sdp")
	req.Header.Set("Authorization", "Bearer "+testToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusCreated {
		return fmt.Errorf("POST %s: %s: %s", path, resp.Status, answer)
	}
	v.resource = resp.Header.Get("Location")
	return v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: string(answer)})
}

// read puts pictures together until the track ends.
func (v *viewer) read(track *webrtc.TrackRemote) {
	build := samplebuilder.New(1024, &codecs.H264Packet{}, 90000)
	for {
		p, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		build.Push(p)
		for s := build.Pop(); s != nil; s = build.Pop() {
			v.picture(s.Data)
		}
	}
}

func (v *viewer) picture(annexB []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for nal := range bytes.SplitSeq(annexB, []byte{0, 0, 1}) {
		if mark, ok := sim.ParseSEI(bytes.TrimRight(nal, "\x00"), media.H264); ok {
			v.marks = append(v.marks, mark)
			return
		}
	}
	v.bad++
}

// seen returns the numbers of the frames received so far.
func (v *viewer) seen() (n []uint64, bad int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, m := range v.marks {
		n = append(n, m.Frame)
	}
	return n, v.bad
}

// await waits until so many frames have come, and proves that they count by one.
func (v *viewer) await(t testing.TB, frames int, limit time.Duration) []uint64 {
	t.Helper()
	poll(t, fmt.Sprintf("%d frames by WHEP", frames), limit, func() error {
		if n, bad := v.seen(); len(n) < frames {
			return fmt.Errorf("%d frames, %d without a mark, connection %s", len(n), bad, v.pc.ConnectionState())
		}
		return nil
	})
	n, bad := v.seen()
	if h := holes(n); len(h) > 0 || bad > 0 {
		t.Errorf("WHEP: holes %v, %d pictures without a mark", h, bad)
	}
	return n
}

// leave ends the session as WHEP asks.
func (v *viewer) leave(t testing.TB, n *node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, "http://"+n.http+v.resource, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		t.Errorf("DELETE %s: %s", v.resource, resp.Status)
	}
	_ = v.pc.Close() // the other end has gone
}
