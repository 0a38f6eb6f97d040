package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"skein/config/district"
	"skein/config/secret"
	"skein/edge/status"
	"skein/gateway/access"
	"skein/gateway/api"
	"skein/internal/ledger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The time at which all tests take place.
func noon() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

func ptr(f float64) *float64 { return &f }

func inventory() *district.Inventory {
	return &district.Inventory{
		Units: []district.Unit{
			{ID: "yanfeng", Name: "雁峰区", Tier: district.TierDistrict},
			{ID: "baishazhou", Name: "白沙洲街道", Tier: district.TierTown, Parent: "yanfeng"},
			{ID: "jinlong", Name: "金龙坪街道", Tier: district.TierTown, Parent: "yanfeng"},
			{ID: "dongfeng", Name: "东风社区", Tier: district.TierCommunity, Parent: "baishazhou",
				Grids: []district.Grid{{ID: "g1", Name: "一网格"}}},
		},
		Cameras: []district.Camera{
			{ID: "cam0", Name: "路口 0", Unit: "baishazhou", Main: "rtsp://u:hunter2@10.0.0.1/0", Sub: "rtsp://u:hunter2@10.0.0.1/0s",
				Location: &district.Location{Lat: 26.88, Lon: 112.60, Direction: ptr(90)}, RetentionDays: 45},
			{ID: "cam1", Name: "小学", Unit: "dongfeng", Grid: "g1", Main: "rtsp://u:hunter2@10.0.0.1/1",
				Location: &district.Location{Lat: 26.881, Lon: 112.60}, Class: district.ClassKey},
			{ID: "cam2", Name: "市场", Unit: "jinlong", Main: "rtsp://u:hunter2@10.0.0.1/2",
				Location: &district.Location{Lat: 26.89, Lon: 112.60}},
		},
		Terminals: []district.Camera{{ID: "term0", Name: "东风终端", Unit: "dongfeng", Grid: "g1", Main: "rtsp://10.0.0.1/t"}},
	}
}

type health []status.Camera

func (h health) Cameras() []status.Camera { return h }

func states() health {
	since := noon().Add(-time.Hour)
	return health{
		{ID: "cam0", Recording: status.Recording{Wanted: true, Active: true}, Profiles: map[string]status.Profile{
			"main": {State: status.Offline, Reason: status.ReasonTimeout, Since: since},
			"sub":  {State: status.Live, Since: since, Codec: "H264"},
		}},
		{ID: "cam1", Profiles: map[string]status.Profile{
			"main": {State: status.Frozen, Reason: status.ReasonNoKeyFrame, Since: since},
		}},
		{ID: "stranger", Profiles: map[string]status.Profile{"main": {State: status.Live}}},
	}
}

func token(name string) string { return "token-of-" + name + "-0123456789" }

// gateway is a server and what it passed on.
type gateway struct {
	*api.Server
	dir string
	a   *access.Access

	later atomic.Int64 // what the clock shows after noon, nanoseconds

	mu     sync.Mutex
	passed []string // requests that reached an injected handler
}

func (g *gateway) now() time.Time { return noon().Add(time.Duration(g.later.Load())) }

func (g *gateway) part(name string, h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		g.passed = append(g.passed, name+" "+r.Method+" "+r.URL.RequestURI())
		g.mu.Unlock()
		if h != nil {
			h(w, r)
		}
	})
}

func (g *gateway) took() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.passed
	g.passed = nil
	return p
}

// adminPassword belongs to the user admin. Its hash is a cheap one, so that tests are quick.
const (
	adminPassword = "correct horse battery"
	adminHash     = "$argon2id$v=19$m=64,t=1,p=1$9gVFZMJAq8rluT7EoM0zAA$blmb/wCE0rotoBPKcfuLOZH9mRSSTw2zwLCMiOQ1zsA"
)

