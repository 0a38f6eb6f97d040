package rtsp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"skein/edge/media"
)

// scriptConn is a connection that delivers given bytes in given pieces.
type scriptConn struct {
	net.Conn
	data  []byte
	piece int
}

func (c *scriptConn) Read(p []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.data[:min(len(c.data), c.piece)])
	c.data = c.data[n:]
	return n, nil
}

func frame(channel byte, payload string) string {
	return "$" + string([]byte{channel, byte(len(payload) >> 8), byte(len(payload))}) + payload
}

func TestFramer(t *testing.T) {
	t.Parallel()
	big := "\x80" + string(bytes.Repeat([]byte{'$'}, 65534))
	ok := "RTSP/1.0 200 OK\r\nCSeq: 1\r\ncontent-length : 5\r\n\r\n$$$$$"
	for _, c := range []struct {
		name, in, out string
		frames        []string
		routed, pass  bool
		err           error
	}{
		{name: "messages", in: ok + "RTSP/1.0 200 OK\r\n\r\n", out: ok + "RTSP/1.0 200 OK\r\n\r\n", err: io.EOF},
		{name: "frames before PLAY are dropped", in: frame(0, "early") + ok + frame(1, "x") + ok, out: ok + ok, err: io.EOF},
		{name: "frames are routed", routed: true, in: ok + frame(0, "\x80a") + frame(9, "nobody's") + frame(1, big) + ok + frame(0, ""),
			out: ok + ok, frames: []string{"\x80a", big, ""}, err: io.EOF},
		{name: "junk is skipped", routed: true, in: ok + "\x00\xffjunk$" + frame(0, "\x80a") + "\r\n" + ok + frame(0, "\x80b"), out: ok + ok,
			frames: []string{"\x80a", "\x80b"}, err: io.EOF},
		{name: "passed through", routed: true, pass: true, in: ok + frame(0, "ab") + ok, out: ok + frame(0, "ab") + ok, err: io.EOF},
		{name: "requests", in: "OPTIONS * RTSP/1.0\r\nCSeq: 3\r\n\r\n", out: "OPTIONS * RTSP/1.0\r\nCSeq: 3\r\n\r\n", err: io.EOF},
		{name: "http", in: "HTTP/1.1 400 Bad Request\r\n\r\n", err: errHTTP},
		{name: "html", in: "<html><body>", err: errHTTP},
		{name: "ssh", in: "SSH-2.0-OpenSSH_9.2\r\n", err: errNotRTSP},
		{name: "garbage", in: "\x15\x03\x01\x00\x02\x02\x46", err: errGarbage},
		{name: "huge body", in: "RTSP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n", out: "RTSP/1.0 200 OK\r\n", err: nil},
	} {
		for _, piece := range []int{1, 7, 1 << 20} {
			var got []string
			f := newFramer(&scriptConn{data: []byte(c.in), piece: piece}, &Stats{})
			if c.routed {
				take := func(p []byte, _ time.Time) { got = append(got, string(p)) }
				f.route(&routes{0: take, 1: take})
			}
			if c.pass {
				f.passThrough()
			}
			out, err := readAll(f)
			if c.err != nil && (!errors.Is(err, c.err) || out != c.out) {
				t.Errorf("%s by %d: out %q err %v", c.name, piece, out, err)
			}
			if c.err == nil && errors.Is(err, io.EOF) {
				t.Errorf("%s by %d: no error", c.name, piece)
			}
			if len(got) != len(c.frames) {
				t.Errorf("%s by %d: %d frames", c.name, piece, len(got))
				continue
			}
			for i := range got {
				if got[i] != c.frames[i] {
					t.Errorf("%s by %d: frame %d differs", c.name, piece, i)
				}
			}
		}
	}
}

