package relay

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/time/rate"
)

// Bounds of what a viewer's offer makes the relay do and keep.
const (
	// maxTrimmed is how many bytes of an offer are given to pion and kept for each section; a browser's take 800 of them.
	maxTrimmed = 2 << 10
	// maxRemotes is how many of a viewer's addresses the relay sends checks to, about eight packets each. Viewers reach
	// the relay by their own checks: it must not know more of them.
	maxRemotes = 20
	// remotesEvery lets a session that lasts learn of others, as when a phone changes its network.
	remotesEvery = rate.Limit(1.0 / 3)
	// maxChecked is from how many addresses more checks may come in a session's life.
	maxChecked = 64
	// minPort keeps the relay from being sent against a machine's DNS, NTP or SNMP: no viewer receives there.
	minPort = 1024
)

// keptAttributes are those of a section that mean something to pion or to us.
var keptAttributes = []string{ //nolint:gochecknoglobals // constant
	"mid", "sendrecv", "recvonly", "sendonly", "inactive", "setup", "fingerprint", "ice-ufrag", "ice-pwd", "ice-options",
	"ice-lite", "rtcp-mux", "rtcp-mux-only", "rtcp-rsize", "bundle-only", "group", "sctp-port", "sctpmap",
	"max-message-size", "end-of-candidates", "extmap-allow-mixed",
}

// trimmer takes out of an offer what a session does not need: what pion is given it keeps, parsed and as it came. Of a
// browser's 337 kB for a wall of 64 pictures some 30 stay.
type trimmer struct {
	// payloads are those that are sent; nil: all.
	payloads []string
}

// trim returns what is needed of offer, with the candidates that are taken. Errors are *Error with CodeBadOffer.
func (t trimmer) trim(offer string, r *remotes) (string, error) {
	var b strings.Builder
	var payloads []string // of this section that stay; nil: all
	sections := 0
	for line := range strings.Lines(offer) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "m="):
			line, payloads = t.section(line)
			sections++
		case strings.HasPrefix(line, "a=candidate:"):
			if sections > 1 || !r.take(line[2:]) { // those of the first section are those of the bundle
				continue
			}
		case strings.HasPrefix(line, "a=") && !t.keeps(line[2:], payloads):
			continue
		}
		b.WriteString(line)
		b.WriteString("\r\n")
	}
	if most := maxTrimmed * (sections + 2); b.Len() > most {
		return "", fail(CodeBadOffer, "of the offer %d bytes would have to be kept, more than %d", b.Len(), most)
	}
	return b.String(), nil
}

// section takes the payload types out of an m-line that are not sent, and returns those that stay, nil for all.
func (t trimmer) section(line string) (trimmed string, payloads []string) {
	f := strings.Fields(line)
	if t.payloads == nil || len(f) < 4 || f[0] != "m=video" && f[0] != "m=audio" {
		return line, nil
	}
	for _, p := range f[3:] {
		if slices.Contains(t.payloads, p) {
			payloads = append(payloads, p)
		}
	}
	if payloads == nil {
		return line, nil // pion refuses the section, as it is to
	}
	return strings.Join(append(f[:3], payloads...), " "), payloads
}

// keeps tells whether an attribute is needed.
func (t trimmer) keeps(attribute string, payloads []string) bool {
	key, value, _ := strings.Cut(attribute, ":")
	switch key {
	case "rtpmap", "fmtp", "rtcp-fb":
		payload, _, _ := strings.Cut(value, " ")
		return payloads == nil || payload == "*" || slices.Contains(payloads, payload)
	case "extmap":
		f := strings.Fields(value)
		return t.payloads == nil || len(f) > 1 && (f[1] == playoutDelayURI || f[1] == transportWideURI)
	case "ssrc", "ssrc-group", "msid", "rid", "simulcast":
		return t.payloads == nil
	}
	return slices.Contains(keptAttributes, key)
}

// remotes decides which candidates of a viewer the relay sends checks to.
type remotes struct {
	limit    *rate.Limiter
	loopback bool // the relay itself is to be reached there only
}

// newRemotes returns the rule for a relay with that address.
func newRemotes(local net.Addr) *remotes {
	a, ok := local.(*net.UDPAddr)
	return &remotes{limit: rate.NewLimiter(remotesEvery, maxRemotes), loopback: ok && a.IP.IsLoopback()}
}

// take tells whether checks are sent to a candidate ("candidate:…", RFC 8839 section 5.1): a UDP address of one
// machine. Over TCP viewers dial us, names (of mDNS) need not be resolved.
func (r *remotes) take(line string) bool {
	f := strings.Fields(line)
	if len(f) < 8 || !strings.EqualFold(f[2], "udp") {
		return false
	}
	ip, err := netip.ParseAddr(f[4])
	if err != nil {
		return false
	}
	ip = ip.Unmap()
	port, err := strconv.ParseUint(f[5], 10, 16)
	if err != nil || port < minPort {
		return false
	}
	one := ip.IsGlobalUnicast() || ip.IsLinkLocalUnicast() || ip.IsLoopback() && r.loopback
	return one && r.limit.Allow()
}
