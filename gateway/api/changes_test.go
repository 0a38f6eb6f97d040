package api_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"skein/config/district"
	"skein/edge/status"
	"skein/gateway/access"
	"skein/gateway/api"
)

// moods are cameras whose states a test changes.
type moods struct {
	mu   sync.Mutex
	list []status.Camera
}

func (m *moods) Cameras() []status.Camera {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := slices.Clone(m.list)
	for i := range out {
		out[i].Profiles = maps.Clone(out[i].Profiles)
	}
	return out
}

// edit changes the main profile of camera i.
func (m *moods) edit(i int, change func(*status.Profile)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.list[i].Profiles["main"]
	change(&p)
	m.list[i].Profiles["main"] = p
}

func (m *moods) set(i int, s status.State) { m.edit(i, func(p *status.Profile) { p.State = s }) }

// fluctuate changes all figures that are never twice the same.
func (m *moods) fluctuate() {
	for i := range m.Cameras() {
		m.edit(i, func(p *status.Profile) {
			p.FPS, p.Kbps, p.DelayMS = 14.8+rand.Float64(), 380+rand.IntN(50), rand.Int64N(300)
			p.LastFrame, p.LastKey = time.Now(), time.Now().Add(-time.Second)
			p.LostPackets += rand.Uint64N(2)
			p.ClockOffsetMS = new(rand.Int64N(200) - 100)
			p.Since = p.Since.Truncate(time.Minute).Add(rand.N(time.Second))
		})
	}
}

func cheerful(ids ...string) *moods {
	m := &moods{}
	for _, id := range ids {
		m.list = append(m.list, status.Camera{ID: id, Profiles: map[string]status.Profile{
			"main": {
				State: status.Live, Since: noon(), Codec: "H264", Width: 1920, Height: 1080, FPS: 15, Kbps: 400,
				ClockOffsetMS: new(int64),
			},
		}})
	}
	return m
}

// event is one message of a feed.
type event struct {
	Version string
	Reload  bool
	Cameras []struct{ ID, State string }
}

func (e event) String() string {
	var b strings.Builder
	for _, c := range e.Cameras {
		fmt.Fprintf(&b, "%s %s;", c.ID, c.State)
	}
	if e.Reload {
		b.WriteString("reload")
	}
	return b.String()
}

// listening is an open feed.
type listening struct {
	status int
	events chan event // closed at the end of the feed
	bytes  atomic.Int64
	cancel context.CancelFunc
}

func (g *gateway) serve(t testing.TB) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(g.Handler())
	t.Cleanup(s.Close)
	return s
}

// listen opens a feed over a real connection.
func listen(t testing.TB, s *httptest.Server, bearer, query string) *listening {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	l := &listening{events: make(chan event, 100), cancel: cancel}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/v1/changes"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+bearer)
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			return counted{c, &l.bytes}, err
		},
		DisableKeepAlives: true,
	}}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	l.status = resp.StatusCode
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(l.events)
		defer resp.Body.Close()
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			data, ok := strings.CutPrefix(lines.Text(), "data: ")
			var e event
			if ok && json.Unmarshal([]byte(data), &e) == nil {
				l.events <- e
			}
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return l
}

// counted counts what a connection receives.
type counted struct {
	net.Conn
	n *atomic.Int64
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// next returns the next message, or "end" or "nothing".
func (l *listening) next(within time.Duration) string {
	select {
	case e, ok := <-l.events:
		if !ok {
			return "end"
		}
		return e.String()
	case <-time.After(within):
		return "nothing"
	}
}

func (l *listening) expect(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := l.next(5 * time.Second); got != w {
			t.Fatalf("the feed says %q, want %q", got, w)
		}
	}
}

// A change of a camera's state is told to those who may see the camera, once, and to nobody else.
func TestChangesAreToldInScope(t *testing.T) {
	t.Parallel()
	m := cheerful("cam0", "cam1", "cam2", "term0")
	g := newGateway(t, func(_ *gateway, o *api.Options) { o.Health, o.Now = m, time.Now })
	s := g.serve(t)
	admin, officer := listen(t, s, token("admin"), ""), listen(t, s, token("officer"), "")
	admin.expect(t, "")
	officer.expect(t, "")
	began := time.Now()
	m.set(2, status.Offline) // in jinlong, which the officer of baishazhou does not see
	admin.expect(t, "cam2 offline;")
	t.Logf("told after %v", time.Since(began))
	m.set(1, status.Frozen)
	admin.expect(t, "cam1 frozen;")
	officer.expect(t, "cam1 frozen;")
	m.fluctuate()
	if got := officer.next(700 * time.Millisecond); got != "nothing" {
		t.Errorf("figures are told as a change: %s", got)
	}
	m.edit(0, func(p *status.Profile) { p.ClockOffsetMS = new(int64(5000)) })
	officer.expect(t, "cam0 live;")
	if a := g.do(t, "node", http.MethodGet, "/v1/changes", ""); a.status != http.StatusForbidden {
		t.Errorf("a node gets %d", a.status)
	}
}

