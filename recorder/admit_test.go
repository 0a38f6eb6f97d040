package recorder_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"skein/internal/caller"
	"skein/recorder"
	"skein/recorder/segment"
)

// withInventory gives cam to edge-1 and yard to edge-2; phone publishes itself.
func withInventory(d *recorder.Deps) {
	withDocs(d)
	d.Keep = func(string) int { return 30 }
	d.Ships = func(n caller.Node, camera string) error {
		if (map[string]string{"cam": "edge-1", "yard": "edge-2", "phone": "gw"})[camera] != n.ID {
			return fmt.Errorf("camera %s is not node %s's", camera, n.ID)
		}
		return nil
	}
}

// recently is a whole second about an hour ago.
func recently() time.Time { return time.Now().UTC().Truncate(time.Second).Add(-time.Hour) }

// send sends a segment with a node's token and returns the status.
func (b *bed) send(token string, s sealed) int {
	b.t.Helper()
	q := b.request(s.m, s.data)
	q.Header.Set("Authorization", "Bearer "+token)
	status, _, _ := b.do(q)
	return status
}

func TestForgedSegmentsAreRefused(t *testing.T) {
	t.Parallel()
	b := newBed(t, recorder.Config{}, withInventory)
	list := chainFrom(t, "cam", recently(), 6)
	for _, s := range list[:4] {
		if status := b.send(token, s); status != 200 {
			t.Fatalf("segment %d: %d", s.m.Seq, status)
		}
	}
	now := time.Now().UTC().Truncate(time.Second)
	forged := func(camera string, seq uint64, start time.Time, change func(*segment.Manifest)) sealed {
		m, data := footage(t, camera, seq, start, 4)
		if change != nil {
			change(&m)
		}
		return sealed{m, data}
	}
	next := list[4].m.Start
	right := func(m *segment.Manifest) { m.Prev = list[3].m.SHA256 }
	cause := func(c segment.Cause) func(*segment.Manifest) {
		return func(m *segment.Manifest) {
			right(m)
			m.Gap = &segment.Gap{Range: segment.Range{From: m.Start.Add(-time.Second), To: m.Start}, Cause: c}
		}
	}
	for _, c := range []struct {
		name  string
		token string
		s     sealed
		want  int
	}{
		{"another site's camera", token, forged("yard", 1, next, nil), 403},
		{"an unknown camera", token, forged("no-such-camera-xyz", 1, next, nil), 403},
		{"its own camera, by another node", edge2Token, list[4], 403},
		{"its own camera, by a gateway", gatewayToken, list[4], 403},
		{"already stored, by another node", edge2Token, list[0], 403},
		{"of 2099", token, forged("cam", 5, time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC), right), 422},
		{"of 2099, far above", token, forged("cam", 4_000_000_000, time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC), nil), 422},
		{"six minutes ahead", token, forged("cam", 5, now.Add(6*time.Minute), right), 422},
		{"older than it is kept", token, forged("cam", 5, now.AddDate(0, 0, -38), right), 422},
		{"far above", token, forged("cam", 4_000_000_000, next, nil), 422},
		{"more than the index holds", token, forged("cam", 1<<41, next, nil), 422},
		{"it names another before it", token, forged("cam", 5, next, nil), 422},
		{"the next names another before it", token, forged("cam", 3, list[2].m.Start.Add(time.Second), func(m *segment.Manifest) {
			m.Prev = list[1].m.SHA256
		}), 409},
		{"a fork", token, forged("cam", 4, next, func(m *segment.Manifest) { m.Prev = list[2].m.SHA256 }), 409},
		{"a privacy pause", token, forged("cam", 5, next, cause(segment.CausePrivacy)), 422},
		{"planned work", token, forged("cam", 5, next, cause(segment.CausePlanned)), 422},
	} {
		if status := b.send(c.token, c.s); status != c.want {
			t.Errorf("%s: %d, want %d", c.name, status, c.want)
		}
	}
	b.want("after forgeries", 4)
	for _, s := range list { // again those that are there, and on
		if status := b.send(token, s); status != 200 {
			t.Errorf("segment %d afterwards: %d", s.m.Seq, status)
		}
	}
	b.want("at the end", 6)
}

// A segment whose successor is there must be the one that the successor names.
func TestASegmentFitsWhatFollows(t *testing.T) {
	t.Parallel()
	b := newBed(t, recorder.Config{}, withInventory)
	list := chainFrom(t, "cam", recently(), 4)
	for _, i := range []int{0, 3} {
		if status := b.send(token, list[i]); status != 200 {
			t.Fatal(status)
		}
	}
	m, data := footage(t, "cam", 3, list[2].m.Start.Add(time.Millisecond), 3)
	m.Prev = list[1].m.SHA256
	if status := b.send(token, sealed{m, data}); status != 422 {
		t.Errorf("a forged third before the fourth: %d", status)
	}
	for _, i := range []int{2, 1} {
		if status := b.send(token, list[i]); status != 200 {
			t.Errorf("segment %d: %d", i+1, status)
		}
	}
	b.want("whole", 4)
}

