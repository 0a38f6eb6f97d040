package relay

import (
	"bytes"
	"context"
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"github.com/pion/webrtc/v4"

	"skein/edge/media"
)

// TestSealersMatchAnIndependentImplementation checks both protections against pion's, over a rollover.
func TestSealersMatchAnIndependentImplementation(t *testing.T) {
	t.Parallel()
	for _, gcm := range []bool{true, false} {
		profile, saltLen := srtp.ProtectionProfileAes128CmHmacSha1_80, 14
		if gcm {
			profile, saltLen = srtp.ProtectionProfileAeadAes128Gcm, 12
		}
		k := masterKeys{gcm: gcm, key: bytes.Repeat([]byte{7}, 16), salt: bytes.Repeat([]byte{9}, saltLen)}
		const ssrc = 0xdeadbeef
		s, err := k.sealer(ssrc)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := srtp.CreateContext(k.key, k.salt, profile)
		if err != nil {
			t.Fatal(err)
		}
		for index := uint64(65530); index < 65545; index++ {
			h := rtp.Header{Version: 2, PayloadType: 102, SequenceNumber: uint16(index), Timestamp: 90, SSRC: ssrc}
			plain, err := (&rtp.Packet{Header: h, Payload: []byte("some payload")}).Marshal()
			if err != nil {
				t.Fatal(err)
			}
			want, err := theirs.EncryptRTP(nil, plain, nil)
			if err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 200)
			n := copy(buf, plain)
			if got := buf[:s.seal(buf, 12, n, index)]; !bytes.Equal(got, want) {
				t.Fatalf("gcm %v, index %d: %x, want %x", gcm, index, got, want)
			}
		}
	}
}

func TestExporterMatchesAKnownHandshake(t *testing.T) {
	t.Parallel()
	// P_SHA256 vector published on the IETF TLS list (secret, label and seed as there).
	unhex := func(s string) []byte { b, _ := hex.DecodeString(s); return b }
	got := pSHA256(unhex("9bbe436ba940f017b17652849a71db35"),
		append([]byte("test label"), unhex("a0ba9f936cda311827a6f796ffd5198c")...), 100)
	want := unhex("e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af0fa0" +
		"22f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff70187347b66")
	if !bytes.Equal(got, want) {
		t.Errorf("%x", got)
	}
}

func TestPacketsOfH264AndH265(t *testing.T) {
	t.Parallel()
	slice := func(head ...byte) []byte { return append(head, bytes.Repeat([]byte{0xab}, 5000)...) }
	h264 := &media.Description{Tracks: []media.Track{{Codec: media.H264, SPS: []byte{0x67, 1, 2}, PPS: []byte{0x68, 3}}}}
	h265 := &media.Description{Tracks: []media.Track{{
		Codec: media.H265, VPS: []byte{0x40, 1, 9}, SPS: []byte{0x42, 1, 9}, PPS: []byte{0x44, 1, 9},
	}}}
	for name, c := range map[string]struct {
		desc  *media.Description
		key   bool
		nalus [][]byte
		want  int
		first byte
	}{
		"IDR gets its parameter sets":   {h264, true, [][]byte{slice(0x65)}, 6, 24 | 0x60},
		"in band sets are not doubled":  {h264, true, [][]byte{{0x67, 1}, {0x68, 1}, slice(0x65)}, 6, 24 | 0x60},
		"delimiters are left out":       {h264, false, [][]byte{{9, 0xf0}, {0x41, 1}}, 1, 0x41},
		"small picture is one packet":   {h264, false, [][]byte{{0x41, 1, 2}}, 1, 0x41},
		"empty units are ignored":       {h264, false, [][]byte{{}, {0x41, 1}, nil}, 1, 0x41},
		"H.265 IRAP gets its sets":      {h265, true, [][]byte{slice(0x26, 1)}, 6, 48 << 1},
		"H.265 fragments":               {h265, false, [][]byte{slice(0x02, 1)}, 5, 49 << 1},
		"H.265 slices share one packet": {h265, false, [][]byte{{2, 1, 7}, {2, 1, 8}}, 1, 48 << 1},
	} {
		z := packetizer{max: 1200}
		pkts := z.unit(&media.AccessUnit{Desc: c.desc, Key: c.key, NALUs: c.nalus})
		if len(pkts) != c.want {
			t.Errorf("%s: %d packets, want %d", name, len(pkts), c.want)
			continue
		}
		b := append(append([]byte{}, pkts[0].head[:pkts[0].headLen]...), pkts[0].body...)
		if b[0] != c.first {
			t.Errorf("%s: first byte %#x, want %#x", name, b[0], c.first)
		}
		sizes := map[int]bool{}
		for i, p := range pkts {
			if p.size() > 1200 || p.marker != (i == len(pkts)-1) {
				t.Errorf("%s: packet %d of %d bytes, marker %v", name, i, p.size(), p.marker)
			}
			if p.headLen > 1 && i < len(pkts)-1 && b[0]>>1 != 48 {
				sizes[p.size()] = true
			}
		}
		if len(sizes) > 1 && !strings.Contains(name, "IRAP") {
			t.Errorf("%s: fragments of different sizes %v", name, sizes)
		}
	}
}

