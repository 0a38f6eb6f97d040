package relay

import (
	"context"
	"strings"

	"github.com/pion/webrtc/v4"
	"golang.org/x/time/rate"
)

const (
	maxCandidates = 64  // of one fragment
	maxICELen     = 256 // characters of a ufrag or password, RFC 8839 section 5.4

	// Restarts of one session: a phone between two networks does a few in a row.
	maxRestarts   = 5
	restartsEvery = rate.Limit(0.5)
)

// Candidate applies a trickle ICE fragment (RFC 8840) or, if its credentials are new, restarts ICE.
func (r *Relay) Candidate(ctx context.Context, p Patch) (PatchResult, error) {
	s, err := r.find(p.Session, p.Viewer)
	if err != nil {
		return PatchResult{}, err
	}
	f := p.Fragment
	if len(f.Candidates) > maxCandidates || len(f.Ufrag) > maxICELen || len(f.Pwd) > maxICELen {
		return PatchResult{}, fail(CodeBadFragment, "more than %d candidates or oversized credentials", maxCandidates)
	}
	s.ice.Lock()
	offer, etag := s.offer, s.etag
	s.ice.Unlock()
	restart := f.Ufrag != "" && f.Ufrag != sdpValue(offer, "ice-ufrag")
	switch {
	case restart && p.ETag == "*":
		return s.restartICE(ctx, offer, f)
	case restart:
		return PatchResult{}, fail(CodeStale, "new ICE credentials need If-Match: *")
	case p.ETag != etag && p.ETag != "*":
		return PatchResult{}, fail(CodeStale, "the ICE session has another entity tag by now")
	}
	for _, c := range f.Candidates {
		if !s.remotes.take(c.Line) {
			continue // the viewer will reach us
		}
		mid := c.Mid
		err := s.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: c.Line, SDPMid: &mid})
		if err != nil {
			return PatchResult{}, &Error{Code: CodeBadFragment, Detail: "a candidate cannot be used", Err: err}
		}
	}
	return PatchResult{}, nil
}

// restartICE gives pion the last offer again with the new credentials, which is how it takes a restart.
func (s *session) restartICE(ctx context.Context, offer string, f Fragment) (PatchResult, error) {
	if f.Pwd == "" {
		return PatchResult{}, fail(CodeBadFragment, "an ICE restart needs ice-ufrag and ice-pwd")
	}
	if !s.restarts.Allow() {
		return PatchResult{}, fail(CodeTooFast, "ICE was restarted %d times in a moment: wait a little", maxRestarts)
	}
	text, err := s.negotiate(ctx, rewriteICE(offer, f))
	if err != nil {
		return PatchResult{}, err
	}
	s.ice.Lock()
	etag := s.etag
	s.ice.Unlock()
	s.log.Info("viewer restarted ICE")
	return PatchResult{Restarted: true, ETag: etag, Fragment: fragmentOf(text)}, nil
}

// rewriteICE replaces credentials and candidates of an SDP by those of f.
func rewriteICE(text string, f Fragment) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "a=ice-ufrag:"):
			line = "a=ice-ufrag:" + f.Ufrag + "\r\n"
		case strings.HasPrefix(line, "a=ice-pwd:"):
			line = "a=ice-pwd:" + f.Pwd + "\r\n"
		case strings.HasPrefix(line, "a=candidate:"), strings.HasPrefix(line, "a=end-of-candidates"):
			continue
		}
		b.WriteString(line)
		if strings.HasPrefix(line, "a=mid:") {
			mid := strings.TrimSpace(strings.TrimPrefix(line, "a=mid:"))
			for _, c := range f.Candidates {
				if c.Mid == mid {
					b.WriteString("a=" + c.Line + "\r\n")
				}
			}
		}
	}
	return b.String()
}

// fragmentOf returns the ICE part of an SDP. With BUNDLE the first section speaks for all.
func fragmentOf(text string) Fragment {
	f := Fragment{Ufrag: sdpValue(text, "ice-ufrag"), Pwd: sdpValue(text, "ice-pwd")}
	mid := sdpValue(text, "mid")
	seen := map[string]bool{}
	for line := range strings.Lines(text) {
		c, ok := strings.CutPrefix(strings.TrimSpace(line), "a=")
		if ok && strings.HasPrefix(c, "candidate:") && !seen[c] {
			seen[c] = true
			f.Candidates = append(f.Candidates, Candidate{Mid: mid, Line: c})
		}
	}
	return f
}