// What honest edges do, some of it odd, is taken.
func TestHonestChainsAreTaken(t *testing.T) {
	t.Parallel()
	at := recently()
	hour := func(t *testing.T, n int) []sealed { return chainFrom(t, "cam", at, n) }
	renumber := func(list []sealed, by uint64) []sealed { // as of an edge that has recorded long before
		for i := range list {
			list[i].m.Seq += by
			if i == 0 {
				list[i].m.Prev = segment.Hash{9}
			}
		}
		return list
	}
	for name, make := range map[string]func(t *testing.T) []sealed{
		"in order": func(t *testing.T) []sealed { return hour(t, 5) },
		"fresh first, then the backlog": func(t *testing.T) []sealed {
			l := hour(t, 8)
			return []sealed{l[0], l[1], l[6], l[7], l[2], l[3], l[4], l[5]}
		},
		"backwards": func(t *testing.T) []sealed {
			l := hour(t, 6)
			slices.Reverse(l)
			return l
		},
		"an edge that has recorded for years": func(t *testing.T) []sealed { return renumber(hour(t, 4), 1_000_000) },
		"an edge that lost its spool": func(t *testing.T) []sealed {
			return append(hour(t, 3), chainFrom(t, "cam", at.Add(15*time.Second), 3)...)
		},
		"an edge that lost its spool long ago": func(t *testing.T) []sealed {
			return append(hour(t, 3), chainFrom(t, "cam", at.Add(50*time.Minute), 3)...)
		},
		"a clock that was put back": func(t *testing.T) []sealed {
			l := hour(t, 4)
			for i := 2; i < 4; i++ {
				m, data := footage(t, "cam", uint64(i+1), at.Add(time.Duration(i-20)*4*time.Second), 4)
				m.Prev = l[i-1].m.SHA256
				l[i] = sealed{m, data}
			}
			return l
		},
		"a camera that was off for a while": func(t *testing.T) []sealed {
			l := hour(t, 2)
			m, data := footage(t, "cam", 3, at.Add(40*time.Minute), 4)
			m.Prev = l[1].m.SHA256
			m.Gap = &segment.Gap{Range: segment.Range{From: l[1].m.End(), To: m.Start}, Cause: segment.CauseCameraOff}
			return append(l, sealed{m, data})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, recorder.Config{}, withInventory)
			list := make(t)
			for range 2 { // each again: a receipt that was lost
				for i, s := range list {
					if status := b.send(token, s); status != 200 {
						t.Errorf("segment %d (number %d): %d", i, s.m.Seq, status)
					}
				}
			}
			b.want(name, len(list))
		})
	}
}

// A gap link bridges what the edge had to give up, and must fit the chain itself.
func TestGapLinksFitTheChain(t *testing.T) {
	t.Parallel()
	b := newBed(t, recorder.Config{}, withInventory)
	l := chainFrom(t, "cam", recently(), 8)
	for _, i := range []int{0, 1} {
		if status := b.send(token, l[i]); status != 200 {
			t.Fatal(status)
		}
	}
	link := func(first, last int) segment.GapDoc {
		d := gapOf("cam", l[first-1].m.Start, l[last-1].m.End().Sub(l[first-1].m.Start), segment.CauseSpoolFull)
		d.Lost = &segment.Lost{First: uint64(first), Last: uint64(last), Prev: l[first-1].m.Prev, SHA256: l[last-1].m.SHA256}
		return d
	}
	bad := link(3, 5)
	bad.Lost = &segment.Lost{First: 3, Last: 5, Prev: segment.Hash{7}, SHA256: bad.Lost.SHA256}
	if s := b.putGap("cam", bad.From, bad); s != 422 {
		t.Errorf("a link that does not follow segment 2: %d", s)
	}
	far := link(3, 5)
	far.Lost = &segment.Lost{First: 3, Last: 4_000_000_000, Prev: l[2].m.Prev, SHA256: segment.Hash{1}}
	if s := b.putGap("cam", far.From, far); s != 422 {
		t.Errorf("a link far above: %d", s)
	}
	if s := b.putGap("cam", l[2].m.Start, link(3, 5)); s != http.StatusNoContent {
		t.Fatalf("the right link: %d", s)
	}
	m, data := footage(t, "cam", 6, l[5].m.Start, 4)
	if status := b.send(token, sealed{m, data}); status != 422 {
		t.Errorf("a segment that does not follow the link: %d", status)
	}
	if status := b.send(token, l[5]); status != 200 {
		t.Errorf("the segment after the link: %d", status)
	}
}