func TestHistoryKeepsTheGroupOfPicturesAndLetsGoOfTheRest(t *testing.T) {
	t.Parallel()
	l := newLine(media.H264, videoRate)
	pkts := make([]packet, 10)
	add := func(n int, key bool) {
		l.append(pkts, key, false, moment{ts: int64(n) * 3600, arrival: time.Unix(int64(n), 0)})
	}
	for n := range 500 { // 20 s, a key frame every 4 s
		add(n, n%100 == 0)
	}
	o, ok := l.opening()
	if !ok || o.first != 4000 || o.head != 5000 || o.units != 100 {
		t.Fatalf("opening %+v, %v", o, ok)
	}
	if _, _, ok := l.read(pkts[:1], 4000); !ok {
		t.Error("the group of pictures is not kept")
	}
	if l.tail < 3000 {
		t.Errorf("packets from %d on are kept, a second too many", l.tail)
	}
	for n := 500; n < 2500; n++ { // a group larger than the history
		add(n, false)
	}
	if _, ok := l.opening(); ok {
		t.Error("a group of pictures without its beginning is offered")
	}
	if len(l.ring) != maxRing {
		t.Errorf("ring of %d packets", len(l.ring))
	}
}

func TestSqueezedTimestampsEndAtTheLiveEdge(t *testing.T) {
	t.Parallel()
	m := moment{ts: 50 * 3600}
	o := opening{firstTS: 0, units: 51, unit: 151, newest: m, step: 3600}
	var fresh segment
	fresh.squeeze(o, 1_000_000, 0, false, videoRate)
	if a, b := fresh.stamp(0, 101), fresh.stamp(m.ts, 151); b != 1_000_000 || b-a != 50*180 {
		t.Errorf("fresh: %d to %d", a, b)
	}
	if d := fresh.stamp(m.ts+3600, 152) - fresh.stamp(m.ts, 151); d != 3600 {
		t.Errorf("live step %d", d)
	}
	var again segment
	again.squeeze(o, 1_000_000, 1_000_000, true, videoRate)
	if a := again.stamp(0, 101); a <= 1_000_000 {
		t.Errorf("again: begins at %d, not above what was sent", a)
	}
	if b := again.stamp(m.ts, 151); b-1_000_000 > 1802 {
		t.Errorf("again: lands %d ticks ahead of the live edge", b-1_000_000)
	}
	last := int64(0)
	for i := range uint64(51) {
		if s := again.stamp(int64(i)*3600, 101+i); s <= last {
			t.Fatalf("stamp %d does not rise above %d", s, last)
		} else {
			last = s
		}
	}
}

