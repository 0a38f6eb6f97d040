package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skein/edge/status"
	"skein/gateway/access"
	"skein/gateway/api"
)

func at(d time.Duration) string { return noon().Add(d).Format(time.RFC3339Nano) }

func span(from, to time.Duration) string {
	return "from=" + url.QueryEscape(at(from)) + "&to=" + url.QueryEscape(at(to))
}

func TestLoginOverHTTP(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	login := func(user, password string) answer {
		b, _ := json.Marshal(map[string]string{"user": user, "password": password})
		return g.do(t, "", "POST", "/v1/login", string(b))
	}
	a := login("admin", adminPassword)
	body := decode[struct {
		Token, Name, Role, Unit string
		Expires                 time.Time
	}](t, a)
	if body.Name != "admin" || body.Role != "admin" || !body.Expires.Equal(noon().Add(access.DefaultSessionTTL)) {
		t.Fatalf("%+v", body)
	}
	cookies, err := http.ParseSetCookie(a.header.Get("Set-Cookie"))
	if err != nil || cookies.Name != "skein_session" || cookies.Value != body.Token || !cookies.HttpOnly ||
		cookies.SameSite != http.SameSiteStrictMode || cookies.Path != "/" || cookies.Secure {
		t.Fatalf("cookie %q: %v", a.header.Get("Set-Cookie"), err)
	}
	if a.header.Get("Cache-Control") != "no-store" {
		t.Error("a login must not be cached")
	}

	r := httptest.NewRequest("GET", "/v1/me", nil)
	r.AddCookie(cookies)
	me := decode[map[string]any](t, g.send(t, r))
	if me["kind"] != "user" || me["name"] != "admin" || me["expires"] == nil || me["now"] == nil {
		t.Errorf("me %v", me)
	}
	if me := decode[map[string]any](t, g.do(t, "officer", "GET", "/v1/me", "")); me["kind"] != "token" ||
		me["unit"] != "baishazhou" || me["expires"] != nil {
		t.Errorf("token's me %v", me)
	}

	// logging out by another site fails, by our own page it works
	for _, from := range []struct {
		site string
		want int
	}{{"cross-site", 403}, {"same-origin", 204}} { // in this order: the second ends the session
		site, want := from.site, from.want
		r := httptest.NewRequest("POST", "/v1/logout", nil)
		r.AddCookie(cookies)
		r.Header.Set("Sec-Fetch-Site", site)
		if a := g.send(t, r); a.status != want {
			t.Errorf("logout from %s: %d", site, a.status)
		} else if want == 204 && !strings.Contains(a.header.Get("Set-Cookie"), "Max-Age=0") {
			t.Errorf("cookie not removed: %v", a.header)
		}
	}
	r = httptest.NewRequest("GET", "/v1/me", nil)
	r.AddCookie(cookies)
	if a := g.send(t, r); a.status != 401 {
		t.Errorf("after logout: %d", a.status)
	}

	// over TLS the cookie is Secure
	r = httptest.NewRequest("POST", "https://example.com/v1/login",
		strings.NewReader(fmt.Sprintf(`{"user":"admin","password":%q}`, adminPassword)))
	r.Header.Set("Content-Type", "application/json")
	if a := g.send(t, r); !strings.Contains(a.header.Get("Set-Cookie"), "Secure") ||
		a.header.Get("Strict-Transport-Security") == "" {
		t.Errorf("over TLS: %v", a.header)
	}
}

func TestLoginLimitOverHTTP(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	var last answer
	for range 7 {
		last = g.do(t, "", "POST", "/v1/login", `{"user":"admin","password":"guess"}`)
		if last.status != 401 {
			break
		}
	}
	if last.status != 429 || last.header.Get("Retry-After") != "1" {
		t.Fatalf("%d, Retry-After %q", last.status, last.header.Get("Retry-After"))
	}
	if a := g.do(t, "", "POST", "/v1/login", `{"user":"admin","password":"`+adminPassword+`"}`); a.status != 429 {
		t.Fatalf("the right password in between: %d", a.status)
	}
}

