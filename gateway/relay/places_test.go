package relay

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestWhoGetsAPlace walks through the rules of a gateway with 100 places, 60 for one person at most.
func TestWhoGetsAPlace(t *testing.T) {
	t.Parallel()
	p := newPlaces(Config{MaxSessions: 100, MaxPerViewer: 60})
	r := &Relay{cfg: Config{}.withDefaults()}
	take := func(name string, pictures int) (*session, []*session, error) {
		s := &session{relay: r, viewer: Viewer{Name: name}, pictures: pictures}
		evicted, err := p.take(s)
		if err != nil {
			return nil, nil, err
		}
		return s, evicted, nil
	}
	takes := func(name string, n int) (got []*session) {
		t.Helper()
		for range n {
			s, evicted, err := take(name, 1)
			if err != nil || len(evicted) != 0 {
				t.Fatalf("%s: evicted %d, %v", name, len(evicted), err)
			}
			got = append(got, s)
		}
		return got
	}
	refused := func(name, want string) {
		t.Helper()
		_, _, err := take(name, 1)
		var e *Error
		if !errors.As(err, &e) || e.Code != CodeTooMany || !strings.Contains(e.Detail, want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}

	watching := takes("control room", 60)
	for _, s := range watching {
		p.connected(s)
	}
	refused("control room", "webrtc.max_sessions_per_person: 60")
	half := takes("officer", 15)
	refused("officer", "kept for people who have fewer than 8")
	// The last quarter is for people with few; when that is gone too, whoever has many unconnected gives one.
	for i := range 25 {
		takes(fmt.Sprint("guest ", i), 1)
	}
	s, evicted, err := take("duty", 1)
	if err != nil || len(evicted) != 1 || evicted[0] != half[0] {
		t.Errorf("evicted %v, %v", evicted, err)
	}
	p.giveBack(half[0]) // as its session does when it has ended
	p.connected(s)
	if p.all != 100 || p.person("officer").pending != 14 {
		t.Errorf("%d places taken, %d of the officer's unconnected", p.all, p.person("officer").pending)
	}
	for _, s := range half[1:] {
		p.connected(s)
	}
	refused("late", "webrtc.max_sessions: 100") // nobody who watches is thrown out

	// Pictures of walls that never connect are bounded; the oldest of the same person go.
	for _, s := range watching {
		p.giveBack(s)
	}
	var walls []*session
	for range maxPending / 64 {
		w, evicted, err := take("walls", 64)
		if err != nil || len(evicted) > 0 {
			t.Fatal(evicted, err)
		}
		walls = append(walls, w)
	}
	if _, evicted, err := take("walls", 64); err != nil || len(evicted) != 1 || evicted[0] != walls[0] {
		t.Errorf("one wall more: evicted %v, %v", evicted, err)
	}
	if _, evicted, err := take("others", 64); err != nil || len(evicted) != 0 {
		t.Errorf("another's wall: evicted %v, %v", evicted, err)
	}
}

// TestOffersOfOnePersonAreBounded, by what they ask for, before they are read.
func TestOffersOfOnePersonAreBounded(t *testing.T) {
	t.Parallel()
	p := newPlaces(Config{MaxSessions: 100, MaxPerViewer: 60})
	wall := strings.Repeat("a=x\r\nm=video 9\r\n", 64)
	n := 0
	for !p.hasty("officer", wall) && n < 1000 {
		n++
	}
	if n < begunBurst/64 || n > begunBurst/64+8 {
		t.Errorf("%d walls at once, want %d", n, begunBurst/64)
	}
	if p.hasty("operator", wall) || p.hasty("operator", "") {
		t.Error("another person has to wait too")
	}
}

// FuzzTrim: whatever a viewer offers, little of it is kept.
func FuzzTrim(f *testing.F) {
	f.Add("v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 H264/90000\r\na=candidate:1 1 udp 1 10.0.0.1 4000 typ host\r\n")
	f.Fuzz(func(t *testing.T, offer string) {
		r := newRemotes(nil)
		out, err := trimmer{payloads: []string{"96"}}.trim(offer, r)
		if err == nil && strings.Count(out, "a=candidate:") > maxRemotes {
			t.Errorf("%d candidates of\n%s", strings.Count(out, "a=candidate:"), out)
		}
	})
}

func TestCandidatesThatAreTaken(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{
		"candidate:1 1 udp 2130706431 192.0.2.7 4000 typ host":                     true,
		"candidate:1 1 UDP 2130706431 2001:db8::7 4000 typ srflx raddr :: rport 0": true,
		"candidate:1 1 udp 2130706431 fe80::1 4000 typ host":                       true,
		"candidate:1 1 udp 2130706431 ::ffff:192.0.2.7 4000 typ host":              true,
		"candidate:1 1 udp 2130706431 192.0.2.7 53 typ host":                       false, // would be sent against a DNS server
		"candidate:1 1 udp 2130706431 239.1.2.3 4000 typ host":                     false,
		"candidate:1 1 udp 2130706431 ff02::1 4000 typ host":                       false,
		"candidate:1 1 udp 2130706431 255.255.255.255 4000 typ host":               false,
		"candidate:1 1 udp 2130706431 0.0.0.0 4000 typ host":                       false,
		"candidate:1 1 udp 2130706431 127.0.0.1 4000 typ host":                     false, // the relay listens elsewhere
		"candidate:1 1 udp 2130706431 host.example 4000 typ host":                  false,
		"candidate:1 1 udp 2130706431 4b7ddcb5-d05a-4cf5-aae7.local 4000 typ host": false,
		"candidate:1 1 tcp 1518280447 192.0.2.7 9 typ host tcptype active":         false,
		"candidate:1 1 udp 2130706431 192.0.2.7 70000 typ host":                    false,
		"candidate:1 1 udp": false,
		"candidate:1 1 udp 2130706431 192.0.2.7 4000 typ host generation 0 ufrag abc": true,
	} {
		if got := newRemotes(nil).take(line); got != want {
			t.Errorf("%s: %v, want %v", line, got, want)
		}
	}
	r := newRemotes(nil)
	n := 0
	for i := range 100 {
		if r.take(fmt.Sprintf("candidate:1 1 udp 2130706431 192.0.2.7 %d typ host", 4000+i)) {
			n++
		}
	}
	if n != maxRemotes {
		t.Errorf("%d of 100 are taken, want %d", n, maxRemotes)
	}
}