// A player that counts in milliseconds sees times that rise, however unevenly the camera's pictures came and however it
// rounds, and a long group of pictures takes no longer than before.
func TestSqueezedTimestampsRiseInMilliseconds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		units   int
		reorder bool
		most    int64 // milliseconds for all
		least   int64 // ticks apart
	}{{2, false, 2, 180}, {50, false, 100, 180}, {400, false, 500, 90}, {3000, false, 3000, 90}, {50, true, 100, 1}} {
		ts := make([]int64, c.units)
		for i := range ts {
			ts[i] = int64(i)*3600 + int64(i%3)*1700 // two close together, then a pause
		}
		o := opening{
			units: c.units, unit: uint64(c.units), newest: moment{ts: ts[c.units-1]}, step: 3600, reorder: c.reorder,
		}
		var g segment
		g.squeeze(o, 10_000_007, 0, false, videoRate)
		for i := 1; i < c.units; i++ {
			a, b := g.stamp(ts[i-1], uint64(i)), g.stamp(ts[i], uint64(i+1))
			if b-a < c.least {
				t.Fatalf("%+v: unit %d is %d ticks after the one before", c, i, b-a)
			}
		}
		if d := g.stamp(o.newest.ts, o.unit) - g.stamp(0, 1); d > c.most*90 {
			t.Errorf("%+v: takes %d ms", c, d/90)
		}
	}
}

// hotRelay returns a relay that does not run, with a socket at listen, and a socket nobody reads.
func hotRelay(tb testing.TB, listen string) (*Relay, *net.UDPConn, *net.UDPConn) {
	tb.Helper()
	open := func(address string) *net.UDPConn {
		a, err := net.ResolveUDPAddr("udp4", address)
		if err != nil {
			tb.Fatal(err)
		}
		c, err := net.ListenUDP("udp4", a)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = c.Close() })
		return c
	}
	conn := open(listen)
	r := &Relay{cfg: Config{}.withDefaults(), metrics: newMetrics(nil, nil), outlet: newOutlet(conn)}
	return r, open("127.0.0.1:0"), conn
}

// hotSlot adds a slot of a viewer at the address that is live on l.
func hotSlot(tb testing.TB, r *Relay, l *line, ssrc uint32, addr netip.AddrPort) {
	tb.Helper()
	s := &session{relay: r, wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1)}
	s.path.Store(r.outlet.path(addr))
	sl := s.newSlot(true, videoRate)
	sl.ssrc, sl.payload[media.H264] = ssrc, 102|payloadKnown
	sl.extend([]webrtc.RTPHeaderExtensionParameter{{URI: playoutDelayURI, ID: 5}, {URI: transportWideURI, ID: 6}})
	seal, err := masterKeys{gcm: true, key: make([]byte, 16), salt: make([]byte, 12)}.sealer(sl.ssrc)
	if err != nil {
		tb.Fatal(err)
	}
	sl.ready(seal)
	sl.show(l, time.Now())
}

// hotSlots returns n slots of a line that are live and send to a socket nobody reads.
func hotSlots(tb testing.TB, n int) (*line, *batch, *net.UDPConn) {
	tb.Helper()
	r, sink, conn := hotRelay(tb, "127.0.0.1:0")
	l := newLine(media.H264, videoRate)
	for i := range n {
		hotSlot(tb, r, l, uint32(i+1), sink.LocalAddr().(*net.UDPAddr).AddrPort()) //nolint:forcetypeassert // a UDP socket
	}
	return l, newBatch(r.outlet), conn
}

// fanOut publishes one picture to all slots of a line.
func fanOut(l *line, b *batch, z *packetizer, u *media.AccessUnit, n int64) {
	pkts := z.unit(u)
	m := moment{ts: n * 3600, wall: u.Wall, arrival: u.Arrival.Add(time.Duration(n) * 40 * time.Millisecond)}
	unit := l.append(pkts, u.Key, false, m)
	for _, s := range *l.viewers.Load() {
		s.deliver(b, l, &unit)
	}
	b.flush()
}

func picture(key bool) *media.AccessUnit {
	head := byte(0x41)
	if key {
		head = 0x65
	}
	now := time.Now()
	return &media.AccessUnit{
		Desc: &media.Description{Tracks: []media.Track{{Codec: media.H264}}}, Key: key, Wall: now, Arrival: now,
		NALUs: [][]byte{append([]byte{head}, make([]byte, 20_000)...)},
	}
}

