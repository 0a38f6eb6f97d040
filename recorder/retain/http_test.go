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
