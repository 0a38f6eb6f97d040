package retain_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"skein/internal/caller"
	"skein/internal/ledger"
	"skein/recorder/guard"
	"skein/recorder/retain"
	"skein/recorder/segment"
	"skein/recorder/store"
)

func ask(t *testing.T, h http.Handler, method, path, body string, into any) int {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	if into != nil {
		if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
			t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
	}
	return w.Code
}

// Over the network a lock is that of the person for whom the gateway asks, and ends within three years; setting and ending
// it are rows before they are done.
func TestALockIsThePersonsForWhomTheGatewayAsks(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	locks := &retain.Locks{Docs: a, Now: func() time.Time { return a.now }}
	dir := t.TempDir()
	door, err := guard.Open(guard.Options{Dir: dir, Nodes: []guard.Credential{
		{Node: caller.Node{ID: "gw", Kind: caller.Gateway}, Token: "gateway-token"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer door.Close()
	h := door.Act(retain.NewHandler(locks, nil))
	do := func(method, path, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer gateway-token")
		r.Header.Set(caller.Header, caller.Person{Name: "li", Role: "investigator"}.Encode())
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	lock := func(until time.Time) string {
		return fmt.Sprintf(`{"cameras":["cam"],"from":%q,"to":%q,"reason":"theft","owner":"chief","until":%q}`,
			a.now.Add(-time.Hour).Format(time.RFC3339), a.now.Format(time.RFC3339), until.Format(time.RFC3339))
	}
	if w := do(http.MethodPost, "/v1/locks", lock(time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC))); w.Code != 422 {
		t.Errorf("a lock until 2100: %d %s", w.Code, w.Body)
	}
	var l retain.LockBody
	w := do(http.MethodPost, "/v1/locks", lock(a.now.AddDate(0, 1, 0)))
	if err := json.Unmarshal(w.Body.Bytes(), &l); err != nil || w.Code != 201 || l.Owner != "li" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w := do(http.MethodDelete, "/v1/locks/"+l.ID+"?reason=closed", ""); w.Code != 204 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	var rows []string
	if _, err := ledger.Verify(dir, func(e ledger.Entry) error {
		var r guard.Row
		err := json.Unmarshal(e.Body, &r)
		rows = append(rows, fmt.Sprint(r.Action, " ", r.Outcome, " ", r.Actor, " ", r.Node, " ", r.Cameras))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	want := []string{"lock refused li gw [cam]", "lock done li gw [cam]", "unlock done li gw [cam]"}
	if !slices.Equal(rows, want) {
		t.Errorf("rows %q, want %q", rows, want)
	}
	if err := door.Close(); err != nil {
		t.Fatal(err)
	}
	if w := do(http.MethodPost, "/v1/locks", lock(a.now.AddDate(0, 1, 0))); w.Code != 503 {
		t.Errorf("a lock without a row: %d %s", w.Code, w.Body)
	}
	if list, err := locks.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("locks %+v %v", list, err)
	}
}

// Footage locked over HTTP outlives its class and the byte cap, in a store that holds objects itself; released, it goes.
func TestLockedOverHTTPSurvives(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	list := a.fill(t, "cam", 10)
	locks := &retain.Locks{
		Docs: a, Finder: a.x, Holder: a, Now: func() time.Time { return a.now },
		Unsupported: func(err error) bool { return errors.Is(err, store.ErrUnsupported) },
	}
	h := retain.NewHandler(locks, nil)
	body := func(until time.Time) string {
		return fmt.Sprintf(`{"cameras":["cam"],"from":%q,"to":%q,"reason":"theft","case":"A-1","owner":"li","until":%q}`,
			list[3].Start.Format(time.RFC3339Nano), list[5].End().Format(time.RFC3339Nano), until.Format(time.RFC3339Nano))
	}
	var l retain.LockBody
	if code := ask(t, h, http.MethodPost, "/v1/locks", body(a.now.Add(100*24*time.Hour)), &l); code != 201 || l.ID == "" ||
		!l.Active || l.Case != "A-1" || l.Warning != "" {
		t.Fatalf("%d %+v", code, l)
	}
	k := a.keeper(t, func(o *retain.Options) {
		o.Guard, o.Policy = locks, func(string) int { return 3 }
	})
	if r := sweep(t, k); r.Deleted != 7 || r.Locked < 3 {
		t.Fatalf("%+v", r)
	}
	if got := a.seqs(t, "cam"); !slices.Equal(got, from(4, 6)) {
		t.Fatalf("left %v", got)
	}
	left, err := a.x.Range(t.Context(), "cam", segment.Range{From: list[3].Start, To: list[3].End()})
	if err != nil || len(left) == 0 {
		t.Fatal(left, err)
	}
	if r, err := k.Evict(t.Context(), "cam", left[:1]); err != nil || r.Deleted != 0 || r.Locked != 1 {
		t.Fatalf("making room: %+v %v", r, err)
	}
	var all struct{ Locks []retain.LockBody }
	if code := ask(t, h, http.MethodGet, "/v1/locks", "", &all); code != 200 || len(all.Locks) != 1 || all.Locks[0].ID != l.ID {
		t.Fatalf("%d %+v", code, all)
	}
	if code := ask(t, h, http.MethodDelete, "/v1/locks/"+l.ID, "", nil); code != 204 {
		t.Fatal(code)
	}
	if r := sweep(t, k); r.Deleted != 3 || len(a.seqs(t, "cam")) != 0 {
		t.Fatalf("%+v", r)
	}
	for _, c := range []struct {
		method, path, body string
		code               int
	}{
		{http.MethodDelete, "/v1/locks/" + l.ID, "", 404},
		{http.MethodDelete, "/v1/locks/..%2f..%2ftombstones", "", 404},
		{http.MethodPost, "/v1/locks", "{", 400},
		{http.MethodPost, "/v1/locks", body(a.now.Add(-time.Hour)), 422},
		{http.MethodPut, "/v1/locks", "", 405},
	} {
		if code := ask(t, h, c.method, c.path, c.body, nil); code != c.code {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, code, c.code)
		}
	}
}
