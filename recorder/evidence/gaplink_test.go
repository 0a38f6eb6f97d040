package evidence_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skein/recorder/evidence"
	"skein/recorder/segment"
	"skein/recorder/store"
)

// giveUp takes segments first to last (from 1) away as an edge does that has no room for them, and leaves their gap link.
func (a *archive) giveUp(t *testing.T, camera string, first, last uint64) segment.GapDoc {
	t.Helper()
	list := a.chain[camera]
	d := a.gapLink(camera, first, last)
	for seq := first; seq <= last; seq++ {
		m := list[seq-1]
		if err := a.x.Remove(t.Context(), camera, m.Record(store.LocalShard)); err != nil {
			t.Fatal(err)
		}
		if err := a.Delete(t.Context(), store.LocalShard, m.Key()); err != nil {
			t.Fatal(err)
		}
	}
	a.putDoc(t, d)
	return d
}

func (a *archive) gapLink(camera string, first, last uint64) segment.GapDoc {
	list := a.chain[camera]
	d := segment.GapDoc{Camera: camera, Noted: list[last-1].End(), Lost: &segment.Lost{
		First: first, Last: last, Prev: list[first-1].Prev, SHA256: list[last-1].SHA256,
	}}
	d.Gap = segment.Gap{Cause: segment.CauseSpoolFull, Range: segment.Range{
		From: list[first-1].Start, To: list[last-1].End(),
	}}
	return d
}

func (a *archive) putDoc(t *testing.T, d segment.GapDoc) {
	t.Helper()
	doc, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.PutBlob(t.Context(), d.Name(), doc); err != nil {
		t.Fatal(err)
	}
}

// What the edge had to give up leaves a gap link, and verification passes over it and names it.
func TestChainOverGapLinks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		do      func(t *testing.T, a *archive)
		fault   evidence.Fault
		seq     uint64
		givenUp [][2]uint64
	}{
		{"a run", func(t *testing.T, a *archive) { a.giveUp(t, "cam", 4, 6) }, "", 0, [][2]uint64{{4, 6}}},
		{"the first of the chain", func(t *testing.T, a *archive) { a.giveUp(t, "cam", 1, 2) }, "", 0, [][2]uint64{{1, 2}}},
		{"the last", func(t *testing.T, a *archive) { a.giveUp(t, "cam", 9, 10) }, "", 0, [][2]uint64{{9, 10}}},
		{"all", func(t *testing.T, a *archive) { a.giveUp(t, "cam", 1, 10) }, "", 0, [][2]uint64{{1, 10}}},
		{"told twice, the second time with more", func(t *testing.T, a *archive) {
			d := a.giveUp(t, "cam", 4, 7)
			a.putDoc(t, a.gapLink("cam", 6, 7))
			a.putDoc(t, d)
		}, "", 0, [][2]uint64{{4, 7}, {6, 7}}},
		{"the receipt was lost: all came", func(t *testing.T, a *archive) {
			a.putDoc(t, a.gapLink("cam", 4, 6))
		}, "", 0, nil},
		{"the receipt of the middle was lost", func(t *testing.T, a *archive) {
			a.giveUp(t, "cam", 4, 4)
			a.giveUp(t, "cam", 6, 6)
			a.putDoc(t, a.gapLink("cam", 4, 6))
		}, "", 0, [][2]uint64{{4, 6}, {6, 6}}},
		{"one more is missing", func(t *testing.T, a *archive) {
			a.giveUp(t, "cam", 4, 6)
			if err := a.Delete(t.Context(), store.LocalShard, a.chain["cam"][6].Key()); err != nil {
				t.Fatal(err)
			}
		}, evidence.FaultMissing, 7, nil},
		{"the link does not follow", func(t *testing.T, a *archive) {
			d := a.giveUp(t, "cam", 4, 6)
			d.Lost.Prev[0] ^= 1
			a.putDoc(t, d)
		}, evidence.FaultOrder, 6, nil},
		{"what follows does not name the link", func(t *testing.T, a *archive) {
			d := a.giveUp(t, "cam", 4, 6)
			d.Lost.SHA256[0] ^= 1
			a.putDoc(t, d)
		}, evidence.FaultOrder, 7, nil},
		{"a checkpoint knows that the archive had it", func(t *testing.T, a *archive) {
			if _, err := a.keeper(keyOf(1)).Write(t.Context()); err != nil {
				t.Fatal(err)
			}
			a.giveUp(t, "cam", 8, 10)
		}, evidence.FaultCheckpoint, 10, nil},
		{"the link is damaged", func(t *testing.T, a *archive) {
			d := a.giveUp(t, "cam", 4, 6)
			if err := a.PutBlob(t.Context(), d.Name(), []byte(`{"camera":"cam"`)); err != nil {
				t.Fatal(err)
			}
		}, evidence.FaultMissing, 4, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := newArchive(t)
			a.record(t, "cam", 10)
			c.do(t, a)
			r := a.verify(t, "cam", public(keyOf(1)))
			if c.fault != "" {
				if r.Broken == nil || r.Broken.Fault != c.fault || r.Broken.Seq != c.seq {
					t.Fatalf("got %v, want %s at %d", r.Broken, c.fault, c.seq)
				}
				return
			}
			var got [][2]uint64
			for _, g := range r.GivenUp {
				got = append(got, [2]uint64{g.First, g.Last})
				if g.Cause != segment.CauseSpoolFull || !strings.Contains(g.String(), "spool_full") {
					t.Errorf("named as %v", g)
				}
			}
			if r.Broken != nil || len(got) != len(c.givenUp) {
				t.Fatalf("broken %v, given up %v, want %v", r.Broken, got, c.givenUp)
			}
			for i := range got {
				if got[i] != c.givenUp[i] {
					t.Errorf("given up %v, want %v", got, c.givenUp)
				}
			}
		})
	}
}

// A run that begins on the day before belongs to the proof of the day after, and one far away does not disturb it.
func TestGapLinkBeforeTheDay(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	a.record(t, "cam", 20)
	a.giveUp(t, "cam", 2, 3)
	a.giveUp(t, "cam", 8, 12)
	within := segment.Range{From: a.chain["cam"][9].Start, To: a.chain["cam"][9].Start.Add(24 * time.Hour)}
	r, err := evidence.VerifyCamera(t.Context(), a, a, "cam", within, evidence.Options{Content: true})
	if err != nil || r.Broken != nil || r.Segments != 8 || len(r.GivenUp) != 1 || r.GivenUp[0].First != 8 {
		t.Fatalf("%+v, %v, %v", r, r.Broken, err)
	}
}

// Downloaded footage with its gap links is proved without the archive.
func TestFilesWithGapLinks(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	a.record(t, "cam", 6)
	d := a.giveUp(t, "cam", 3, 4)
	doc, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "gap.json")
	if err := os.WriteFile(link, doc, 0o600); err != nil {
		t.Fatal(err)
	}
	footage := filepath.Join(a.root, "v1")
	r, err := evidence.VerifyFiles(evidence.Files{Footage: []string{footage, link}})
	if err != nil || r.Broken != nil || r.Segments != 4 || len(r.GivenUp) != 1 || r.GivenUp[0].Last != 4 {
		t.Fatalf("%+v, %v, %v", r, r.Broken, err)
	}
	r, err = evidence.VerifyFiles(evidence.Files{Footage: []string{footage}})
	if err != nil || r.Broken == nil || r.Broken.Fault != evidence.FaultMissing || r.Broken.Seq != 3 {
		t.Fatalf("without the link: %v, %v", r.Broken, err)
	}
}