// A body that is wrong must not be shown back: it may hold the password.
func TestBadLoginTellsNothing(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	for _, body := range []string{
		`{"user":"admin","password":123454321}`, `{"user":["hunter2"],"password":"hunter2"}`, `{"user":"hunter2"}`,
		`{"user":"a","password":"hunter2","extra":"hunter2"}`, `"hunter2"`, `hunter2`, `{"password":"hunter2"`,
		`{"user":"a","password":"` + strings.Repeat("hunter2", 1000) + `"}`,
	} {
		a := g.do(t, "", "POST", "/v1/login", body)
		if a.status < 400 || strings.Contains(a.body, "hunter2") || strings.Contains(a.body, "123454321") {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
}

func TestWhep(t *testing.T) {
	t.Parallel()
	g := newGateway(t, func(g *gateway, o *api.Options) {
		o.Whep = g.part("whep", func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Query().Get("profile") == "bad":
				w.Header().Set("Content-Type", "application/problem+json")
				w.WriteHeader(http.StatusBadRequest)
				fmt.Fprint(w, `{"type":"x","title":"y","status":400}`)
			case r.Method == http.MethodPost:
				w.WriteHeader(http.StatusCreated)
			}
		})
	})
	for _, tt := range []struct {
		who, call string
		status    int
	}{
		{"officer", "POST /v1/whep/cam0?profile=sub", 201},
		{"officer", "PATCH /v1/whep/cam0/session", 200},
		{"officer", "DELETE /v1/whep/cam0/session", 200},
		{"officer", "POST /v1/whep/cam0?profile=bad", 400},
		{"officer", "POST /v1/whep/cam2", 404},   // another town's
		{"officer", "POST /v1/whep/nobody", 404}, // nobody's
		{"officer", "DELETE /v1/whep/cam2/session", 404},
		{"auditor", "POST /v1/whep/cam0", 403},
		{"node", "POST /v1/whep/cam0", 403},
	} {
		method, target, _ := strings.Cut(tt.call, " ")
		if a := g.do(t, tt.who, method, target, ""); a.status != tt.status {
			t.Errorf("%s %s: %d", tt.who, tt.call, a.status)
		}
	}
	if p := g.took(); len(p) != 4 {
		t.Errorf("passed on %v", p)
	}
	// the answers for another's camera and for none are the same
	a, b := g.do(t, "officer", "POST", "/v1/whep/cam2", ""), g.do(t, "officer", "POST", "/v1/whep/nobody", "")
	if strings.ReplaceAll(a.body, "cam2", "nobody") != b.body {
		t.Errorf("they can be told apart: %s %s", a.body, b.body)
	}
	var rows []string
	for _, e := range g.audit(t) {
		rows = append(rows, fmt.Sprint(e.Actor, e.Action, e.Outcome, e.Cameras, e.Profile))
	}
	want := "[officerviewbegun[cam0]sub officerviewbegun[cam0]? officerviewfailed[cam0]? " +
		"officerviewrefused[cam2]main officerviewrefused[nobody]main]"
	if fmt.Sprint(rows) != want {
		t.Errorf("audit %v, want %v", rows, want)
	}
}

func TestWatchWalls(t *testing.T) {
	t.Parallel()
	var watch func(string) bool
	var g *gateway
	g = newGateway(t, func(gw *gateway, o *api.Options) {
		o.Whep = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { watch = g.Watch(r) })
	})
	g.do(t, "officer", "POST", "/v1/walls", "")
	for camera, want := range map[string]bool{"cam0": true, "cam1": true, "cam2": false, "nobody": false} {
		if first, again := watch(camera), watch(camera); first != want || again != want {
			t.Errorf("%s: want %v", camera, want)
		}
	}
	if rows := g.begun(t); len(rows) != 2 || rows[0].Action != access.ActView || rows[0].Actor != "officer" {
		t.Errorf("audit %+v", rows)
	}
	if g.Watch(httptest.NewRequest("POST", "/v1/walls", nil))("cam0") {
		t.Error("nobody may watch")
	}
}