// A gap document hides nothing that was recorded, and tells nothing that only people can.
func TestForgedGapsAreRefused(t *testing.T) {
	t.Parallel()
	b := newBed(t, recorder.Config{}, withInventory)
	l := chainFrom(t, "cam", recently(), 2)
	hole := segment.Range{From: l[1].m.Start.Add(time.Second), To: l[1].m.Start.Add(2 * time.Second)}
	l[1].m.Holes = []segment.Gap{{Range: hole, Cause: segment.CauseNetwork}}
	for _, s := range l {
		if status := b.send(token, s); status != 200 {
			t.Fatal(status)
		}
	}
	now := time.Now().UTC().Truncate(time.Second)
	inside := func(d segment.GapDoc) segment.GapDoc {
		d.Inside = true
		return d
	}
	due := func(d segment.GapDoc, in time.Duration) segment.GapDoc {
		d.Due = now.Add(in)
		return d
	}
	at := l[0].m.Start
	for _, c := range []struct {
		name string
		d    segment.GapDoc
		want int
	}{
		{"ten years, inside", inside(gapOf("cam", at, 9*365*24*time.Hour, segment.CausePrivacy)), 422},
		{"ten years", gapOf("cam", at, 9*365*24*time.Hour, segment.CauseNetwork), 422},
		{"a privacy pause", gapOf("cam", at, time.Second, segment.CausePrivacy), 422},
		{"planned work", gapOf("cam", at, time.Second, segment.CausePlanned), 422},
		{"inside, where there are pictures", inside(gapOf("cam", at, time.Second, segment.CauseNetwork)), 422},
		{"inside, as its manifest says", inside(gapOf("cam", l[1].m.Holes[0].From, time.Second, segment.CauseNetwork)), 204},
		{"inside, longer than its manifest says", inside(gapOf("cam", l[1].m.Holes[0].From, 2*time.Second, segment.CauseNetwork)), 422},
		{"inside, longer than the segment", inside(gapOf("cam", at, 5*time.Second, segment.CauseNetwork)), 422},
		{"inside, where there is none", inside(gapOf("cam", at.Add(-time.Minute), time.Second, segment.CauseNetwork)), 422},
		{"inside, and going on", due(inside(gapOf("cam", at, time.Second, segment.CauseNetwork)), time.Minute), 422},
		{"in an hour", gapOf("cam", now.Add(time.Hour), time.Minute, segment.CauseNetwork), 422},
		{"due tomorrow", due(gapOf("cam", now, time.Second, segment.CauseNetwork), 23*time.Hour), 422},
		{"before anything that is kept", gapOf("cam", now.AddDate(0, 0, -50), time.Hour, segment.CauseNetwork), 422},
		{"another site's camera", gapOf("yard", at, time.Second, segment.CauseNetwork), 403},
		{"an unknown camera", gapOf("nowhere", at, time.Second, segment.CauseNetwork), 403},
		{"the camera is off", due(gapOf("cam", now.Add(-time.Minute), time.Minute, segment.CauseCameraOff), 10*time.Minute), 204},
	} {
		if status := b.putGap(c.d.Camera, c.d.From, c.d); status != c.want {
			t.Errorf("%s: %d, want %d", c.name, status, c.want)
		}
	}
	if docs := b.rec.Gaps("cam", segment.Range{From: at.Add(-time.Hour), To: now}); len(docs) != 2 {
		t.Errorf("documents kept: %+v", docs)
	}
}

func TestGapDocumentsOfADayAreBounded(t *testing.T) {
	t.Parallel()
	b := newBed(t, recorder.Config{}, withDocs)
	day := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	for i := range 5000 { // without the network, which takes its time
		d := gapOf("cam", day.Add(time.Duration(i)*time.Second), time.Millisecond, segment.CauseNetwork)
		b.rec.NoteGap(d)
	}
	for from, want := range map[time.Time]int{
		day.Add(6000 * time.Second): 422, day.Add(7 * time.Second): 204, day.AddDate(0, 0, -1): 204,
	} {
		if s := b.putGap("cam", from, gapOf("cam", from, time.Millisecond, segment.CauseNetwork)); s != want {
			t.Errorf("%v: %d, want %d", from, s, want)
		}
	}
}

// Without an inventory a camera is the node's that ships it first, for every recorder of the archive, also after a
// restart.
func TestFirstContact(t *testing.T) {
	t.Parallel()
	b := newBed(t, recorder.Config{}, func(d *recorder.Deps) {
		withDocs(d)
		d.Ships = func(caller.Node, string) error { return recorder.ErrFirstContact }
	})
	list := chainFrom(t, "cam", recently(), 3)
	if status := b.send(token, list[0]); status != 200 {
		t.Fatal(status)
	}
	if status := b.send(edge2Token, list[1]); status != 403 {
		t.Errorf("another node: %d", status)
	}
	b.restart(func(d *recorder.Deps) { d.Docs = d.Store.(recorder.Documents) })
	if status := b.send(edge2Token, list[1]); status != 403 {
		t.Errorf("another node after a restart: %d", status)
	}
	if status := b.send(token, list[1]); status != 200 {
		t.Errorf("the same node after a restart: %d", status)
	}
	yard := chainFrom(t, "yard", recently(), 1)
	if status := b.send(edge2Token, yard[0]); status != 200 {
		t.Errorf("another camera of another node: %d", status)
	}
}
