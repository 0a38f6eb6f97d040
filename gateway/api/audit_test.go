package api_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skein/gateway/access"
	"skein/gateway/api"
)

// A player asks for one clip in many ranges, as MP4 and as HLS: one act, with a row for its beginning and one for its
// end that tells what was sent. Another clip, or the same later, is another act.
func TestReadingIsOneAct(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	clip := span(-10*time.Minute, -9*time.Minute)
	if a := g.do(t, "officer", "GET", "/v1/clips/cam0.json?"+clip, ""); a.status != 200 { // times are no pictures: no row
		t.Fatalf("status %d", a.status)
	}
	for i := range 5 {
		if s := g.ranged(t, "officer", "/v1/clips/cam0.mp4?"+clip, fmt.Sprintf("bytes=%d-%d", i, i)); s != 206 {
			t.Fatalf("status %d", s)
		}
	}
	if a := g.do(t, "officer", "GET", "/v1/clips/cam0.m3u8?"+clip, ""); a.status != 200 {
		t.Fatalf("status %d", a.status)
	}
	playlist := len(g.do(t, "officer", "GET", "/v1/clips/cam0.m3u8?"+clip, "").body)
	g.ranged(t, "officer", "/v1/clips/cam0.mp4?"+span(-9*time.Minute, -8*time.Minute), "bytes=0-1")
	g.later.Store(int64(11 * time.Minute))
	g.ranged(t, "officer", "/v1/clips/cam0.mp4?"+clip, "bytes=0-1")
	rows := g.audit(t)
	if len(rows) != 5 {
		t.Fatalf("%d rows: %+v", len(rows), rows)
	}
	first, end := rows[0], rows[2]
	if first.Action != access.ActReplay || first.Outcome != access.Begun || first.Actor != "officer" ||
		first.Cameras[0] != "cam0" || !first.To.Equal(noon().Add(-9*time.Minute)) || first.Address == "" {
		t.Errorf("row %+v", first)
	}
	if end.Outcome != access.Done || end.Ref != 1 || end.Bytes != int64(5+2*playlist) || !end.From.Equal(first.From) {
		t.Errorf("its end %+v, want row 1 done with %d bytes", end, 5+2*playlist)
	}
	if rows[3].Ref != 2 || rows[3].Bytes != 2 || rows[4].Outcome != access.Begun {
		t.Errorf("the others %+v", rows[3:])
	}
}

// ranged gets a part of a resource.
func (g *gateway) ranged(t *testing.T, who, target, what string) int {
	t.Helper()
	r := httptest.NewRequest("GET", target, http.NoBody)
	r.Header.Set("Authorization", "Bearer "+token(who))
	r.Header.Set("Range", what)
	return g.send(t, r).status
}

