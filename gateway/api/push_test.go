package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"skein/gateway/access"
	"skein/gateway/api"
)

func TestSnapshotsAreScopedAndAudited(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	for range 5 {
		if a := g.do(t, "officer", "GET", "/v1/snapshots/cam0.jpg?profile=sub", ""); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	for path, want := range map[string]int{
		"/v1/snapshots/cam2.jpg": 404, "/v1/snapshots/nobody.jpg": 404, "/v1/snapshots/cam0.png": 404, "/v1/snapshots/cam0": 404,
	} {
		if a := g.do(t, "officer", "GET", path, ""); a.status != want {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	rows := slices.DeleteFunc(g.begun(t), func(e access.Event) bool { return e.Action != access.ActView })
	if len(rows) != 1 || rows[0].Cameras[0] != "cam0" || rows[0].Detail != "snapshot" || rows[0].Profile != "sub" ||
		rows[0].Actor != "officer" {
		t.Errorf("five snapshots of one camera are one act: %+v", rows)
	}
	if !slices.Contains(g.Routes(), "GET /v1/snapshots/{file}") || !strings.Contains(string(g.OpenAPI()), "/v1/snapshots/{camera}.jpg") {
		t.Error("not documented")
	}
}

func TestPublishingIsScopedAndAudited(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	if a := g.do(t, "operator", "POST", "/v1/whip/cam1", "{}"); a.status != 200 {
		t.Fatalf("%d", a.status)
	}
	for _, c := range []struct {
		who, camera string
		want        int
	}{{"officer", "cam0", 403}, {"operator", "nobody", 404}, {"node", "cam0", 403}, {"auditor", "cam0", 403}} {
		if a := g.do(t, c.who, "POST", "/v1/whip/"+c.camera, "{}"); a.status != c.want {
			t.Errorf("%s publishes as %s: %d, want %d", c.who, c.camera, a.status, c.want)
		}
	}
	rows := slices.DeleteFunc(g.begun(t), func(e access.Event) bool { return e.Action != "publish" })
	if len(rows) != 1 || rows[0].Cameras[0] != "cam1" || rows[0].Actor != "operator" {
		t.Errorf("%+v", rows)
	}
}

func TestReplayOnAWallIsAudited(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	for who, want := range map[string]bool{"officer": true, "auditor": false, "node": false} {
		var may func(string) bool
		h := g.a.Guard(func(*http.Request) bool { return false }, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			may = g.Replay(r)
		}))
		r := httptest.NewRequest("POST", "/v1/walls", nil)
		r.Header.Set("Authorization", "Bearer "+token(who))
		h.ServeHTTP(httptest.NewRecorder(), r)
		for range 3 {
			if may("cam0") != want || may("cam2") || may("nobody") {
				t.Errorf("%s may go back: %v", who, !want)
			}
		}
		g.later.Add(int64(time.Hour))
		if may("cam0") != want { // another hour's footage
			t.Errorf("%s may go back again: %v", who, !want)
		}
	}
	rows := slices.DeleteFunc(g.audit(t), func(e access.Event) bool { return e.Action != access.ActReplay })
	if len(rows) != 2 || rows[0].Cameras[0] != "cam0" || rows[0].From.IsZero() || !rows[1].From.After(rows[0].To) {
		t.Errorf("%+v", rows)
	}
}

func TestLogoutTells(t *testing.T) {
	t.Parallel()
	var ended []string
	g := newGateway(t, func(_ *gateway, o *api.Options) { o.LoggedOut = func(key string) { ended = append(ended, key) } })
	b, _ := json.Marshal(map[string]string{"user": "admin", "password": adminPassword})
	body := decode[struct{ Token string }](t, g.do(t, "", "POST", "/v1/login", string(b)))
	p, err := g.a.CheckToken(body.Token)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "/v1/logout", nil)
	r.Header.Set("Authorization", "Bearer "+body.Token)
	if a := g.send(t, r); a.status != 204 || !slices.Equal(ended, []string{p.Key()}) {
		t.Errorf("%d, ended %v, want %s", a.status, ended, p.Key())
	}
	g.do(t, "officer", "POST", "/v1/logout", "")
	if len(ended) != 1 {
		t.Error("a configured token does not log out")
	}
}