// What is watched ends with the login, however that ends.
func TestWatchingEndsWithTheLogin(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testing.T, *gateway, http.Header){
		"logged out": func(t *testing.T, g *gateway, h http.Header) {
			r := httptest.NewRequest("POST", "/v1/logout", nil)
			r.Header = h
			if a := g.send(t, r); a.status != 204 {
				t.Fatal(a.status)
			}
		},
		"removed": func(t *testing.T, g *gateway, _ http.Header) {
			if err := g.a.Users().Remove("guest"); err != nil {
				t.Fatal(err)
			}
		},
		"another role": func(t *testing.T, g *gateway, _ http.Header) {
			setGuest(t, g, access.Auditor, "yanfeng")
		},
		"expired": func(_ *testing.T, g *gateway, _ http.Header) { g.later.Store(int64(13 * time.Hour)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var watch, replay func(string) bool
			g := newGateway(t, func(g *gateway, o *api.Options) {
				o.Whep = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					watch, replay = g.Watch(r), g.Replay(r)
				})
			})
			setGuest(t, g, access.Officer, "baishazhou")
			login := decode[struct{ Token string }](t, g.do(t, "", "POST", "/v1/login",
				`{"user":"guest","password":"`+adminPassword+`"}`))
			r := httptest.NewRequest("POST", "/v1/walls", nil)
			r.Header.Set("Authorization", "Bearer "+login.Token)
			g.send(t, r)
			if !watch("cam0") || !replay("cam0") || watch("cam2") {
				t.Fatal("an officer watches the cameras of its town")
			}
			end(t, g, r.Header)
			if watch("cam0") || replay("cam0") {
				t.Error("still watching")
			}
		})
	}
}

// setGuest makes the user guest, with the password of admin.
func setGuest(t *testing.T, g *gateway, role access.Role, unit string) {
	t.Helper()
	users := fmt.Sprintf(`{"version":1,"users":[{"name":"admin","role":"admin","password":%q},`+
		`{"name":"guest","role":%q,"unit":%q,"password":%[1]q}]}`, adminHash, role, unit)
	if err := os.WriteFile(filepath.Join(g.dir, "users.json"), []byte(users), 0o600); err != nil {
		t.Fatal(err)
	}
	g.later.Add(int64(2 * time.Second)) // the file is looked at once a second
}

// The newest footage, which the edge has and the archive not yet, is no gap of an unknown cause. That is claimed only for
// time that the edge's word covers. A clip's timeline says the same.
func TestCoverageOfWhatTheEdgeStillHas(t *testing.T) {
	t.Parallel()
	at := func(s int) time.Time { return noon().Add(time.Duration(s) * time.Second) }
	for _, c := range []struct {
		name string
		rec  status.Recording
		want string
	}{
		{"recording", status.Recording{Wanted: true, Active: true, Held: at(-90), LastWrite: at(-1)},
			"-600 unknown -300 network -200 unknown -90 not_yet_stored"},
		{"the disk takes nothing any more", status.Recording{Wanted: true, Held: at(-90), LastWrite: at(-40)},
			"-600 unknown -300 network -200 unknown -90 not_yet_stored -40 unknown"},
		{"backlog of a camera that is off", status.Recording{Wanted: true, Held: at(-400), LastWrite: at(-250)},
			"-600 unknown -400 not_yet_stored -300 network -200 unknown"},
		{"nobody tells", status.Recording{}, "-600 unknown -300 network -200 unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t, func(g *gateway, o *api.Options) {
				o.Health = fixedHealth{{ID: "cam0", Profiles: map[string]status.Profile{"main": {}}, Recording: c.rec}}
				o.Archive = g.part("archive", func(w http.ResponseWriter, r *http.Request) {
					gap := func(from, to int, cause string) string {
						return fmt.Sprintf(`{"from":%q,"to":%q,"cause":%q}`, at(from).Format(time.RFC3339), at(to).Format(time.RFC3339), cause)
					}
					body := `{"from":%q,"to":%q,"cameras":[{"camera":"cam0","spans":[],"gaps":[%s,%s,%s]}]}`
					if strings.HasSuffix(r.URL.Path, ".json") {
						body = `{"from":%q,"to":%q,"camera":"cam0","spans":[],"gaps":[%s,%s,%s]}`
					}
					fmt.Fprintf(w, body, at(-600).Format(time.RFC3339), at(0).Format(time.RFC3339),
						gap(-600, -300, "unknown"), gap(-300, -200, "network"), gap(-200, 0, "unknown"))
				})
			})
			a := g.do(t, "admin", "GET", "/v1/coverage?camera=cam0&"+span(-10*time.Minute, 0), "")
			type gaps struct {
				Gaps []struct {
					From  time.Time
					Cause string
				}
			}
			all := decode[struct{ Cameras []gaps }](t, a).Cameras
			timeline := decode[gaps](t, g.do(t, "admin", "GET", "/v1/clips/cam0.json?"+span(-10*time.Minute, 0), ""))
			for _, body := range append(all, timeline) {
				var got []string
				for _, x := range body.Gaps {
					got = append(got, fmt.Sprintf("%d %s", int(x.From.Sub(noon()).Seconds()), x.Cause))
				}
				if s := strings.Join(got, " "); s != c.want {
					t.Errorf("gaps %s, want %s", s, c.want)
				}
			}
		})
	}
}

