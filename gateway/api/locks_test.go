package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"skein/gateway/access"
	"skein/gateway/api"
)

// register answers like a recorder's register of locks.
type register struct {
	mu    sync.Mutex
	locks []map[string]any
	down  bool
}

func (b *register) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	switch r.Method {
	case http.MethodGet:
		_ = json.NewEncoder(w).Encode(map[string]any{"locks": b.locks})
	case http.MethodPost:
		var l map[string]any
		if err := json.NewDecoder(r.Body).Decode(&l); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		l["id"], l["active"], l["created"] = fmt.Sprintf("lock%d", len(b.locks)), true, noon()
		b.locks = append(b.locks, l)
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(l)
	case http.MethodDelete:
		id := strings.TrimPrefix(r.URL.Path, "/v1/locks/")
		b.locks = slices.DeleteFunc(b.locks, func(l map[string]any) bool { return l["id"] == id })
		w.WriteHeader(http.StatusNoContent)
	}
}

func lockBody(cameras string, until time.Duration) string {
	return fmt.Sprintf(`{"cameras":[%s],"from":%q,"to":%q,"reason":"theft at the market","case":"A-17","until":%q}`, cameras,
		noon().Add(-2*time.Hour).Format(time.RFC3339), noon().Add(-time.Hour).Format(time.RFC3339),
		noon().Add(until).Format(time.RFC3339))
}

// Who may lock what, what is refused, and that every act has its row.
func TestLocks(t *testing.T) {
	t.Parallel()
	book := &register{}
	g := newGateway(t, func(g *gateway, o *api.Options) { o.Archive = book })
	const week = 7 * 24 * time.Hour
	for _, tt := range []struct {
		name, who, body string
		status          int
	}{
		{"officer", "officer", lockBody(`"cam0"`, week), 403},
		{"auditor", "auditor", lockBody(`"cam0"`, week), 403},
		{"outside of the scope", "investigator", lockBody(`"cam0","cam2"`, week), 404},
		{"unknown", "admin", lockBody(`"nothing"`, week), 404},
		{"no camera", "admin", lockBody(``, week), 422},
		{"ended", "admin", lockBody(`"cam0"`, -week), 422},
		{"for ever", "admin", lockBody(`"cam0"`, 5000*24*time.Hour), 422},
		{"no reason", "admin", strings.Replace(lockBody(`"cam0"`, week), "theft at the market", " ", 1), 422},
		{"empty range", "admin", strings.Replace(lockBody(`"cam0"`, week), "T10:00", "T11:00", 1), 422},
		{"investigator", "investigator", lockBody(`"cam0","cam1","cam0"`, week), 201},
		{"admin", "admin", lockBody(`"cam2","cam1"`, week), 201},
	} {
		if a := g.do(t, tt.who, "POST", "/v1/locks", tt.body); a.status != tt.status {
			t.Errorf("%s: %d, want %d: %s", tt.name, a.status, tt.status, a.body)
		}
	}
	list := func(who string) []string {
		var ids []string
		for _, l := range decode[struct {
			Locks []struct {
				ID, Owner string
				Cameras   []string
			}
		}](t, g.do(t, who, "GET", "/v1/locks", "")).Locks {
			ids = append(ids, l.ID+fmt.Sprint(l.Cameras)+l.Owner)
		}
		return ids
	}
	if got := fmt.Sprint(list("admin")); got != "[lock0[cam0 cam1]investigator lock1[cam2 cam1]admin]" {
		t.Errorf("admin sees %s", got)
	}
	if got := fmt.Sprint(list("investigator")); got != "[lock0[cam0 cam1]investigator lock1[cam1]admin]" {
		t.Errorf("investigator sees %s", got)
	}
	for _, tt := range []struct {
		who, target string
		status      int
	}{
		{"officer", "/v1/locks/lock0?reason=closed", 403},
		{"investigator", "/v1/locks/lock0", 422},
		{"investigator", "/v1/locks/lock1?reason=closed", 403},
		{"investigator", "/v1/locks/absent?reason=closed", 404},
		{"investigator", "/v1/locks/lock0?reason=closed", 204},
		{"investigator", "/v1/locks/lock0?reason=closed", 404},
		{"root", "/v1/locks/lock1?reason=closed", 204},
	} {
		if a := g.do(t, tt.who, "DELETE", tt.target, ""); a.status != tt.status {
			t.Errorf("%s DELETE %s: %d, want %d: %s", tt.who, tt.target, a.status, tt.status, a.body)
		}
	}
	book.down = true
	if a := g.do(t, "admin", "POST", "/v1/locks", lockBody(`"cam0"`, week)); a.status != 503 {
		t.Errorf("register down: %d", a.status)
	}
	var acts []string
	for _, e := range g.audit(t) {
		acts = append(acts, fmt.Sprint(e.Actor, " ", e.Action, " ", e.Outcome))
	}
	want := []string{
		"investigator lock done", "admin lock done", "investigator unlock done", "root unlock done", "admin lock failed",
	}
	if !slices.Equal(acts, want) {
		t.Errorf("audit rows %q", acts)
	}
}

