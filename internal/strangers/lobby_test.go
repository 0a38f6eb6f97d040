package strangers_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skein/internal/strangers"
)

// TestWhoGoesWhenPlacesAreShort walks through the rule.
func TestWhoGoesWhenPlacesAreShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := strangers.NewLobby(8, 3)
		out := map[string]bool{}
		enter := func(name, addr string) *strangers.Guest {
			g, _ := l.Enter(netip.MustParseAddr(addr), func() { out[name] = true })
			return g
		}
		want := func(names ...string) {
			t.Helper()
			if len(out) != len(names) {
				t.Errorf("out are %v, want %v", out, names)
			}
			for _, n := range names {
				if !out[n] {
					t.Errorf("%s stays", n)
				}
			}
		}

		// In a moment a source may have more than its share: players that come up together.
		var burst []*strangers.Guest
		for i := range 6 {
			burst = append(burst, enter(fmt.Sprint("burst", i), "10.0.0.1"))
		}
		want()
		if !burst[5].Leave() || burst[5].Leave() {
			t.Error("one that signed in leaves once")
		}
		time.Sleep(2 * time.Second)
		// Later its oldest goes, and nobody else's.
		enter("other", "10.0.0.2")
		enter("late", "::ffff:10.0.0.1") // the same source
		want("burst0")
		if burst[0].Leave() {
			t.Error("who was put out has a place to leave")
		}
		// An IPv6 network of one machine is one source.
		enter("six0", "2001:db8:1:2::1")
		enter("six1", "2001:db8:1:2:ffff::2%eth0")
		// All places are taken: the source with the most makes way.
		if n := l.Guests(); n != 8 {
			t.Errorf("%d guests, want 8", n)
		}
		enter("third", "10.0.0.3")
		want("burst0", "burst1")
		for range 8 {
			l.Evict()
		}
		if l.Guests() != 0 || l.Evict() || len(out) != 10 || out["burst5"] {
			t.Errorf("%d guests are left, out are %v", l.Guests(), out)
		}
	})
}

// TestRefusalsAreOneLine: a flood of them is told by its number.
func TestRefusalsAreOneLine(t *testing.T) {
	t.Parallel()
	var r strangers.Refusals
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	now := time.Now()
	for second := range 15 {
		for range 100 {
			r.Note("10.0.0.1:5", "said nothing")
		}
		r.Tell(now.Add(time.Duration(second)*time.Second), log, "refused")
	}
	if n := strings.Count(out.String(), "\n"); n != 2 {
		t.Errorf("%d lines in 15 s, want 2:\n%s", n, out.String())
	}
	if !strings.Contains(out.String(), "refused=1000 ") {
		t.Errorf("the second line does not count:\n%s", out.String())
	}
}