func newGateway(t testing.TB, edit func(*gateway, *api.Options)) *gateway {
	t.Helper()
	g := &gateway{dir: t.TempDir()}
	cfg := access.Config{Nodes: []access.NodeConfig{{ID: "edge-1", Token: secret.New(token("node"))}}}
	for name, who := range map[string]struct {
		role access.Role
		unit string
	}{
		"admin": {access.Admin, "yanfeng"}, "root": {access.Admin, ""}, "officer": {access.Officer, "baishazhou"},
		"investigator": {access.Investigator, "baishazhou"}, "operator": {access.Operator, "yanfeng"},
		"auditor": {access.Auditor, "yanfeng"}, "lost": {access.Officer, "nowhere"},
	} {
		cfg.Tokens = append(cfg.Tokens, access.TokenConfig{
			Name: name, Token: secret.New(token(name)), Role: who.role, Unit: who.unit,
		})
	}
	users := fmt.Sprintf(`{"version":1,"users":[{"name":"admin","role":"admin","password":%q}]}`, adminHash)
	err := os.WriteFile(filepath.Join(g.dir, "users.json"), []byte(users), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	g.a, err = access.New(cfg, access.Options{DataDir: g.dir, Registerer: reg, Now: g.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.a.Close() })
	inv := inventory()
	o := api.Options{
		Access: g.a, Inventory: func() *district.Inventory { return inv }, Health: states(), Now: g.now, Gatherer: reg,
		Whep: g.part("whep", func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				w.WriteHeader(http.StatusCreated)
			}
		}),
		Whip: g.part("whip", nil), Snapshots: g.part("snapshots", nil), LiveSessions: g.part("sessions", nil),
		Archive: g.part("archive", archive), Ingest: g.part("ingest", nil), Link: g.part("link", nil),
		Web: g.part("web", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/" && r.URL.Path != "/assets/app.js" {
				http.NotFound(w, r)
				return
			}
			io.WriteString(w, "<html>")
		}),
	}
	if edit != nil {
		edit(g, &o)
	}
	if g.Server, err = api.New(o); err != nil {
		t.Fatal(err)
	}
	return g
}