// Who comes back with a version gets what changed since, each camera once however often it changed; who comes with a
// version of another process is told to read everything again.
func TestChangesSinceAVersion(t *testing.T) {
	t.Parallel()
	m := cheerful("cam0", "cam1", "cam2", "term0")
	g := newGateway(t, func(_ *gateway, o *api.Options) { o.Health, o.Now = m, time.Now })
	s := g.serve(t)
	list := decode[struct{ Version string }](t, g.do(t, "admin", http.MethodGet, "/v1/cameras", ""))
	watcher := listen(t, s, token("admin"), "")
	watcher.expect(t, "")
	for i := range 6 {
		m.set(0, []status.State{status.Frozen, status.Offline}[i%2])
		watcher.expect(t, []string{"cam0 frozen;", "cam0 offline;"}[i%2])
	}
	listen(t, s, token("admin"), "?since="+list.Version).expect(t, "cam0 offline;")
	listen(t, s, token("officer"), "?since="+list.Version).expect(t, "cam0 offline;")
	for _, since := range []string{"another.1", list.Version + "9999", "", "nonsense"} {
		want := "reload"
		if since == "" {
			want = ""
		}
		listen(t, s, token("admin"), "?since="+since).expect(t, want)
	}
}

// Another inventory, and another account: read again. No account: the end.
func TestChangesOfWhoMaySeeWhat(t *testing.T) {
	t.Parallel()
	m := cheerful("cam0", "cam1", "cam2", "term0")
	var inv atomic.Pointer[district.Inventory]
	inv.Store(inventory())
	g := newGateway(t, func(_ *gateway, o *api.Options) {
		o.Health, o.Now, o.Inventory = m, time.Now, inv.Load
	})
	s := g.serve(t)
	l := listen(t, s, token("officer"), "")
	l.expect(t, "")
	less := inventory()
	less.Cameras = less.Cameras[:2]
	inv.Store(less)
	l.expect(t, "reload", "end")

	login, err := g.a.Login(t.Context(), "admin", adminPassword, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	l = listen(t, s, login.Token, "")
	l.expect(t, "")
	began := time.Now()
	if err := g.a.Logout(login.Who, "127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	m.set(0, status.Offline)
	l.expect(t, "end")
	t.Logf("the feed of a login that is over ended after %v", time.Since(began))
	if after := listen(t, s, login.Token, ""); after.status != http.StatusUnauthorized {
		t.Errorf("a login that is over gets %d", after.status)
	}
}

// There are only so many feeds for one login, and all end with the server.
func TestChangesAreBoundedAndEnd(t *testing.T) {
	t.Parallel()
	m := cheerful("cam0")
	g := newGateway(t, func(_ *gateway, o *api.Options) { o.Health, o.Now = m, time.Now })
	s := g.serve(t)
	var open []*listening
	for {
		l := listen(t, s, token("officer"), "")
		if l.status != http.StatusOK {
			if l.status != http.StatusTooManyRequests || len(open) < 8 {
				t.Fatalf("feed %d gets %d", len(open), l.status)
			}
			break
		}
		open = append(open, l)
	}
	t.Logf("%d feeds for one login", len(open))
	listen(t, s, token("admin"), "").expect(t, "")
	open[0].cancel() // makes room, as soon as the gateway has noticed
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if l := listen(t, s, token("officer"), ""); l.status == http.StatusOK {
			open[0] = l
			break
		}
		if time.Now().After(end) {
			t.Fatal("a feed that was closed still counts")
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Run(ctx); err != nil {
		t.Error(err)
	}
	for _, l := range open {
		l.expect(t, "", "end")
	}
	if l := listen(t, s, token("admin"), ""); l.status != http.StatusServiceUnavailable {
		t.Errorf("a gateway that stops answers %d", l.status)
	}
}

func district5000() (*district.Inventory, *moods) {
	inv := &district.Inventory{Units: []district.Unit{{ID: "yanfeng", Name: "雁峰区", Tier: district.TierDistrict}}}
	var ids []string
	for i := range 5000 {
		id := fmt.Sprintf("yf-cam-%04d", i)
		ids = append(ids, id)
		inv.Cameras = append(inv.Cameras, district.Camera{ID: id, Name: "雁峰广场东北角 " + id, Unit: "yanfeng",
			Main: "rtsp://10.0.0.1/" + id, Location: &district.Location{Lat: 26.88, Lon: 112.60}})
	}
	return inv, cheerful(ids...)
}

// 5,000 cameras whose figures all change four times a second, and one of which changes its state every two seconds, are
// less than 1 KB/s to a page that listens: the goal of the console.
func TestChangesOfAQuietDistrict(t *testing.T) {
	t.Parallel()
	inv, m := district5000()
	g := newGateway(t, func(_ *gateway, o *api.Options) {
		o.Health, o.Now, o.Inventory = m, time.Now, func() *district.Inventory { return inv }
	})
	s := g.serve(t)
	l := listen(t, s, token("admin"), "")
	l.expect(t, "")
	from, began, states := l.bytes.Load(), time.Now(), 0
	for time.Since(began) < 8*time.Second {
		if time.Since(began) > time.Duration(states)*2*time.Second {
			m.set(states, status.Offline)
			states++
		}
		m.fluctuate()
		time.Sleep(250 * time.Millisecond)
	}
	for range states {
		if got := l.next(5 * time.Second); !strings.HasSuffix(got, " offline;") {
			t.Errorf("the feed says %q", got)
		}
	}
	rate := float64(l.bytes.Load()-from) / time.Since(began).Seconds()
	t.Logf("%d states of 5,000 cameras changed in %.1f s: %.0f bytes/s", states, time.Since(began).Seconds(), rate)
	if rate > 1000 {
		t.Errorf("%.0f bytes/s, want at most 1000", rate)
	}
}

// The list itself is compressed, and not sent to who has it.
func TestCamerasPackedAndTagged(t *testing.T) {
	t.Parallel()
	inv, m := district5000()
	g := newGateway(t, func(_ *gateway, o *api.Options) {
		o.Health, o.Inventory = m, func() *district.Inventory { return inv }
	})
	ask := func(set func(http.Header)) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/v1/cameras", nil)
		r.Header.Set("Authorization", "Bearer "+token("admin"))
		set(r.Header)
		w := httptest.NewRecorder()
		g.Handler().ServeHTTP(w, r)
		return w
	}
	plain := ask(func(http.Header) {})
	packed := ask(func(h http.Header) { h.Set("Accept-Encoding", "br, gzip;q=1.0") })
	if packed.Header().Get("Content-Encoding") != "gzip" || packed.Body.Len()*8 > plain.Body.Len() {
		t.Errorf("%d bytes packed, %d plain, %v", packed.Body.Len(), plain.Body.Len(), packed.Header())
	}
	t.Logf("5,000 cameras: %d bytes, packed %d", plain.Body.Len(), packed.Body.Len())
	z, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(z); err != nil || string(b) != plain.Body.String() {
		t.Errorf("unpacked it is another list: %d bytes, %v", len(b), err)
	}
	if w := ask(func(h http.Header) { h.Set("Accept-Encoding", "gzip;q=0, deflate") }); w.Header().Get("Content-Encoding") != "" {
		t.Error("packed for a client that refuses it")
	}
	tag := plain.Header().Get("ETag")
	same := ask(func(h http.Header) { h.Set("If-None-Match", `"x", `+tag) })
	if tag == "" || same.Code != http.StatusNotModified || same.Body.Len() != 0 {
		t.Errorf("tag %q: %d with %d bytes", tag, same.Code, same.Body.Len())
	}
	m.set(7, status.Frozen)
	if w := ask(func(h http.Header) { h.Set("If-None-Match", tag) }); w.Code != http.StatusOK {
		t.Errorf("a list that changed: %d", w.Code)
	}
	some := decode[cameraList](t, g.do(t, "admin", http.MethodGet, "/v1/cameras?id=yf-cam-0007&id=yf-cam-0009&id=nobody", ""))
	if len(some.Cameras) != 2 || some.Cameras[0].ID != "yf-cam-0007" {
		t.Errorf("two cameras by id: %+v", some.Cameras)
	}
}

// Whoever logs in is told what the role allows, so that no page offers what the gateway would refuse.
func TestMeTellsWhatIsAllowed(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	for who, watches := range map[string]bool{"officer": true, "auditor": false} {
		me := decode[struct{ May []access.Action }](t, g.do(t, who, http.MethodGet, "/v1/me", ""))
		if !slices.Contains(me.May, access.SeeInventory) || slices.Contains(me.May, access.WatchLive) != watches {
			t.Errorf("%s may %v", who, me.May)
		}
	}
	for who, takes := range map[string]bool{
		"admin": true, "investigator": true, "officer": false, "operator": false, "auditor": false,
	} {
		me := decode[struct{ May []access.Action }](t, g.do(t, who, http.MethodGet, "/v1/me", ""))
		if slices.Contains(me.May, access.Download) != takes {
			t.Errorf("%s may %v, want download: %v", who, me.May, takes)
		}
	}
}