// A camera that loses bytes in the middle of its stream costs the packets they belong to, wherever they are missing.
func TestFramerFindsItsWayAgain(t *testing.T) {
	t.Parallel()
	var stream []byte
	for i := range 40 {
		payload := append([]byte{0x80, 96, 0, byte(i)}, bytes.Repeat([]byte{byte(i * 7), '$', 0x55}, 60+i)...)
		stream = append(stream, frame(byte(i&1), string(payload))...)
	}
	for cut := 300; cut < 4000; cut += 37 {
		for _, missing := range []int{1, 3, 90, 700} {
			data := append(append([]byte(nil), stream[:cut]...), stream[cut+missing:]...)
			f := newFramer(&scriptConn{data: data, piece: 1 << 20}, &Stats{})
			f.sniffed = true
			good := 0
			take := func(p []byte, _ time.Time) {
				if len(p) < 4 {
					return
				}
				if i := int(p[3]); len(p) == 4+3*(60+i) && bytes.Equal(p[4:], bytes.Repeat([]byte{byte(i * 7), '$', 0x55}, 60+i)) {
					good++
				}
			}
			f.route(&routes{0: take, 1: take})
			if _, err := readAll(f); !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			if want := 40 - 1 - (missing+200)/180; good < want {
				t.Errorf("%d bytes missing at %d: %d of 40 packets arrive, want at least %d", missing, cut, good, want)
			}
		}
	}
}

func readAll(r io.Reader) (string, error) {
	var out []byte
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		out = append(out, buf[:n]...)
		if err != nil {
			return string(out), err
		}
	}
}

func FuzzFramer(f *testing.F) {
	f.Add([]byte("RTSP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc"+frame(0, "xyz")+"RTSP/1.0 200 OK\r\n\r\n"), 3)
	f.Add([]byte("$\x00\xff\xff"), 1)
	f.Fuzz(func(t *testing.T, data []byte, piece int) {
		fr := newFramer(&scriptConn{data: data, piece: 1 + (piece & 0xff)}, &Stats{})
		take := func([]byte, time.Time) {}
		fr.route(&routes{0: take})
		if out, err := readAll(fr); err == nil || len(out) > len(data) {
			t.Fatalf("%d bytes from %d, %v", len(out), len(data), err)
		}
	})
}

// feedPackets pushes a byte string as packets: a marker byte, a timestamp step, a sequence step, a length, a payload.
func feedPackets(data []byte, push func(*packet, bool)) {
	var p packet
	for len(data) >= 4 {
		p.marker = data[0]&1 != 0
		p.ts += uint32(data[1] & 3)
		p.seq += uint16(data[2] & 3)
		n := min(int(data[3]), len(data)-4)
		p.payload = data[4 : 4+n]
		push(&p, data[2]&3 > 1)
		data = data[4+n:]
	}
}

func FuzzDepacketize(f *testing.F) {
	f.Add(uint8(0), []byte("\x01\x01\x01\x05\x65\x88\x80\x40\x00\x01\x00\x01\x04\x7c\x85\x80\x40\x01\x00\x01\x03\x7c\x45\x11"))
	f.Add(uint8(0), []byte("\x01\x01\x01\x09\x78\x00\x02\x67\x42\x00\x02\x65\x88"))
	f.Add(uint8(1), []byte("\x01\x01\x01\x06\x62\x01\x93\x80\x00\x00\x01\x00\x01\x04\x62\x01\x53\x01"))
	f.Add(uint8(2), []byte("\x01\x01\x01\x0c\x00\x00\x00\x00\x01\x50\x18\x0e\x11\x22\xff\xd9"))
	f.Add(uint8(3), []byte("\x01\x01\x01\x06\x00\x10\x00\x10\x01\x02"))
	f.Add(uint8(4), []byte("\x01\x01\x01\x06\x40\x00\x23\x20\x01\x02"))
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		s := &selected{}
		formats := []format.Format{
			&format.H264{PacketizationMode: 1}, &format.H265{}, &format.MJPEG{},
			&format.MPEG4Audio{SizeLength: 13, IndexLength: 3, IndexDeltaLength: 3, Config: testAAC()},
			&format.MPEG4AudioLATM{CPresent: true}, &format.G711{SampleRate: 8000, ChannelCount: 1},
		}
		if !s.setup(formats[int(kind)%len(formats)]) {
			t.Fatal("setup")
		}
		track := s.track
		feedPackets(data, func(p *packet, lost bool) {
			_ = s.depay.push(p, lost, func(u unit) {
				if len(u.nalus) == 0 {
					t.Fatal("an empty unit")
				}
				for _, n := range u.nalus {
					if len(n) == 0 {
						t.Fatal("an empty NAL unit")
					}
				}
				learn(&track, &u)
			})
		})
	})
}