// fixedHealth tells always the same.
type fixedHealth []status.Camera

func (h fixedHealth) Cameras() []status.Camera { return h }

func TestCoverage(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	day := span(-24*time.Hour, 0)
	type coverage struct {
		From, To time.Time
		Cameras  []struct {
			Camera   string
			Distance *float64 `json:"distance_m"`
			Spans    []struct{ From, To time.Time }
			Gaps     []any
		}
	}
	for _, tt := range []struct{ who, query, want string }{
		{"admin", "", "cam0 cam1 cam2 term0"},
		{"officer", "", "cam0 cam1 term0"},
		{"admin", "&camera=cam2&camera=cam0", "cam0 cam2"},
		{"admin", "&unit=baishazhou", "cam0 cam1 term0"},
		{"admin", "&unit=dongfeng&grid=g1", "cam1 term0"},
		{"admin", "&grid=none", ""},
		{"admin", "&near=26.8806,112.6&radius=200", "cam1 cam0"}, // 44 m and 67 m
		{"admin", "&near=26.8806,112.6&radius=50", "cam1"},
		{"officer", "&near=26.885,112.6&radius=5000", "cam1 cam0"},
		{"admin", "&near=26.88,112.6&radius=5000&camera=cam2", "cam2"},
		{"lost", "", ""},
	} {
		c := decode[coverage](t, g.do(t, tt.who, "GET", "/v1/coverage?"+day+tt.query, ""))
		var ids []string
		for _, x := range c.Cameras {
			ids = append(ids, x.Camera)
			if (x.Distance != nil) != strings.Contains(tt.query, "near") || x.Gaps == nil || len(x.Spans) != 1 ||
				!x.Spans[0].To.Equal(noon()) {
				t.Errorf("%s: %+v", tt.query, x)
			}
		}
		if strings.Join(ids, " ") != tt.want || !c.To.Equal(noon()) || c.Cameras == nil {
			t.Errorf("%s %s: %v", tt.who, tt.query, ids)
		}
	}
	c := decode[coverage](t, g.do(t, "admin", "GET", "/v1/coverage?"+day+"&near=26.88,112.6&radius=200", ""))
	if d := *c.Cameras[1].Distance; d < 110 || d > 113 {
		t.Errorf("a thousandth of a degree is %v m", d)
	}
	if a := g.do(t, "admin", "HEAD", "/v1/coverage?"+day, ""); a.status != 200 || a.body != "" {
		t.Errorf("HEAD: %d %q", a.status, a.body)
	}
	for query, want := range map[string]int{
		day + "&camera=cam2":                        404,
		day + "&camera=nobody":                      404,
		day + "&unit=jinlong":                       404,
		day + "&near=26.88":                         400,
		day + "&near=26.88,112.6":                   400,
		day + "&near=NaN,112.6&radius=1":            400,
		day + "&near=91,112.6&radius=1":             400,
		day + "&radius=5":                           400,
		"from=x&to=y":                               400,
		"":                                          400,
		span(0, -time.Hour):                         400,
		day + "&from=2026-01-01T00:00:00Z":          400,
		"from=1763870400&to=2026-11-23T00:00:00Z":   400,
		day + "&near=26.88,112.6&radius=1000000000": 400,
	} {
		if a := g.do(t, "officer", "GET", "/v1/coverage?"+query, ""); a.status != want {
			t.Errorf("%s: %d %s", query, a.status, a.body)
		}
	}
}