// What the archive does not have was not looked at: the row says so.
func TestReadingNothing(t *testing.T) {
	t.Parallel()
	g := newGateway(t, func(g *gateway, o *api.Options) {
		o.Archive = g.part("archive", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"type":"x","title":"no footage","status":404}`)
		})
	})
	clip := "GET /v1/clips/cam0.mp4?" + span(-10*time.Minute, -9*time.Minute)
	if a := g.call(t, "officer", clip); a.status != 404 {
		t.Fatalf("status %d", a.status)
	}
	g.later.Store(int64(time.Hour))
	g.call(t, "officer", "GET /v1/clips/cam1.mp4?"+span(50*time.Minute, 51*time.Minute))
	if rows := g.audit(t); len(rows) != 3 || rows[1].Outcome != access.Failed || rows[1].Status != 404 || rows[1].Ref != 1 {
		t.Errorf("%+v", rows)
	}
}

func (g *gateway) call(t *testing.T, who, call string) answer {
	t.Helper()
	method, target, _ := strings.Cut(call, " ")
	return g.do(t, who, method, target, "")
}

// Taking footage away is an act of its own: a right, a registered reason, and rows for every time, with what was sent.
func TestDownloadIsAnActOfItsOwn(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	clip := "/v1/clips/cam0.mp4?" + span(-10*time.Minute, -9*time.Minute) + "&download=1"
	ret := decode[access.Retrieval](t, g.do(t, "investigator", "POST", "/v1/retrievals", fmt.Sprintf(
		`{"reason":"theft, case 17","cameras":["cam0"],"from":%q,"to":%q}`, at(-10*time.Minute), at(-9*time.Minute))))
	id := "&retrieval=" + ret.ID
	for _, tt := range []struct {
		name, who, target string
		status            int
	}{
		{"an officer may look, not take", "officer", clip, 403},
		{"nor may an operator", "operator", clip, 403},
		{"young footage is no exception", "investigator", clip, 403},
		{"nor is an admin", "admin", clip, 403},
		{"another's reason", "admin", clip + id, 403},
		{"under a reason", "investigator", clip + id, 200},
		{"again", "investigator", clip + id, 200},
	} {
		a := g.do(t, tt.who, "GET", tt.target, "")
		if a.status != tt.status {
			t.Errorf("%s: %d, want %d: %s", tt.name, a.status, tt.status, a.body)
		}
		if tt.name == "young footage is no exception" && !strings.Contains(a.body, "retrieval-required") {
			t.Errorf("%s: the problem's type does not tell: %s", tt.name, a.body)
		}
	}
	if s := g.ranged(t, "investigator", clip+id, "bytes=6-"); s != 206 { // goes on where it broke off
		t.Errorf("status %d", s)
	}
	var rows []string
	for i, e := range g.audit(t) {
		if e.Action == access.ActDownload {
			rows = append(rows, fmt.Sprint(i+1, " ", e.Actor, " ", e.Outcome, " ", e.Ref, " ", e.Bytes, " ", e.Retrieval == ret.ID))
		}
	}
	want := []string{
		"2 officer refused 0 0 false", "3 operator refused 0 0 false", "4 investigator refused 0 0 false",
		"5 admin refused 0 0 false", "6 admin refused 0 0 true",
		"7 investigator begun 0 0 true", "8 investigator done 7 10 true",
		"9 investigator begun 0 0 true", "10 investigator done 9 10 true",
		"11 investigator begun 0 0 true", "12 investigator done 11 4 true",
	}
	if fmt.Sprint(rows) != fmt.Sprint(want) {
		t.Errorf("rows\n%s\nwant\n%s", strings.Join(rows, "\n"), strings.Join(want, "\n"))
	}
}

// A download that the client breaks off is not done.
func TestDownloadThatBreaksOff(t *testing.T) {
	t.Parallel()
	var cancel context.CancelFunc
	g := newGateway(t, func(g *gateway, o *api.Options) {
		o.Archive = g.part("archive", func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "half")
			cancel()
		})
	})
	ret := decode[access.Retrieval](t, g.do(t, "investigator", "POST", "/v1/retrievals", fmt.Sprintf(
		`{"reason":"theft, case 17","cameras":["cam0"],"from":%q,"to":%q}`, at(-10*time.Minute), at(-9*time.Minute))))
	ctx, broken := context.WithCancel(t.Context())
	defer broken()
	cancel = broken
	r := httptest.NewRequestWithContext(ctx, "GET", "/v1/clips/cam0.mp4?"+span(-10*time.Minute, -9*time.Minute)+
		"&download=1&retrieval="+ret.ID, http.NoBody)
	r.Header.Set("Authorization", "Bearer "+token("investigator"))
	g.send(t, r)
	rows := g.audit(t)
	if end := rows[len(rows)-1]; end.Outcome != access.Failed || end.Bytes != 4 || end.Status != 499 {
		t.Errorf("%+v", end)
	}
}

// A part of a playlist stands in the log under the playlist's row; whoever has its address from elsewhere gets a row.
func TestPartsAreRecorded(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	part := fmt.Sprintf("GET /v1/clips/cam0/hls/%d-1-abc/0-1.m4s?t0=1", noon().Add(-10*time.Minute).UnixMilli())
	g.call(t, "officer", "GET /v1/clips/cam0.m3u8?"+span(-10*time.Minute, -9*time.Minute))
	for range 3 {
		if a := g.call(t, "officer", part); a.status != 200 {
			t.Fatalf("status %d", a.status)
		}
	}
	if rows := g.begun(t); len(rows) != 1 {
		t.Fatalf("%d rows, want the playlist's: %+v", len(rows), rows)
	}
	for range 3 {
		if a := g.call(t, "investigator", part); a.status != 200 {
			t.Fatalf("status %d", a.status)
		}
	}
	rows := g.begun(t)
	if len(rows) != 2 || rows[1].Actor != "investigator" || rows[1].From.After(noon().Add(-10*time.Minute)) {
		t.Fatalf("somebody else's parts: %+v", rows)
	}
	g.later.Store(int64(20 * time.Minute)) // the next day, so to speak: the address still opens it
	g.call(t, "officer", part)
	if rows := g.begun(t); len(rows) != 3 || rows[2].Actor != "officer" {
		t.Errorf("a part read later: %+v", rows)
	}
}

// A viewing ends, and its end tells from when to when a camera was watched; a tour that comes round again goes on.
func TestViewingsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var wall, single func(string) bool
		g := newGateway(t, func(gw *gateway, o *api.Options) {
			o.Whep = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/v1/walls" {
					wall = gw.Watch(r)
				} else {
					single = gw.Watch(r)
				}
				w.WriteHeader(http.StatusCreated)
			})
			o.Now = time.Now
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- g.Run(ctx) }()
		for len(g.audit(t)) == 0 { // the row that the gateway began
			time.Sleep(time.Millisecond)
		}
		began := time.Now()
		g.call(t, "officer", "POST /v1/walls")
		g.call(t, "officer", "POST /v1/whep/cam1?profile=sub")
		for i := range 200 { // as the relay asks: the single stream for 10 s, the wall's tour has cam0 every 40 s
			if i < 10 && !single("cam1") || i%40 < 10 && !wall("cam0") {
				t.Fatal("an officer may watch")
			}
			time.Sleep(time.Second)
		}
		stop() // the wall is still open
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		var rows []string
		for _, e := range g.audit(t) {
			row := fmt.Sprint(e.Action, " ", e.Outcome, " ", e.Ref)
			if len(e.Cameras) > 0 {
				row += " " + e.Cameras[0]
			}
			if e.Outcome == access.Done && !e.From.IsZero() {
				row += fmt.Sprint(" ", e.From.Sub(began).Round(time.Second), " ", e.To.Sub(began).Round(time.Second))
			}
			rows = append(rows, row)
		}
		want := []string{
			"service begun 0", "view begun 0 cam1", "view begun 0 cam0", "view done 2 cam1 0s 9s",
			"view done 3 cam0 0s 2m49s", "service done 1",
		}
		if fmt.Sprint(rows) != fmt.Sprint(want) {
			t.Errorf("rows\n%s\nwant\n%s", strings.Join(rows, "\n"), strings.Join(want, "\n"))
		}
	})
}

// Without the audit log nothing is opened, whichever door it is; people can log in and see states, and /readyz says that
// something is wrong until the log can be written again.
func TestNothingIsOpenedWithoutTheAuditLog(t *testing.T) {
	t.Parallel()
	var watch func(string) bool
	g := newGateway(t, func(gw *gateway, o *api.Options) {
		o.Whep = gw.part("whep", func(w http.ResponseWriter, r *http.Request) {
			watch = gw.Watch(r)
			w.WriteHeader(http.StatusCreated)
		})
	})
	if a := g.call(t, "officer", "POST /v1/walls"); a.status != 201 || !watch("cam0") {
		t.Fatalf("a wall before: %d", a.status)
	}
	g.took()
	g.a.Audit().Close() // as when the disk fails
	young := span(-10*time.Minute, 0)
	if a := g.call(t, "investigator", "GET /v1/clips/cam0.mp4?"+young); a.status != 503 { // the first to find out
		t.Fatalf("a clip: %d", a.status)
	}
	for call, want := range map[string]int{
		"GET /v1/clips/cam0.mp4?" + young: 503, "GET /v1/clips/cam0.m3u8?" + young: 503,
		fmt.Sprintf("GET /v1/clips/cam0/hls/%d-1-abc/0-1.m4s", noon().Add(-10*time.Minute).UnixMilli()): 503,
		"GET /v1/thumbnails/cam0.jpg?at=" + at(-time.Minute):                                            503,
		"GET /v1/snapshots/cam0.jpg": 503, "POST /v1/whep/cam0": 503, "POST /v1/walls": 503, "GET /readyz": 503,
		"GET /v1/cameras": 200, "GET /v1/me": 200, "GET /healthz": 200,
	} {
		if a := g.call(t, "investigator", call); a.status != want {
			t.Errorf("%s: %d, want %d", call, a.status, want)
		}
	}
	body := fmt.Sprintf(`{"reason":"theft","cameras":["cam0"],"from":%q,"to":%q}`, at(-time.Hour), at(0))
	if a := g.do(t, "investigator", "POST", "/v1/retrievals", body); a.status != 503 {
		t.Errorf("a retrieval: %d", a.status)
	}
	if a := g.call(t, "operator", "POST /v1/whip/cam0"); a.status != 503 {
		t.Errorf("a publication: %d", a.status)
	}
	if a := g.call(t, "root", "GET /debug/pprof/cmdline"); a.status != 503 {
		t.Errorf("the profiler: %d", a.status)
	}
	if a := g.do(t, "", "POST", "/v1/login", `{"user":"admin","password":"`+adminPassword+`"}`); a.status != 200 {
		t.Errorf("a login: %d", a.status)
	}
	if watch("cam1") {
		t.Error("a wall shows another camera that nobody has written down")
	}
	if !watch("cam0") {
		t.Error("what was written down before goes on")
	}
	if p := g.took(); len(p) != 0 {
		t.Errorf("opened: %v", p)
	}
}

// A log that could not be written is tried again, and a row tells since when it could not.
func TestTheAuditLogComesBack(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	dir := filepath.Join(g.dir, "audit")
	if err := os.RemoveAll(dir); err != nil { // so that its first file cannot be made
		t.Fatal(err)
	}
	if a := g.call(t, "officer", "POST /v1/whep/cam0"); a.status != 503 {
		t.Fatalf("status %d", a.status)
	}
	if a := g.call(t, "", "GET /readyz"); a.status != 503 {
		t.Fatalf("readyz %d", a.status)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- g.a.Run(ctx) }()
	for g.call(t, "", "GET /readyz").status != 200 {
		time.Sleep(10 * time.Millisecond)
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if rows := g.audit(t); len(rows) != 1 || !strings.Contains(rows[0].Detail, "rows refused: 1") {
		t.Errorf("%+v", rows)
	}
	if a := g.call(t, "officer", "POST /v1/whep/cam0"); a.status != 201 {
		t.Errorf("status %d", a.status)
	}
}

// What somebody tried in vain is a row, but nobody fills the disk with rows.
func TestRefusalsAreRows(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	for range 3 {
		for _, call := range []string{
			"GET /v1/clips/cam2.mp4?" + span(-time.Minute, 0), "GET /v1/snapshots/cam2.jpg", "POST /v1/whep/cam2",
		} {
			if a := g.call(t, "officer", call); a.status != 404 {
				t.Errorf("%s: %d", call, a.status)
			}
		}
	}
	rows := g.audit(t)
	if len(rows) != 3 {
		t.Errorf("%d rows, want one for each door: %+v", len(rows), rows)
	}
	for _, e := range rows {
		if e.Outcome != access.Refused || e.Cameras[0] != "cam2" || e.Actor != "officer" || e.Address == "" {
			t.Errorf("%+v", e)
		}
	}
	for i := range 500 {
		g.call(t, "officer", fmt.Sprintf("POST /v1/whep/cam%d", 1000+i))
	}
	if n := len(g.audit(t)); n > 100 {
		t.Errorf("%d rows of one who tries every name", n)
	}
}