func FuzzPacket(f *testing.F) {
	f.Add([]byte("\x80\x60\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01payload"))
	f.Add([]byte("\xb1\x60\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01CSRC\xbe\xde\x00\x01extepay\x01"))
	f.Add([]byte("\x80\xc8\x00\x06\x00\x00\x00\x01\xe0\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := parsePacket(b); err == nil && len(p.payload) > len(b)-12 {
			t.Fatal("payload too long")
		}
		_, _ = parseSenderReport(b)
	})
}

func FuzzSanitizeSDP(f *testing.F) {
	f.Add([]byte("v=0\r\ns=x\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\nm=audio 0 RTP/AVP 97\r\na=rtpmap:97 mpeg4-generic/1\r\n"))
	f.Add([]byte("m=\nm=x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if out := sanitizeSDP(bytes.Clone(b)); len(out) > len(b) {
			t.Fatal("it grew")
		}
	})
}

// TestUnitBuilding: fragments, aggregates, losses and the quirks of cameras, H.264.
func TestUnitBuilding(t *testing.T) {
	t.Parallel()
	slice := func(b byte) []byte { return []byte{0x41, 0x9a, b} } // first_mb_in_slice 0
	rest := func(b byte) []byte { return []byte{0x41, 0x40, b} }  // a later slice
	type in struct {
		payload []byte
		ts      uint32
		marker  bool
		lost    bool
	}
	type out struct {
		nalus   [][]byte
		damaged bool
	}
	fu := func(head byte, p ...byte) []byte { return append([]byte{0x5c, head}, p...) } // FU-A of a type 1 with nri 2
	for _, c := range []struct {
		name string
		in   []in
		want []out
	}{
		{"single", []in{{slice(1), 1, true, false}}, []out{{[][]byte{slice(1)}, false}}},
		{"no marker, next timestamp", []in{{slice(1), 1, false, false}, {slice(2), 2, true, false}},
			[]out{{[][]byte{slice(1)}, false}, {[][]byte{slice(2)}, false}}},
		{"fragments", []in{{fu(0x81, 0x9a), 1, false, false}, {fu(0x01, 2), 1, false, false}, {fu(0x41, 3), 1, true, false}},
			[]out{{[][]byte{{0x41, 0x9a, 2, 3}}, false}}},
		{"one fragment is all", []in{{fu(0xc1, 0x9a, 7), 1, true, false}}, []out{{[][]byte{{0x41, 0x9a, 7}}, false}}},
		{"fragment lost", []in{{slice(1), 1, false, false}, {fu(0x81, 0x40), 1, false, false}, {fu(0x41, 3), 1, true, true}},
			[]out{{[][]byte{slice(1)}, true}}},
		{"only fragment lost", []in{{fu(0x81, 0x9a), 1, false, false}, {fu(0x41, 3), 1, true, true}, {slice(2), 2, true, false}},
			[]out{{[][]byte{slice(2)}, false}}},
		{"first slice lost", []in{{rest(1), 1, true, true}}, []out{{[][]byte{rest(1)}, true}}},
		{"loss between units", []in{{slice(1), 1, true, false}, {slice(2), 3, true, true}},
			[]out{{[][]byte{slice(1)}, false}, {[][]byte{slice(2)}, false}}},
		{"marker lost", []in{{slice(1), 1, false, false}, {slice(2), 2, true, true}},
			[]out{{[][]byte{slice(1)}, true}, {[][]byte{slice(2)}, false}}},
		{"parameter sets with markers", []in{{[]byte{0x67, 1}, 1, true, false}, {[]byte{0x68, 1}, 1, true, false}, {slice(1), 1, true, false},
			{slice(2), 2, true, false}},
			[]out{{[][]byte{{0x67, 1}, {0x68, 1}, slice(1)}, false}, {[][]byte{slice(2)}, false}}},
		{"markers on every slice", []in{{[]byte{0x67, 1}, 1, true, false}, {slice(1), 1, true, false}, {rest(2), 1, true, false},
			{slice(3), 2, true, false}, {rest(4), 2, true, false}, {slice(5), 3, true, false}},
			[]out{{[][]byte{{0x67, 1}, slice(1), rest(2)}, false}, {[][]byte{slice(3), rest(4)}, false}}},
		{"markers on every slice, one timestamp", []in{{[]byte{0x67, 1}, 1, true, false}, {slice(1), 1, true, false},
			{rest(2), 1, true, false}, {slice(3), 1, true, false}, {rest(4), 1, true, false}, {slice(5), 1, true, false}},
			[]out{{[][]byte{{0x67, 1}, slice(1), rest(2)}, false}, {[][]byte{slice(3), rest(4)}, false}}},
		{"markers on every fragment", []in{{fu(0x81, 0x9a), 1, true, false}, {fu(0x01, 2), 1, true, false},
			{fu(0x41, 3), 1, true, false}, {slice(4), 2, true, false}, {slice(5), 3, true, false}},
			[]out{{[][]byte{{0x41, 0x9a, 2, 3}}, false}, {[][]byte{slice(4)}, false}}},
		{"markers on every slice, nothing before", []in{{slice(1), 1, true, false}, {rest(2), 1, true, false},
			{slice(3), 2, true, false}, {rest(4), 2, true, false}, {slice(5), 3, true, false}},
			[]out{{[][]byte{slice(1)}, false}, {[][]byte{rest(2)}, true}, {[][]byte{slice(3), rest(4)}, false}}},
		{"one timestamp", []in{{slice(1), 1, true, false}, {slice(2), 1, true, false}},
			[]out{{[][]byte{slice(1)}, false}, {[][]byte{slice(2)}, false}}},
		{"parameter sets with a timestamp of their own", []in{{[]byte{0x67, 1}, 1, false, false}, {slice(1), 2, true, false}},
			[]out{{[][]byte{{0x67, 1}, slice(1)}, false}}},
		{"aggregate", []in{{[]byte{0x78, 0, 2, 0x67, 1, 0, 3, 0x41, 0x9a, 1, 0, 0}, 1, true, false}},
			[]out{{[][]byte{{0x67, 1}, slice(1)}, false}}},
		{"start codes inside", []in{{[]byte{0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x41, 0x9a, 1}, 1, false, false}, {slice(3), 1, true, false}},
			nil},
		{"start codes in a NAL unit", []in{{[]byte{0x67, 1, 0, 0, 0, 1, 0x68, 2, 0, 0, 1, 0x41, 0x9a, 1}, 1, true, false}},
			[]out{{[][]byte{{0x67, 1}, {0x68, 2}, slice(1)}, false}}},
	} {
		d := newNALDepacketizer(h264NALs{})
		var got []unit
		for i, p := range c.in {
			_ = d.push(&packet{payload: p.payload, ts: p.ts, marker: p.marker, seq: uint16(i)}, p.lost, func(u unit) { got = append(got, u) })
		}
		if c.want == nil {
			continue
		}
		if len(got) != len(c.want) {
			t.Errorf("%s: %d units, want %d", c.name, len(got), len(c.want))
			continue
		}
		for i, u := range got {
			if u.damaged != c.want[i].damaged || !equalNALUs(u.nalus, c.want[i].nalus) {
				t.Errorf("%s: unit %d is %x damaged %v, want %x %v", c.name, i, u.nalus, u.damaged, c.want[i].nalus, c.want[i].damaged)
			}
		}
	}
}

