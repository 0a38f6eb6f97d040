package repeats

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sink is a thinned log under a clock of its own.
type sink struct {
	*slog.Logger
	b   bytes.Buffer
	now time.Time
}

func newSink() *sink {
	s := &sink{now: time.Unix(1e9, 0)}
	h := slog.NewTextHandler(&s.b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	s.Logger = slog.New(thin(h, func() time.Time { return s.now }))
	return s
}

// lines returns what was written since the last call.
func (s *sink) lines() []string {
	out := strings.Split(strings.TrimSuffix(s.b.String(), "\n"), "\n")
	s.b.Reset()
	if len(out) == 1 && out[0] == "" {
		return nil
	}
	return out
}

func TestRepeatsAreTheSameWords(t *testing.T) {
	t.Parallel()
	s := newSink()
	for i := range 10 {
		log := s.With("camera", fmt.Sprint("cam", i%2))
		log.Error("not sealed", "err", fmt.Errorf("attempt %d", i), "try", i, "file", fmt.Sprint("f", i))
		log.Info("told each time")
	}
	s.Warn("configuration", "look_at", "one thing")
	s.Warn("configuration", "look_at", "another")
	s.Warn("not sealed", "camera", "cam0")
	if got := s.lines(); len(got) != 2+10+2+1 {
		t.Errorf("%d lines:\n%s", len(got), strings.Join(got, "\n"))
	}
	s.now = s.now.Add(Every)
	s.With("camera", "cam0").Error("not sealed", "try", 11)
	if got := s.lines(); len(got) != 1 || !strings.Contains(got[0], "repeats=4") || !strings.Contains(got[0], "try=11") {
		t.Errorf("after a while: %q", got)
	}
	s.now = s.now.Add(Every)
	s.With("camera", "cam0").Error("not sealed")
	if got := s.lines(); len(got) != 1 || strings.Contains(got[0], "repeats") {
		t.Errorf("not repeated meanwhile: %q", got)
	}
}

// A full disk is one fault, however many cameras meet it.
func TestAFullDiskIsOneKind(t *testing.T) {
	t.Parallel()
	s := newSink()
	for i := range 4763 {
		s.now = s.now.Add(8 * time.Millisecond)
		s.With("camera", fmt.Sprint("cam", i%77)).Error("not sealed", "err", fmt.Errorf("write: %w", syscall.ENOSPC))
	}
	if got := s.lines(); len(got) != 1 {
		t.Errorf("%d lines in 38 s: %q", len(got), got)
	}
	s.now = s.now.Add(Every)
	s.Error("not sealed", "err", fmt.Errorf("write: %w", errors.Join(errors.New("close"), syscall.EDQUOT)))
	if got := s.lines(); len(got) != 1 || !strings.Contains(got[0], "repeats=4762") {
		t.Errorf("%q", got)
	}
}

// Memory is bounded, and what is not remembered is written.
func TestManyKinds(t *testing.T) {
	t.Parallel()
	s := newSink()
	for i := range 3 * remembered {
		s.Error("kind", "name", fmt.Sprint(i))
	}
	if n := len(s.lines()); n != 3*remembered {
		t.Errorf("%d lines", n)
	}
	h, ok := s.Handler().(*handler)
	if !ok || len(h.t.kinds) > remembered {
		t.Errorf("%d kinds remembered", len(h.t.kinds))
	}
}
