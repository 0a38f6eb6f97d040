package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"skein/bench/sim"
	"skein/edge/media"
	"skein/edge/status"
)

// played is what a script in a page of another origin got, see player.mjs.
type played struct {
	Made, Trickled, Ended int // HTTP status
	Frames, Width         int
	Error                 string
	Own                   int    // of the console's own page, which is logged in
	Borrowed, Written     string // with the login of the console in the same browser
	Bare                  string // without any credential
}

// TestPlayerOfAnotherOrigin plays a camera by WHEP in Chromium, in pages that the gateway did not serve: one of an origin
// that the configuration names, and one of another. Neither gets anything from the login that the browser has.
func TestPlayerOfAnotherOrigin(t *testing.T) {
	beside(t, 2, 20*time.Second)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html><title>A player</title><body></body>"))
	}))
	t.Cleanup(page.Close)
	// Another site, not only another port: a host has two names here.
	origin := strings.Replace(page.URL, "127.0.0.1", "localhost", 1)
	cams := startSim(t, sim.Config{Cameras: []sim.Camera{{ID: "a", Video: small(media.H264)}}})
	n := newNode(t, "all")
	n.configure(t, oneUnit+strings.Replace(access, "{tokens", "{origins: [\""+origin+"\"], tokens", 1)+
		"cameras: [{id: a, name: A, unit: yf, main: \""+cams.URL("a", media.Main)+"\", transport: tcp}]\n")
	n.start(t)
	n.awaitState(t, status.Live, 30*time.Second, "a")

	got := n.player(t, origin)
	if got.Made != 201 || got.Trickled != 204 || got.Ended != 200 || got.Frames < 20 || got.Width == 0 {
		t.Errorf("the page named got %+v", got)
	}
	if got.Own != 200 || got.Borrowed != "refused" || got.Written != "refused" || got.Bare != "401" {
		t.Errorf("the login of the browser gave %+v", got)
	}
	t.Logf("%+v", got)
	other := n.player(t, page.URL)
	if other.Error == "" || other.Made != 0 || other.Own != 200 || other.Borrowed != "refused" || other.Bare != "refused" {
		t.Errorf("a page not named got %+v", other)
	}
	t.Logf("%+v", other)
}

// player runs a player in a page of the address.
func (n *node) player(t *testing.T, page string) (p played) {
	t.Helper()
	if _, err := os.Stat("gateway/web/node_modules/playwright-core"); err != nil {
		tool(t, "gateway/web/node_modules/playwright-core") // make test installs it
	}
	cmd := exec.CommandContext(t.Context(), tool(t, "node"), "e2e/player.mjs")
	cmd.Dir = "gateway/web"
	cmd.Env = append(os.Environ(), "PAGE_URL="+page, "LOGIN_URL=http://"+n.http+"/", "PASSWORD="+n.password(t),
		"WHEP_URL=http://"+n.http+"/v1/whep/a", "TOKEN="+testToken, "CHROMIUM="+tool(t, "chromium"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("player.mjs: %v", err)
	}
	if err := json.Unmarshal(out, &p); err != nil {
		t.Fatalf("player.mjs: %v: %s", err, out)
	}
	return p
}