func equalNALUs(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

// TestAnnexBPayload: a payload that begins with a start code is taken apart too.
func TestAnnexBPayload(t *testing.T) {
	t.Parallel()
	d := newNALDepacketizer(h264NALs{})
	var got []unit
	b := []byte{0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x41, 0x9a, 1}
	if err := d.push(&packet{payload: b, marker: true}, false, func(u unit) { got = append(got, u) }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || !equalNALUs(got[0].nalus, [][]byte{{0x67, 1}, {0x41, 0x9a, 1}}) {
		t.Errorf("%+v", got)
	}
}

func TestSequenceAndSource(t *testing.T) {
	t.Parallel()
	var s sequence
	for i, c := range []struct {
		seq  uint16
		lost int
		ok   bool
	}{{65534, 0, true}, {65535, 0, true}, {0, 0, true}, {0, 0, false}, {65535, 0, false}, {3, 2, true}, {2, 0, false}, {20000, 1, true}, {20001, 0, true}} {
		if lost, ok := s.accept(c.seq); lost != c.lost || ok != c.ok {
			t.Errorf("step %d: %d %v", i, lost, ok)
		}
	}
	now := time.Now()
	f := sourceFilter{known: true, announced: true, ssrc: 1}
	for i, c := range []struct {
		ssrc  uint32
		seq   uint16
		after time.Duration
		want  verdict
	}{
		{2, 70, 0, foreign}, {2, 71, time.Hour, foreign}, // one that was announced is waited for
		{1, 10, time.Hour, ours}, {2, 72, time.Hour + 100*time.Millisecond, foreign},
		{2, 73, time.Hour + time.Second, successor}, {1, 11, time.Hour + time.Second, foreign},
		{2, 74, time.Hour + 2*time.Second, ours}, // a picture a second: the next pause is no silence
		{3, 30, time.Hour + 3*time.Second, foreign},
		{3, 75, time.Hour + 3*time.Second, successor}, // it goes on with the numbers of the one before
	} {
		if got := f.judge(&packet{ssrc: c.ssrc, seq: c.seq}, now.Add(c.after)); got != c.want {
			t.Errorf("step %d: %v, want %v", i, got, c.want)
		}
	}
}

// nullSink counts units.
type nullSink struct{ n int }

func (s *nullSink) Publish(*media.AccessUnit) { s.n++ }

// BenchmarkIngest is the cost of a packet from the byte stream of a TCP connection to a published unit, system calls
// apart: 4 Mbit/s, 25 pictures a second, 14 packets of 1,400 bytes each.
func BenchmarkIngest(b *testing.B) {
	s := &selected{forma: &format.H264{PayloadTyp: 96}}
	s.setup(s.forma)
	s.track.ClockRate = 90000
	sink := &nullSink{}
	in := newIngest([]*selected{s}, sink, &Stats{}, ingestOptions{epochs: media.NewEpochs(1)})
	in.waiting = false
	var data []byte
	const packets = 14
	for i := range packets {
		p := make([]byte, 12+1400)
		p[0], p[1] = 0x80, 96
		p[12], p[13], p[14] = 0x7c, 1, 0x9a
		if i == 0 {
			p[13] = 0x81
		}
		if i == packets-1 {
			p[1], p[13] = 0x80|96, 0x41
		}
		for j := 15; j < len(p); j++ {
			p[j] = byte(j*31 + i)
		}
		data = append(data, frame(0, string(p))...)
	}
	c := &scriptConn{piece: 1 << 16}
	f := newFramer(c, &Stats{})
	f.sniffed = true
	f.route(&routes{0: in.tracks[0].rtp})
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	seq, ts := uint16(0), uint32(0)
	for b.Loop() {
		for i := range packets {
			at := i*(4+12+1400) + 4
			binary.BigEndian.PutUint16(data[at+2:], seq)
			binary.BigEndian.PutUint32(data[at+4:], ts)
			seq++
		}
		ts += 3600
		c.data = data
		_, _ = readAll(f)
	}
	if sink.n == 0 {
		b.Fatal("nothing published")
	}
}

func testAAC() *mpeg4audio.AudioSpecificConfig {
	return &mpeg4audio.AudioSpecificConfig{Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 48000, ChannelConfig: 2}
}