func TestClips(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	young, old := span(-10*time.Minute, -9*time.Minute), span(-48*time.Hour, -47*time.Hour)
	register := func(who, body string) answer { return g.do(t, who, "POST", "/v1/retrievals", body) }
	request := func(camera string, from, to time.Duration) string {
		return fmt.Sprintf(`{"reason":"theft, case 17","document":"衡公 2026-17","cameras":[%q],"from":%q,"to":%q}`,
			camera, at(from), at(to))
	}
	ret := decode[access.Retrieval](t, register("investigator", request("cam0", -48*time.Hour, -47*time.Hour)))
	if ret.ID == "" || ret.Name != "investigator" || ret.Unit != "baishazhou" || !ret.Created.Equal(noon()) {
		t.Fatalf("%+v", ret)
	}
	id := "&retrieval=" + ret.ID
	part := func(d time.Duration) string {
		return fmt.Sprintf("GET /v1/clips/cam0/hls/%d-1-abc/0-1.m4s?t0=1", noon().Add(d).UnixMilli())
	}
	tests := []struct {
		name, who, call string
		status          int
	}{
		{"the last minutes", "officer", "GET /v1/clips/cam0.mp4?" + young, 200},
		{"as HLS", "officer", "GET /v1/clips/cam0.m3u8?" + young, 200},
		{"its times", "officer", "GET /v1/clips/cam0.json?" + young, 200},
		{"old times, no retrieval", "officer", "GET /v1/clips/cam0.json?" + old, 403},
		{"old times under the retrieval", "investigator", "GET /v1/clips/cam0.json?" + old + id, 200},
		{"HEAD", "officer", "HEAD /v1/clips/cam0.mp4?" + young, 200},
		{"a plus sign in the zone", "officer", "GET /v1/clips/cam0.mp4?from=2026-11-23T19:50:00+08:00&to=2026-11-23T19:51:00+08:00",
			200},
		{"another town's", "officer", "GET /v1/clips/cam2.mp4?" + young, 404},
		{"nobody's", "officer", "GET /v1/clips/nobody.mp4?" + young, 404},
		{"old, no retrieval", "officer", "GET /v1/clips/cam0.mp4?" + old, 403},
		{"begins old", "officer", "GET /v1/clips/cam0.mp4?" + span(-2*time.Hour, -time.Minute), 403},
		{"old, even an admin", "admin", "GET /v1/clips/cam0.mp4?" + old, 403},
		{"under the retrieval", "investigator", "GET /v1/clips/cam0.mp4?" + old + id, 200},
		{"a part of it", "investigator", "GET /v1/clips/cam0.m3u8?" + span(-48*time.Hour, -47*time.Hour-30*time.Minute) + id, 200},
		{"more than it", "investigator", "GET /v1/clips/cam0.mp4?" + span(-48*time.Hour, -46*time.Hour) + id, 403},
		{"another camera", "investigator", "GET /v1/clips/cam1.mp4?" + old + id, 403},
		{"another person's", "admin", "GET /v1/clips/cam0.mp4?" + old + id, 403},
		{"an officer with it", "officer", "GET /v1/clips/cam0.mp4?" + old + id, 403},
		{"made up", "investigator", "GET /v1/clips/cam0.mp4?" + old + "&retrieval=r-x", 403},
		{"made up, young", "investigator", "GET /v1/clips/cam0.mp4?" + young + "&retrieval=r-x", 403},
		{"no range", "officer", "GET /v1/clips/cam0.mp4", 400},
		{"range upside down", "officer", "GET /v1/clips/cam0.mp4?" + span(-time.Minute, -2*time.Minute), 400},
		{"two ranges", "officer", "GET /v1/clips/cam0.mp4?" + young + "&" + old, 400},
		{"another form", "officer", "GET /v1/clips/cam0.avi?" + young, 404},
		{"no form", "officer", "GET /v1/clips/cam0?" + young, 404},
		{"auditor", "auditor", "GET /v1/clips/cam0.mp4?" + young, 403},
		{"node", "node", "GET /v1/clips/cam0.mp4?" + young, 403},
		{"young part", "officer", part(-10 * time.Minute), 200},
		{"part of a playlist begun in the window", "officer", part(-70 * time.Minute), 200},
		{"old part", "officer", part(-48 * time.Hour), 403},
		{"old part under the retrieval", "investigator", part(-47*time.Hour-30*time.Minute) + id, 200},
		{"segment that began just before", "investigator", part(-48*time.Hour-30*time.Second) + id, 200},
		{"segment before", "investigator", part(-48*time.Hour-2*time.Minute) + id, 403},
		{"segment after", "investigator", part(-47*time.Hour+time.Second) + id, 403},
		{"part without a time", "investigator", "GET /v1/clips/cam0/hls/x/init.mp4?" + old + id, 404},
		{"part beyond time", "officer", "GET /v1/clips/cam0/hls/9223372036854775807-1/init.mp4", 404},
		{"part of another town's", "officer", strings.Replace(part(-10*time.Minute), "cam0", "cam2", 1), 404},
		{"way out", "officer", "GET /v1/clips/cam0/../cam2.mp4?" + young, 307},
	}
	g.took()
	for _, tt := range tests {
		method, target, _ := strings.Cut(tt.call, " ")
		a := g.do(t, tt.who, method, target, "")
		passed := len(g.took())
		if a.status != tt.status || (passed == 1) != (tt.status == 200) {
			t.Errorf("%s: %d, passed on %d times: %s", tt.name, a.status, passed, a.body)
		}
		if tt.name == "old, no retrieval" && !strings.Contains(a.body, "retrieval-required") {
			t.Errorf("the problem's type does not tell: %s", a.body)
		}
	}
	for _, e := range g.audit(t) {
		if e.Outcome != access.Refused && e.Action == access.ActClip && (e.Actor != "investigator" || e.Retrieval != ret.ID) {
			t.Errorf("row %+v", e)
		}
	}
}

