package guard_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skein/internal/caller"
	"skein/internal/ledger"
	"skein/recorder/guard"
)

const (
	edgeToken    = "token-of-an-edge"
	gatewayToken = "token-of-a-gateway"
	recToken     = "token-of-a-recorder"
)

func open(t *testing.T, dir string) *guard.Guard {
	t.Helper()
	g, err := guard.Open(guard.Options{Dir: dir, Nodes: []guard.Credential{
		{Node: caller.Node{ID: "edge-1", Kind: caller.Edge}, Token: edgeToken},
		{Node: caller.Node{ID: "gw", Kind: caller.Gateway}, Token: gatewayToken},
		{Node: caller.Node{ID: "rec", Kind: caller.Recorder}, Token: recToken},
		{Node: caller.Node{ID: "none", Kind: caller.Gateway}}, // a node without a token is nobody
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	return g
}

func rows(t *testing.T, g *guard.Guard, dir string) []guard.Row {
	t.Helper()
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	var out []guard.Row
	if _, err := ledger.Verify(dir, func(e ledger.Entry) error {
		var r guard.Row
		if err := json.Unmarshal(e.Body, &r); err != nil {
			return err
		}
		out = append(out, r)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// ask sends a request through a door and returns the status; reached tells whether it came through.
func ask(h func(http.Handler) http.Handler, token, person, target string) (status int, reached bool) {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if person != "" {
		r.Header.Set(caller.Header, person)
	}
	w := httptest.NewRecorder()
	h(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true })).ServeHTTP(w, r)
	return w.Code, reached
}

func TestEachKindOfNodeHasItsDoors(t *testing.T) {
	t.Parallel()
	g := open(t, t.TempDir())
	li := caller.Person{Name: "li", Role: "investigator"}.Encode()
	const clip = "/v1/clips/cam.mp4?from=2026-11-30T10:00:00Z&to=2026-11-30T10:01:00Z"
	for _, c := range []struct {
		door                string
		h                   func(http.Handler) http.Handler
		none, edge, gateway int
		recorder, nobody    int // nobody: a gateway that names no person
	}{
		{"ship", g.Ship, 401, 200, 200, 403, 200},
		{"ask", g.Ask, 401, 403, 200, 403, 200},
		{"act", g.Act, 401, 403, 200, 403, 403},
		{"footage", g.Footage, 401, 403, 200, 403, 403},
	} {
		for _, r := range []struct {
			who, token, person string
			want               int
		}{
			{"nobody", "", li, c.none}, {"a stranger", "x", li, c.none}, {"an edge", edgeToken, li, c.edge},
			{"a gateway", gatewayToken, li, c.gateway}, {"a recorder", recToken, li, c.recorder},
			{"a gateway that names nobody", gatewayToken, "", c.nobody},
			{"a gateway that names nonsense", gatewayToken, "e30=", c.nobody},
		} {
			if got, reached := ask(c.h, r.token, r.person, clip); got != r.want || reached != (r.want == 200) {
				t.Errorf("%s, %s: %d, reached %v, want %d", c.door, r.who, got, reached, r.want)
			}
		}
	}
	var none *guard.Guard
	if got, _ := ask(none.Footage, gatewayToken, li, clip); got != 401 {
		t.Errorf("without a guard: %d", got)
	}
}

func TestWhatIsReadAndRefusedIsARow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	g := open(t, dir)
	li := caller.Person{Name: "李", Kind: "user", Role: "investigator", Unit: "yf", Address: "10.0.0.7", Retrieval: "r-1"}.Encode()
	const span = "?from=2026-11-30T10:00:00Z&to=2026-11-30T10:01:00Z"
	for _, target := range []string{
		"/v1/clips/cam.mp4" + span, "/v1/clips/cam.mp4" + span, "/v1/clips/cam.m3u8?from=2026-11-30T11:00:00Z&to=2026-11-30T11:01:00Z",
		"/v1/clips/cam/hls/1764493200000-1-2-3/0-1.m4s", "/v1/clips/cam/hls/1764493230000-1-2-3/0-1.m4s",
		"/v1/thumbnails/cam.jpg?at=2026-11-30T10:00:00Z", "/v1/thumbnails/cam.jpg?at=2026-11-30T10:20:00Z",
		"/v1/coverage" + span + "&camera=cam",
	} {
		if status, _ := ask(g.Footage, gatewayToken, li, target); status != 200 {
			t.Fatalf("%s: %d", target, status)
		}
	}
	for range 500 {
		if status, _ := ask(g.Footage, edgeToken, li, "/v1/clips/cam1.mp4"+span); status != 403 {
			t.Fatal(status)
		}
	}
	got := rows(t, g, dir)
	var done, refused []guard.Row
	for _, r := range got {
		if r.Outcome == guard.OutcomeDone {
			done = append(done, r)
		} else {
			refused = append(refused, r)
		}
	}
	if len(done) != 4 { // the same clip again, the parts and the pictures of one hour are one act
		t.Errorf("%d rows of what was read, want 4: %+v", len(done), done)
	}
	for _, r := range done {
		if r.Actor != "李" || r.Kind != "user" || r.Node != "gw" || r.NodeKind != caller.Gateway || r.Address != "10.0.0.7" ||
			len(r.Cameras) != 1 || r.Cameras[0] != "cam" || r.From.IsZero() || !r.From.Before(r.To) || r.Retrieval != "r-1" {
			t.Errorf("row %+v", r)
		}
	}
	if len(refused) < 20 || len(refused) > 60 {
		t.Errorf("%d rows about 500 refusals, want some 20", len(refused))
	}
	if r := refused[0]; r.Actor != "edge-1" || r.Kind != "node" || r.NodeKind != caller.Edge || r.Action != guard.ActionClip ||
		r.Cameras[0] != "cam1" || !strings.Contains(r.Detail, "gateway only") || r.Address == "" {
		t.Errorf("row %+v", r)
	}
}

func TestNothingIsReadThatCannotBeRecorded(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "audit")
	g := open(t, dir)
	li := caller.Person{Name: "li"}.Encode()
	if err := g.Ready(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil { // no file can be begun there
		t.Fatal(err)
	}
	const clip = "/v1/clips/cam.mp4?from=2026-11-30T10:00:00Z&to=2026-11-30T10:01:00Z"
	if status, reached := ask(g.Footage, gatewayToken, li, clip); status != 503 || reached {
		t.Errorf("read without a row: %d, reached %v", status, reached)
	}
	if status, reached := ask(g.Ship, edgeToken, "", "/v1/ingest/segments/cam/1"); status != 200 || !reached {
		t.Errorf("recording must go on: %d, reached %v", status, reached)
	}
	if err := g.Ready(); err == nil {
		t.Error("ready without an audit log")
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := g.Ready(); err != nil {
		t.Errorf("the folder is back: %v", err)
	}
	if status, _ := ask(g.Footage, gatewayToken, li, clip); status != 200 {
		t.Errorf("read again: %d", status)
	}
}