// archive answers like a recorder.
func archive(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	switch {
	case r.URL.Path == "/v1/coverage":
		var list []string
		for _, c := range q["camera"] {
			list = append(list, fmt.Sprintf(`{"camera":%q,"spans":[{"from":%q,"to":%q}],"gaps":null}`, c, q.Get("from"), q.Get("to")))
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"from":%q,"to":%q,"cameras":[%s]}`, q.Get("from"), q.Get("to"), strings.Join(list, ","))
	case strings.HasSuffix(r.URL.Path, ".m3u8"):
		w.Header().Set("Content-Type", "application/vnd.apple.mpegurl")
		io.WriteString(w, "#EXTM3U\n#EXT-X-MAP:URI=\"cam0/init.mp4?from=a&to=b\"\n#EXTINF:2.0,\ncam0/1.m4s?from=a&to=b\n#EXT-X-ENDLIST\n")
	case strings.HasSuffix(r.URL.Path, ".json"):
		io.WriteString(w, `{"camera":"cam0","spans":[],"gaps":[]}`)
	default:
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader("0123456789"))
	}
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (g *gateway) do(t *testing.T, who, method, target, body string) answer {
	t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if who != "" {
		r.Header.Set("Authorization", "Bearer "+token(who))
	}
	return g.send(t, r)
}

func (g *gateway) send(t *testing.T, r *http.Request) answer {
	t.Helper()
	w := httptest.NewRecorder()
	g.Handler().ServeHTTP(w, r)
	if w.Code >= 400 && r.Method != http.MethodHead {
		var p struct {
			Type, Title, Instance string
			Status                int
		}
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Type == "" || p.Title == "" || p.Status != w.Code ||
			w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %d is no problem: %s %s", r.Method, r.URL, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
	}
	return answer{w.Code, w.Header(), w.Body.String()}
}

func decode[T any](t *testing.T, a answer) T {
	t.Helper()
	var v T
	if a.status/100 != 2 {
		t.Fatalf("%d: %s", a.status, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
	return v
}

func (g *gateway) audit(t *testing.T) []access.Event {
	t.Helper()
	var out []access.Event
	_, err := access.VerifyAudit(filepath.Join(g.dir, "audit"), func(_ ledger.Entry, e access.Event) error {
		out = append(out, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// begun returns the rows about what was let begin.
func (g *gateway) begun(t *testing.T) []access.Event {
	t.Helper()
	return slices.DeleteFunc(g.audit(t), func(e access.Event) bool { return e.Outcome != access.Begun })
}

// Every route there is, and some there are not: none answers without a credential but those named here.
func TestDefaultDeny(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	public := map[string]int{
		"GET /healthz": 200, "HEAD /healthz": 200, "GET /readyz": 200, "HEAD /readyz": 200,
		"POST /v1/login": 422, // an empty login, but looked at
		"GET /":          200, "HEAD /": 200, "GET /assets/app.js": 200, "HEAD /assets/app.js": 200,
	}
	routes := g.Routes()
	if len(routes) < 25 {
		t.Fatalf("only %d routes: %v", len(routes), routes)
	}
	paths := map[string]bool{}
	for _, r := range routes {
		_, path, ok := strings.Cut(r, " ")
		if !ok {
			path = r
		}
		paths[strings.NewReplacer("{camera}", "cam0", "{session}", "s", "{clip...}", "cam0.mp4", "{start}", "1", "{id}", "x",
			"{file}", "cam0.jpg").
			Replace(path)] = true
	}
	for _, p := range []string{
		"/", "/assets/app.js", "/assets/", "/index.php", "/v1", "/v1/", "/v1/nothing", "/v2/cameras", "/debug", "/metrics/x",
		"/healthz/", "//healthz", "/healthz/../v1/me", "/v1/login/", "//v1/login", "/%76%31/me", "/v1/openapi.yaml", "/docs",
		"/schemas/ErrorModel.json", "/.git/config", "/debug/vars", "/v1/whep/", "/v1/clips/",
	} {
		paths[p] = true
	}
	n := 0
	for path := range paths {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "FOO"} {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Method, r.URL.Path, r.RequestURI = method, path, path
			body := ""
			if method == "POST" {
				body = "{}"
				r = httptest.NewRequest(method, path, strings.NewReader(body))
			}
			a := g.send(t, r)
			want, open := public[method+" "+path]
			if !open {
				want = http.StatusUnauthorized
			}
			if a.status != want {
				t.Errorf("%s %s without a credential: %d, want %d", method, path, a.status, want)
			}
			if strings.Contains(a.body, "cam0") && !strings.Contains(path, "cam0") {
				t.Errorf("%s %s tells something: %s", method, path, a.body)
			}
			n++
		}
	}
	for _, p := range g.took() {
		if !strings.HasPrefix(p, "web ") {
			t.Errorf("reached without a credential: %s", p)
		}
	}
	t.Logf("%d requests over %d routes", n, len(routes))
}

// What each role may call, over every route with an action of its own.
func TestRolesAndRoutes(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	span := "from=2026-11-23T11:30:00Z&to=2026-11-23T11:31:00Z"
	tests := []struct{ call, may string }{
		{"GET /v1/me", "admin officer investigator operator auditor node"},
		{"GET /v1/openapi.json", "admin officer investigator operator auditor node"},
		{"GET /v1/units", "admin officer investigator operator auditor"},
		{"GET /v1/cameras", "admin officer investigator operator auditor"},
		{"HEAD /v1/changes", "admin officer investigator operator auditor"},
		{"GET /v1/health/cameras", "admin officer operator auditor"},
		{"POST /v1/whep/cam0", "admin officer investigator operator"},
		{"POST /v1/walls", "admin officer investigator operator"},
		{"GET /v1/coverage?camera=cam0&" + span, "admin officer investigator operator"},
		{"GET /v1/clips/cam0.mp4?" + span, "admin officer investigator operator"},
		{"GET /v1/storage", "admin officer operator auditor"},
		{"GET /v1/snapshots/cam0.jpg", "admin officer investigator operator"},
		{"POST /v1/whip/cam0", "admin operator"},
		{"DELETE /v1/whip/cam0/s", "admin operator"},
		{"POST /v1/whep/cam0/s/stats", "admin officer investigator operator"},
		{"GET /v1/live/sessions", "admin operator"},
		{"GET /v1/link", "node"},
		{"PUT /v1/ingest/segments/cam0/1", "node"},
		{"PUT /v1/ingest/gaps/cam0/1", "node"},
		{"GET /debug/pprof/cmdline", "admin"},
		{"GET /metrics", "admin operator"},
	}
	for _, tt := range tests {
		method, target, _ := strings.Cut(tt.call, " ")
		for _, who := range []string{"admin", "officer", "investigator", "operator", "auditor", "node"} {
			a := g.do(t, who, method, target, "")
			may := strings.Contains(" "+tt.may+" ", " "+who+" ")
			if may != (a.status < 400) {
				t.Errorf("%s, %s: %d %s", who, tt.call, a.status, a.body)
			}
			if !may && a.status != 403 && a.status != 404 {
				t.Errorf("%s, %s: refused with %d", who, tt.call, a.status)
			}
		}
	}
}

func TestUnknownRoutesAndMethods(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	for _, tt := range []struct {
		call   string
		status int
		allow  string
	}{
		{"GET /v1/nothing", 404, ""},
		{"GET /nothing", 404, ""},
		{"DELETE /v1/cameras", 405, "GET, HEAD"},
		{"GET /v1/login", 405, "POST"},
		{"POST /healthz", 405, "GET, HEAD"},
		{"GET /v1/retrievals", 405, "POST"},
		{"POST /v1/exports", 501, ""},
		{"GET /v1/exports/x", 501, ""},
		{"POST /v1/readings", 501, ""},
		{"POST /v1/events", 501, ""},
		{"GET /v1/alarms", 501, ""},
		{"GET /v1/health/report?day=2026-11-22", 501, ""},
	} {
		method, target, _ := strings.Cut(tt.call, " ")
		a := g.do(t, "admin", method, target, "")
		if a.status != tt.status || a.header.Get("Allow") != tt.allow {
			t.Errorf("%s: %d, Allow %q: %s", tt.call, a.status, a.header.Get("Allow"), a.body)
		}
	}
	bare := newGateway(t, func(_ *gateway, o *api.Options) { o.Whep, o.Archive, o.Link, o.Web = nil, nil, nil, nil })
	for _, call := range []string{
		"POST /v1/whep/cam0", "POST /v1/walls", "GET /v1/storage", "GET /v1/coverage?from=x",
		"GET /v1/clips/cam0.mp4",
	} {
		method, target, _ := strings.Cut(call, " ")
		if a := bare.do(t, "admin", method, target, ""); a.status != 501 {
			t.Errorf("%s without that part: %d", call, a.status)
		}
	}
	if a := bare.do(t, "", "GET", "/", ""); a.status != 401 {
		t.Errorf("no console: %d", a.status)
	}
}

func TestUnits(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	for who, want := range map[string]string{
		"admin": "yanfeng baishazhou jinlong dongfeng", "root": "yanfeng baishazhou jinlong dongfeng",
		"officer": "baishazhou dongfeng", "lost": "",
	} {
		body := decode[struct {
			Units []struct{ ID, Tier, Parent string }
		}](t, g.do(t, who, "GET", "/v1/units", ""))
		var ids []string
		for _, u := range body.Units {
			ids = append(ids, u.ID)
		}
		if strings.Join(ids, " ") != want {
			t.Errorf("%s sees %v", who, ids)
		}
	}
	a := g.do(t, "lost", "GET", "/v1/units", "")
	if strings.TrimSpace(a.body) != `{"units":[]}` {
		t.Errorf("an empty list is %s", a.body)
	}
}

type cameraList struct {
	Now     time.Time
	Next    string
	Cameras []struct {
		ID, Name, Kind, Unit, Grid, Edge, State, Reason string
		Location                                        *district.Location
		Profiles                                        map[string]status.Profile
		Recording                                       status.Recording
		Days                                            int `json:"retention_days"`
		Since                                           *time.Time
	}
}

func (l cameraList) ids() string {
	var ids []string
	for _, c := range l.Cameras {
		ids = append(ids, c.ID)
	}
	return strings.Join(ids, " ")
}

func TestCameras(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	a := g.do(t, "admin", "GET", "/v1/cameras", "")
	for _, leak := range []string{"rtsp://", "hunter2", "10.0.0.1", "$schema"} {
		if strings.Contains(a.body, leak) {
			t.Errorf("the list holds %q", leak)
		}
	}
	l := decode[cameraList](t, a)
	if l.ids() != "cam0 cam1 cam2 term0" || !l.Now.Equal(noon()) {
		t.Fatalf("%s at %v", l.ids(), l.Now)
	}
	c := l.Cameras[0]
	if c.State != "live" || c.Kind != "camera" || c.Days != 45 || !c.Recording.Active || *c.Location.Direction != 90 ||
		c.Profiles["main"].State != status.Offline || c.Since == nil {
		t.Errorf("cam0: %+v", c)
	}
	if c := l.Cameras[1]; c.State != "frozen" || c.Reason != "no_key_frame" || c.Days != 90 {
		t.Errorf("cam1: %+v", c)
	}
	// nobody tells about these: not green
	for _, c := range l.Cameras[2:] {
		if c.State != "edge_silent" || c.Profiles["main"].State != status.EdgeSilent {
			t.Errorf("%s: %+v", c.ID, c)
		}
	}
	if l.Cameras[3].Kind != "terminal" || l.Cameras[3].Location != nil {
		t.Errorf("term0: %+v", l.Cameras[3])
	}

	for _, tt := range []struct{ who, query, want string }{
		{"officer", "", "cam0 cam1 term0"},
		{"lost", "", ""},
		{"admin", "?unit=dongfeng", "cam1 term0"},
		{"admin", "?unit=baishazhou", "cam0 cam1 term0"},
		{"admin", "?q=小学", "cam1"},
		{"admin", "?q=TERM", "term0"},
		{"admin", "?q=白沙洲", "cam0"},
		{"admin", "?limit=2", "cam0 cam1"},
		{"admin", "?limit=2&cursor=cam1", "cam2 term0"},
		{"admin", "?limit=4", "cam0 cam1 cam2 term0"},
	} {
		l := decode[cameraList](t, g.do(t, tt.who, "GET", "/v1/cameras"+tt.query, ""))
		if l.ids() != tt.want {
			t.Errorf("%s %s: %s", tt.who, tt.query, l.ids())
		}
		if (l.Next != "") != (tt.query == "?limit=2") {
			t.Errorf("%s: next %q", tt.query, l.Next)
		}
	}
	for query, want := range map[string]int{
		"?unit=jinlong": 404, "?unit=nothing": 404, "?cursor=cam2": 400, "?limit=-1": 422, "?limit=x": 422,
	} {
		if a := g.do(t, "officer", "GET", "/v1/cameras"+query, ""); a.status != want {
			t.Errorf("officer %s: %d %s", query, a.status, a.body)
		}
	}
}

func TestHealthCameras(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	body := decode[struct {
		Summary map[string]int
		Cameras []status.Camera
	}](t, g.do(t, "officer", "GET", "/v1/health/cameras", ""))
	if fmt.Sprint(body.Summary) != "map[edge_silent:1 frozen:1 live:1]" || len(body.Cameras) != 3 {
		t.Errorf("%+v", body)
	}
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	g := newGateway(t, func(_ *gateway, o *api.Options) {
		o.Ready = func(context.Context) error { return errors.New("redis at 10.0.0.7 is away") }
	})
	a := g.do(t, "", "GET", "/readyz", "")
	if a.status != 503 || strings.Contains(a.body, "redis") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestInventoryReload(t *testing.T) {
	t.Parallel()
	inv := inventory()
	g := newGateway(t, func(_ *gateway, o *api.Options) { o.Inventory = func() *district.Inventory { return inv } })
	p := access.Principal{Role: access.Officer, Unit: "baishazhou", Kind: access.User}
	if !g.May(p, access.WatchLive, "cam0") || g.May(p, access.WatchLive, "cam2") || g.May(p, access.Retrieve, "cam0") {
		t.Fatal("scope")
	}
	inv = &district.Inventory{Units: inv.Units, Cameras: inv.Cameras[1:]}
	if g.May(p, access.WatchLive, "cam0") || !g.May(p, access.WatchLive, "cam1") {
		t.Fatal("a removed camera is still there")
	}
}

func TestOpenAPI(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	a := g.do(t, "auditor", "GET", "/v1/openapi.json", "")
	doc := decode[struct {
		OpenAPI    string
		Paths      map[string]map[string]json.RawMessage
		Components struct{ Schemas map[string]json.RawMessage }
	}](t, a)
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("version %s", doc.OpenAPI)
	}
	for _, call := range []string{
		"post /v1/login", "post /v1/logout", "get /v1/me", "get /v1/units", "get /v1/cameras", "post /v1/retrievals",
		"post /v1/whep/{camera}", "get /v1/coverage", "get /v1/clips/{camera}.mp4", "get /v1/clips/{camera}.m3u8",
		"get /v1/health/cameras", "get /healthz", "patch /v1/whep/{camera}/{session}", "delete /v1/walls/{session}",
		"post /v1/whep/{camera}/{session}/stats",
	} {
		method, path, _ := strings.Cut(call, " ")
		if doc.Paths[path][method] == nil {
			t.Errorf("%s is missing", call)
		}
	}
	// every variable of a path is described, and offers are SDP
	for path, item := range doc.Paths {
		for method, raw := range item {
			var op struct {
				Parameters  []struct{ Name, In string }
				RequestBody struct{ Content map[string]any }
				Responses   map[string]any
			}
			if err := json.Unmarshal(raw, &op); err != nil {
				t.Fatal(err)
			}
			described := 0
			for _, p := range op.Parameters {
				if p.In == "path" && strings.Contains(path, "{"+p.Name+"}") {
					described++
				}
			}
			if n := strings.Count(path, "{"); n != described {
				t.Errorf("%s %s: %d of %d variables are described", method, path, described, n)
			}
			offer := strings.Contains("/v1/whep/{camera} /v1/whip/{camera} /v1/walls", path) && method == "post"
			if offer && (op.RequestBody.Content["application/sdp"] == nil || op.Responses["201"] == nil) {
				t.Errorf("%s takes no SDP", path)
			}
		}
	}
	// every reference leads somewhere
	for _, ref := range strings.Split(a.body, `"$ref":"#/components/schemas/`)[1:] {
		name, _, _ := strings.Cut(ref, `"`)
		if doc.Components.Schemas[name] == nil {
			t.Errorf("schema %s is missing", name)
		}
	}
	if _, err := os.Stat(g.dir); err != nil {
		t.Fatal(err)
	}
}