func TestRetrievalRequests(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	good := map[string]any{"reason": "theft", "cameras": []string{"cam0", "cam1", "cam0"}, "from": at(-time.Hour), "to": at(0)}
	with := func(k string, v any) string {
		m := map[string]any{}
		for a, b := range good {
			m[a] = b
		}
		m[k] = v
		if v == nil {
			delete(m, k)
		}
		b, _ := json.Marshal(m)
		return string(b)
	}
	for _, tt := range []struct {
		name, who, body string
		status          int
	}{
		{"good", "investigator", with("document", "17"), 201},
		{"no reason", "investigator", with("reason", nil), 422},
		{"blank reason", "investigator", with("reason", "   "), 422},
		{"no cameras", "investigator", with("cameras", []string{}), 422},
		{"another town's camera", "investigator", with("cameras", []string{"cam2"}), 404},
		{"no such camera", "investigator", with("cameras", []string{"x\x00y"}), 404},
		{"too many", "investigator", with("cameras", make([]string, 501)), 422},
		{"no range", "investigator", with("from", nil), 422},
		{"empty range", "investigator", with("to", at(-time.Hour)), 422},
		{"a year", "investigator", with("from", at(-365*24*time.Hour)), 422},
		{"no time", "investigator", with("from", "yesterday"), 422},
		{"unknown field", "investigator", with("name", "somebody else"), 422},
		{"no JSON", "investigator", "theft", 400},
		{"too long", "investigator", with("reason", strings.Repeat("x", 100_000)), 413},
		{"officer", "officer", with("document", "17"), 403},
		{"auditor", "auditor", with("document", "17"), 403},
		{"node", "node", with("document", "17"), 403},
	} {
		if a := g.do(t, tt.who, "POST", "/v1/retrievals", tt.body); a.status != tt.status {
			t.Errorf("%s: %d %s", tt.name, a.status, a.body)
		}
	}
	rows := g.audit(t)
	if len(rows) != 1 || rows[0].Action != access.ActRetrieval || fmt.Sprint(rows[0].Cameras) != "[cam0 cam1]" {
		t.Errorf("audit %+v", rows)
	}
	names, _ := filepath.Glob(filepath.Join(g.dir, "retrievals", "*.jsonl"))
	if b, err := os.ReadFile(names[0]); err != nil || strings.Count(string(b), "\n") != 1 {
		t.Errorf("register: %s, %v", b, err)
	}
}

// Whatever is sent to the two JSON endpoints that write something, the answer is JSON, no 5xx, and no echo of a secret.
func FuzzJSON(f *testing.F) {
	f.Add("/v1/login", []byte(`{"user":"admin","password":"x"}`))
	f.Add("/v1/retrievals", []byte(`{"reason":"theft","cameras":["cam0"],"from":"2026-11-23T10:00:00Z","to":"2026-11-23T11:00:00Z"}`))
	f.Add("/v1/retrievals", []byte(`{"reason":"theft","cameras":["cam0"],"from":"9999-12-31T23:59:59-23:59","to":"0000-01-01T00:00:00Z"}`))
	g := newGateway(f, nil)
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		if path != "/v1/login" && path != "/v1/retrievals" {
			return
		}
		r := httptest.NewRequest("POST", path, strings.NewReader(string(body)))
		if path != "/v1/login" {
			r.Header.Set("Authorization", "Bearer "+token("investigator"))
		}
		w := httptest.NewRecorder()
		g.Handler().ServeHTTP(w, r)
		if w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%s %q: %d %s", path, body, w.Code, w.Body)
		}
	})
}
