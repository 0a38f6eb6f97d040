package whep

import (
	"errors"
	"fmt"
	"strings"

	"skein/gateway/relay"
)

// Bounds of a trickle ICE fragment, against memory exhaustion.
const (
	maxFragmentBytes = 32 << 10
	maxFragmentLines = 512
	maxLineBytes     = 1024
)

var errFragment = errors.New("no SDP fragment")

// parseFragment reads a trickle-ice-sdpfrag body (RFC 8840 section 9): credentials at session or media level, and
// candidates under their "a=mid:". Unknown lines are ignored, as the RFC demands.
func parseFragment(body string) (relay.Fragment, error) {
	var f relay.Fragment
	if len(body) > maxFragmentBytes {
		return f, fmt.Errorf("%w: larger than %d bytes", errFragment, maxFragmentBytes)
	}
	mid, n := "", 0
	for line := range strings.Lines(body) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if n > maxFragmentLines || len(line) > maxLineBytes {
			return f, fmt.Errorf("%w: too many or too long lines", errFragment)
		}
		if line == "" {
			continue
		}
		if len(line) < 2 || line[1] != '=' {
			return f, fmt.Errorf("%w: line %d is not of the form x=…", errFragment, n)
		}
		value := line[2:]
		switch {
		case line[0] == 'm':
			mid = ""
		case line[0] != 'a':
		default:
			if err := readAttribute(&f, &mid, value); err != nil {
				return f, fmt.Errorf("%w: line %d: %w", errFragment, n, err)
			}
		}
	}
	if f.Ufrag == "" && f.Pwd == "" && len(f.Candidates) == 0 && !strings.Contains(body, "a=end-of-candidates") {
		return f, fmt.Errorf("%w: neither credentials nor candidates", errFragment)
	}
	if f.Pwd != "" && f.Ufrag == "" {
		return f, fmt.Errorf("%w: ice-pwd without ice-ufrag", errFragment)
	}
	return f, nil
}

func readAttribute(f *relay.Fragment, mid *string, value string) error {
	key, arg, _ := strings.Cut(value, ":")
	switch key {
	case "ice-ufrag":
		return set(&f.Ufrag, arg)
	case "ice-pwd":
		return set(&f.Pwd, arg)
	case "mid":
		*mid = strings.TrimSpace(arg)
	case "candidate":
		f.Candidates = append(f.Candidates, relay.Candidate{Mid: *mid, Line: value})
	}
	return nil
}

// set takes a credential. It may be repeated per section, but not changed: all is bundled.
func set(to *string, v string) error {
	v = strings.TrimSpace(v)
	for _, r := range v {
		if !iceChar(r) {
			return errors.New("a character that ICE credentials cannot have")
		}
	}
	if v == "" || (*to != "" && *to != v) {
		return errors.New("empty or differing ICE credentials")
	}
	*to = v
	return nil
}

// iceChar is the ice-char of RFC 8839 section 5.1.
func iceChar(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '+' || r == '/'
}

// formatFragment writes a fragment as a body.
func formatFragment(f relay.Fragment) string {
	var b strings.Builder
	fmt.Fprintf(&b, "a=ice-ufrag:%s\r\na=ice-pwd:%s\r\n", f.Ufrag, f.Pwd)
	mid := "\x00"
	for _, c := range f.Candidates {
		if c.Mid != mid {
			mid = c.Mid
			fmt.Fprintf(&b, "m=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:%s\r\n", mid)
		}
		fmt.Fprintf(&b, "a=%s\r\n", c.Line)
	}
	b.WriteString("a=end-of-candidates\r\n")
	return b.String()
}
