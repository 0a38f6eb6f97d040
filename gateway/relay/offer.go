package relay

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"

	"skein/edge/media"
)

// Bounds of an offer, against memory exhaustion.
const (
	maxOffer     = 64 << 10  // bytes; a browser's for one picture and sound has 7 kB
	maxWallOffer = 512 << 10 // bytes; a browser's for 64 pictures in every codec it has, 337 kB
	maxSections  = 160
)

// request is what a client's SDP offer asks for.
type request struct {
	video, audio []section // sections in which the client receives, in order
	data         bool      // a data channel

	sentVideo, sentAudio []section // sections in which the client sends, in order
}

// section is one m-line in which the client receives.
type section struct {
	mid        string
	codecs     []codecOffer
	extensions []string // URIs of header extensions
}

// codecOffer is one payload type of a section.
type codecOffer struct {
	payload  uint8
	name     string // upper case
	rate     int
	channels int
	fmtp     string
	feedback []string
}

// parseOffer reads what we need of a viewer's offer, which has most bytes at most. Errors are *Error with CodeBadOffer.
func parseOffer(text string, most int) (request, error) {
	r, err := parseSections(text, most)
	if err == nil && len(r.video)+len(r.audio) == 0 {
		err = fail(CodeBadOffer, "the offer has no section that receives video or audio")
	}
	return r, err
}

// parseSections reads the sections of an offer. Errors are *Error with CodeBadOffer.
func parseSections(text string, most int) (request, error) {
	var r request
	if len(text) > most {
		return r, fail(CodeBadOffer, "the offer is larger than %d bytes", most)
	}
	var d sdp.SessionDescription
	if err := d.UnmarshalString(text); err != nil {
		return r, &Error{Code: CodeBadOffer, Detail: "the body is no SDP", Err: err}
	}
	if len(d.MediaDescriptions) > maxSections {
		return r, fail(CodeBadOffer, "the offer has more than %d sections", maxSections)
	}
	for i, m := range d.MediaDescriptions {
		if err := checkSection(i, m, &d); err != nil {
			return r, err
		}
		kind := m.MediaName.Media
		if kind == "application" {
			r.data = true
			continue
		}
		if _, bundled := m.Attribute("bundle-only"); m.MediaName.Port.Value == 0 && !bundled {
			continue
		}
		if kind == "video" || kind == "audio" {
			r.add(kind == "video", m)
		}
	}
	return r, checkBundle(&d)
}

// checkSection tells what keeps a section from being answered.
func checkSection(i int, m *sdp.MediaDescription, d *sdp.SessionDescription) error {
	if setup, ok := attribute(m, d, "setup"); ok && setup == "passive" {
		return fail(CodeBadOffer, "the offer says a=setup:passive: use actpass, the gateway is the DTLS server")
	}
	if _, bundled := m.Attribute("bundle-only"); m.MediaName.Port.Value == 0 && !bundled {
		return nil
	}
	if mid, _ := m.Attribute(sdp.AttrKeyMID); mid == "" {
		return fail(CodeBadOffer, "section %d (%s) of the offer has no a=mid: every section needs one", i, m.MediaName.Media)
	}
	return nil
}

// checkBundle tells whether all sections can share one ICE session, which must have credentials and a fingerprint. One
// section alone shares with nobody and needs no group.
func checkBundle(d *sdp.SessionDescription) error {
	if len(d.MediaDescriptions) > 1 && !bundles(d) {
		return fail(CodeBadOffer, "the offer has no a=group:BUNDLE: offer all sections in one bundle, "+
			"the gateway has one transport a session")
	}
	if len(d.MediaDescriptions) == 0 {
		return nil
	}
	for _, key := range []string{"ice-ufrag", "ice-pwd", "fingerprint"} {
		if !slices.ContainsFunc(d.MediaDescriptions, func(m *sdp.MediaDescription) bool {
			_, ok := attribute(m, d, key)
			return ok
		}) {
			return fail(CodeBadOffer, "the offer has no a=%s: offer ICE and DTLS-SRTP", key)
		}
	}
	return nil
}

// bundles tells whether the offer groups sections into a bundle, RFC 9143 section 7.2.
func bundles(d *sdp.SessionDescription) bool {
	return slices.ContainsFunc(d.Attributes, func(a sdp.Attribute) bool {
		return a.Key == sdp.AttrKeyGroup && (a.Value == "BUNDLE" || strings.HasPrefix(a.Value, "BUNDLE "))
	})
}

// bundleAlone puts the only section of an offer without a bundle into one, for pion refuses (port 0) what is in none.
// alone tells that it did; the answer must not name a group that the offer lacks (RFC 5888 section 9.2): see unbundle.
func bundleAlone(offer string) (bundled string, alone bool) {
	if sdpValue(offer, "group") != "" {
		return offer, false
	}
	before, after, ok := strings.Cut(offer, "\nm=")
	if !ok {
		return offer, false
	}
	return before + "\na=group:BUNDLE " + sdpValue(offer, "mid") + "\r\nm=" + after, true
}