// Without its row in the audit log no lock is changed.
func TestLocksNeedTheAuditLog(t *testing.T) {
	t.Parallel()
	book := &register{}
	g := newGateway(t, func(g *gateway, o *api.Options) { o.Archive = book })
	if a := g.do(t, "admin", "POST", "/v1/locks", lockBody(`"cam0"`, time.Hour)); a.status != 201 {
		t.Fatal(a.status, a.body)
	}
	if err := g.a.Audit().Close(); err != nil {
		t.Fatal(err)
	}
	if a := g.do(t, "admin", "POST", "/v1/locks", lockBody(`"cam1"`, time.Hour)); a.status != 503 {
		t.Errorf("lock: %d", a.status)
	}
	if a := g.do(t, "admin", "DELETE", "/v1/locks/lock0?reason=closed", ""); a.status != 503 {
		t.Errorf("unlock: %d", a.status)
	}
	if len(book.locks) != 1 {
		t.Errorf("register holds %v", book.locks)
	}
}

// Thumbnails follow the rule of clips: young footage to all who may replay, older under a retrieval only.
func TestThumbnails(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	at := func(d time.Duration) string { return "?at=" + noon().Add(d).Format(time.RFC3339) }
	reg := g.do(t, "investigator", "POST", "/v1/retrievals", fmt.Sprintf(
		`{"reason":"theft","cameras":["cam0"],"from":%q,"to":%q}`, noon().Add(-48*time.Hour).Format(time.RFC3339),
		noon().Add(-47*time.Hour).Format(time.RFC3339)))
	id := "&retrieval=" + decode[access.Retrieval](t, reg).ID
	g.took()
	for _, tt := range []struct {
		who, target string
		status      int
	}{
		{"officer", "cam0.jpg" + at(-10*time.Minute), 200},
		{"officer", "cam0.jpg" + at(-11*time.Minute), 200},
		{"officer", "cam2.jpg" + at(-10*time.Minute), 404},
		{"officer", "cam0.png" + at(-10*time.Minute), 404},
		{"officer", "cam0.jpg", 400},
		{"officer", "cam0.jpg" + at(-48*time.Hour), 403},
		{"auditor", "cam0.jpg" + at(-10*time.Minute), 403},
		{"investigator", "cam0.jpg" + at(-48*time.Hour+time.Minute) + id, 200},
		{"investigator", "cam0.jpg" + at(-50*time.Hour) + id, 403},
		{"investigator", "cam1.jpg" + at(-48*time.Hour+time.Minute) + id, 403},
	} {
		if a := g.do(t, tt.who, "GET", "/v1/thumbnails/"+tt.target, ""); a.status != tt.status {
			t.Errorf("%s %s: %d, want %d: %s", tt.who, tt.target, a.status, tt.status, a.body)
		}
	}
	if n := len(g.took()); n != 3 {
		t.Errorf("%d reached the archive", n)
	}
	replays := 0
	for _, e := range g.audit(t) {
		if e.Outcome == access.Begun && e.Action == access.ActReplay {
			replays++
		}
	}
	if replays != 1 {
		t.Errorf("%d rows for two pictures of one hour", replays)
	}
}