func TestFanOutAllocatesNothing(t *testing.T) {
	l, b, _ := hotSlots(t, 8)
	z := &packetizer{max: 1200}
	n := int64(0)
	fanOut(l, b, z, picture(true), n)
	u := picture(false)
	for range 200 {
		n++
		fanOut(l, b, z, u, n)
	}
	l.mu.Lock()
	l.hasKey = false // so that the history does not grow
	l.mu.Unlock()
	allocs := testing.AllocsPerRun(500, func() {
		n++
		fanOut(l, b, z, u, n)
	})
	if allocs > 0 {
		t.Errorf("%v allocations for a picture to 8 viewers", allocs)
	}
	for _, s := range *l.viewers.Load() {
		if s.stats.packets < 700*17 {
			t.Fatalf("slot sent %d packets only, phase %d", s.stats.packets, s.phase)
		}
	}
}

// A slot that shows one camera after another lets go of the former ones' pictures.
func TestSlotForgetsWhatItShowed(t *testing.T) {
	l, b, _ := hotSlots(t, 1)
	z := &packetizer{max: 1200}
	sl := (*l.viewers.Load())[0]
	for range keptSegments {
		sl.hide()
		l = newLine(media.H264, videoRate)
		sl.show(l, time.Now())
		fanOut(l, b, z, picture(true), 0)
	}
	held := func() (n int) {
		for i := range sl.segments {
			if sl.segments[i].line != nil {
				n++
			}
		}
		return n
	}
	if sl.forget(time.Now()); held() != keptSegments {
		t.Errorf("only %d segments can be sent again", held())
	}
	if sl.forget(time.Now().Add(time.Minute)); held() != 1 || sl.segments[sl.current].line != l {
		t.Errorf("%d segments are held", held())
	}
	sl.hide()
	if sl.forget(time.Now().Add(time.Minute)); held() != 0 {
		t.Errorf("%d segments of a hidden slot are held", held())
	}
}

// A tile that was emptied since is not brought back by an overloaded path, and its last report says nothing any more.
func TestHiddenTilesStayHidden(t *testing.T) {
	l, _, _ := hotSlots(t, 1)
	sl := (*l.viewers.Load())[0]
	w := &wall{session: sl.session}
	w.ctx, w.cancel = context.WithCancel(t.Context())
	defer w.cancel()
	tl := &tile{wall: w, slot: sl}
	tl.wish(command{Camera: "gate", Profile: auto, Width: 1920, Height: 1080})
	sl.received(rtcp.ReceptionReport{SSRC: sl.ssrc, FractionLost: 128}, time.Now())
	tl.hide()
	if _, ok := tl.lower(); ok || tl.cancel != nil {
		t.Error("a hidden tile is brought again")
	}
	if lost := sl.totals().lost; lost != 0 {
		t.Errorf("a hidden slot loses %d of 256", lost)
	}
}

func TestBatchesGoOutWithAndWithoutSegmentation(t *testing.T) {
	for _, gso := range []bool{true, false} {
		sink, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		o := newOutlet(conn)
		o.gso.Store(gso && o.gso.Load())
		b := newBatch(o)
		addr, _ := sink.LocalAddr().(*net.UDPAddr)
		one, two := o.path(addr.AddrPort()), o.path(addr.AddrPort())
		var want [][]byte
		put := func(p *path, n int) {
			buf := b.room(n)
			for i := range buf {
				buf[i] = byte(len(want))
			}
			want = append(want, bytes.Clone(buf))
			b.add(p, n)
		}
		for _, n := range []int{900, 900, 900, 300, 900, 1000} {
			put(one, n)
		}
		put(two, 1000)
		b.flush()
		_ = sink.SetReadDeadline(time.Now().Add(5 * time.Second))
		for i, w := range want {
			got := make([]byte, 2000)
			n, err := sink.Read(got)
			if err != nil || !bytes.Equal(got[:n], w) {
				t.Fatalf("gso %v: datagram %d is %d bytes of %d, want %d of %d (%v)", gso, i, n, got[0], len(w), w[0], err)
			}
		}
		_ = sink.Close()
		_ = conn.Close()
	}
}