// unbundle takes the bundle out of an answer.
func unbundle(answer string) string {
	var b strings.Builder
	for line := range strings.Lines(answer) {
		if !strings.HasPrefix(line, "a=group:BUNDLE") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// receiveOnly makes the client of an offer a mere receiver: pion would answer sendrecv, which is the default too
// (RFC 8866 section 6.7), with sendrecv, although we take nothing from a viewer.
func receiveOnly(offer string) string {
	var b strings.Builder
	open := false // in a section of video or audio that has not told its direction
	tell := func() {
		if open {
			b.WriteString("a=recvonly\r\n")
		}
	}
	for line := range strings.Lines(offer) {
		text := strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(text, "m="):
			tell()
			open = strings.HasPrefix(text, "m=video ") || strings.HasPrefix(text, "m=audio ")
		case !open:
		case text == "a=sendrecv":
			continue
		case text == "a=recvonly", text == "a=sendonly", text == "a=inactive":
			open = false
		}
		b.WriteString(text + "\r\n")
	}
	tell()
	return b.String()
}

// add notes a section by what the client does in it.
func (q *request) add(video bool, m *sdp.MediaDescription) {
	s := readSection(m)
	in, out := &q.audio, &q.sentAudio
	if video {
		in, out = &q.video, &q.sentVideo
	}
	if !hasAttribute(m, sdp.AttrKeySendOnly, sdp.AttrKeyInactive) {
		*in = append(*in, s)
	}
	if !hasAttribute(m, sdp.AttrKeyRecvOnly, sdp.AttrKeyInactive) {
		*out = append(*out, s)
	}
}

func attribute(m *sdp.MediaDescription, d *sdp.SessionDescription, key string) (string, bool) {
	if v, ok := m.Attribute(key); ok {
		return v, true
	}
	return d.Attribute(key)
}

// hasAttribute reports whether the section has one of the attributes.
func hasAttribute(m *sdp.MediaDescription, keys ...string) bool {
	for _, a := range m.Attributes {
		if slices.Contains(keys, a.Key) {
			return true
		}
	}
	return false
}

func readSection(m *sdp.MediaDescription) section {
	var s section
	s.mid, _ = m.Attribute(sdp.AttrKeyMID)
	byPayload := map[uint8]*codecOffer{}
	for _, f := range m.MediaName.Formats {
		if pt, err := strconv.ParseUint(f, 10, 7); err == nil && byPayload[uint8(pt)] == nil {
			byPayload[uint8(pt)] = staticPayload(uint8(pt))
			s.codecs = append(s.codecs, codecOffer{payload: uint8(pt)})
		}
	}
	for _, a := range m.Attributes {
		if a.Key == "extmap" {
			if f := strings.Fields(a.Value); len(f) >= 2 {
				s.extensions = append(s.extensions, f[1])
			}
			continue
		}
		id, rest, _ := strings.Cut(a.Value, " ")
		pt, err := strconv.ParseUint(id, 10, 7)
		c := byPayload[uint8(pt)]
		if err != nil || c == nil {
			continue
		}
		readCodec(c, a.Key, strings.TrimSpace(rest))
	}
	for i := range s.codecs {
		s.codecs[i] = *byPayload[s.codecs[i].payload]
	}
	return s
}

func readCodec(c *codecOffer, key, value string) {
	switch key {
	case "rtpmap":
		f := strings.Split(value, "/")
		c.name = strings.ToUpper(f[0])
		if len(f) > 1 {
			c.rate, _ = strconv.Atoi(f[1])
		}
		if len(f) > 2 {
			c.channels, _ = strconv.Atoi(f[2])
		}
	case "fmtp":
		c.fmtp = value
	case "rtcp-fb":
		c.feedback = append(c.feedback, value)
	}
}

// staticPayload is the meaning of a payload type without rtpmap, RFC 3551 section 6.
func staticPayload(pt uint8) *codecOffer {
	c := &codecOffer{payload: pt}
	switch pt {
	case 0:
		c.name, c.rate = "PCMU", 8000
	case 8:
		c.name, c.rate = "PCMA", 8000
	}
	return c
}

// param returns one parameter of the format, or "".
func (c *codecOffer) param(key string) string {
	for p := range strings.SplitSeq(c.fmtp, ";") {
		k, v, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(k, key) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// pick returns the best payload type of the section for a codec. For H.264, packetization-mode 1 (RFC 6184 section 6.2)
// comes first, then the profile of sps (which may be nil), then the order of the offer: decoders follow the parameter
// sets in the stream, whatever profile was agreed on.
func (s *section) pick(codec media.Codec, sps []byte) (codecOffer, bool) {
	best, score := codecOffer{}, -1
	for _, c := range s.codecs {
		if c.name != codec.String() {
			continue
		}
		n := 0
		if codec == media.H264 {
			if c.param("packetization-mode") == "1" {
				n += 2
			}
			if len(sps) > 1 && strings.EqualFold(prefix(c.param("profile-level-id"), 2), hexByte(sps[1])) {
				n++
			}
		}
		if n > score {
			best, score = c, n
		}
	}
	return best, score >= 0
}

func prefix(s string, n int) string { return s[:min(n, len(s))] }

func hexByte(b byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[b>>4], digits[b&15]})
}

// names lists the codecs of the section for error messages.
func (s *section) names() string {
	var out []string
	seen := map[string]bool{}
	for _, c := range s.codecs {
		if c.name != "" && c.name != "RTX" && c.name != "RED" && c.name != "ULPFEC" && !seen[c.name] {
			seen[c.name] = true
			out = append(out, c.name)
		}
	}
	return strings.Join(out, ", ")
}