func BenchmarkFanOut(b *testing.B) {
	for _, viewers := range []int{1, 8, 64} {
		b.Run(map[int]string{1: "viewers=1", 8: "viewers=8", 64: "viewers=64"}[viewers], func(b *testing.B) {
			l, batch, _ := hotSlots(b, viewers)
			z := &packetizer{max: 1200}
			fanOut(l, batch, z, picture(true), 0)
			u := picture(false)
			n := int64(0)
			b.ReportAllocs()
			for b.Loop() {
				n++
				fanOut(l, batch, z, u, n)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n)/float64(17*viewers), "ns/packet")
		})
	}
}

func TestCommandErrorsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]string{
		`{"type":"show","camera":"gate"}`:                         "slot is missing: this wall has 0 to 3",
		`{"type":"hide"}`:                                         "slot is missing: this wall has 0 to 3",
		`{"type":"hide","slot":null}`:                             "slot is missing: this wall has 0 to 3",
		`{"type":"show","slot":4,"camera":"gate"}`:                "slot 4: this wall has 0 to 3",
		`{"type":"show","slot":-1,"camera":"gate"}`:               "slot -1: this wall has 0 to 3",
		`{"type":"show","slot":"0","camera":"gate"}`:              "slot cannot be a string: want a whole number",
		`{"type":"show","slot":0,"camera":7}`:                     "camera cannot be a number: want a text",
		`{"type":"show","slot":0,"camera":"gate","width":"wide"}`: "width cannot be a string: want a whole number",
		`{"type":"tour","slot":0,"cameras":"gate"}`:               "cameras cannot be a string: want a list",
		`{"type":"dance","slot":0}`:                               `type "dance": want show, hide,`,
		`{"slot":0,"camera":"gate"}`:                              `type "": want show, hide,`,
		`42`:                                                      "want one JSON object, not a number",
		`{"type":`:                                                "no JSON: unexpected EOF",
		`{"type":"hide","slot":0} {}`:                             "more than one object",
	} {
		_, err := parseCommand([]byte(message), 4)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", message, err, want)
		}
	}
	for _, message := range []string{
		`{"type":"listen","slot":-1}`, `{"type":"stats","slots":[]}`, `{"type":"show","slot":3,"camera":"gate"}`,
	} {
		if _, err := parseCommand([]byte(message), 4); err != nil {
			t.Errorf("%s: %v", message, err)
		}
	}
}

func FuzzCommand(f *testing.F) {
	f.Add([]byte(`{"type":"show","slot":0,"camera":"gate-3","profile":"auto","width":640,"height":360}`))
	f.Add([]byte(`{"type":"hide","slot":3}`))
	f.Add([]byte(`{"type":"listen","slot":-1}`))
	f.Add([]byte(`{"type":"show","slot":99,"camera":""}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseCommand(data, 4)
		if err == nil && (c.Slot < -1 || c.Slot >= 4 || (c.Type == "show" && c.Camera == "")) {
			t.Errorf("accepted %+v", c)
		}
	})
}

func FuzzOffer(f *testing.F) {
	f.Add("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdef0123456789\r\n" +
		"a=fingerprint:sha-256 00\r\nm=video 9 UDP/TLS/RTP/SAVPF 102\r\na=recvonly\r\na=mid:0\r\n" +
		"a=rtpmap:102 H264/90000\r\na=fmtp:102 packetization-mode=1;profile-level-id=42e01f\r\na=rtcp-fb:102 nack pli\r\n")
	f.Add("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 X 0 8\r\na=extmap:3 urn:x\r\na=rtpmap:300 \r\n")
	f.Fuzz(func(t *testing.T, text string) {
		q, err := parseOffer(text, maxWallOffer)
		if err != nil {
			return
		}
		for _, s := range append(q.video, q.audio...) {
			s.pick(media.H264, []byte{0x67, 0x42})
			s.names()
		}
		if bundled, alone := bundleAlone(text); alone && len(bundled) <= len(text) {
			t.Error("no bundle was added")
		}
		_ = rewriteICE(text, Fragment{Ufrag: "a", Pwd: "b"})
	})
}
