package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"skein/edge/status"
)

// TestDemo proves the promise of `make demo`: within 60 s the login works, a wall of 16 tiles moves in Chromium, and
// the last minute plays there, as MP4 and as HLS. It is not parallel: it wants the whole machine.
func TestDemo(t *testing.T) {
	nodejs := tool(t, "node")
	chromium := tool(t, "chromium")
	if _, err := os.Stat("gateway/web/node_modules/playwright-core"); err != nil {
		tool(t, "gateway/web/node_modules/playwright-core") // make test installs it
	}
	if _, err := os.Stat("gateway/web/dist/index.html"); err != nil {
		t.Fatalf("the console is not built, run make web: %v", err)
	}
	dir, listen, bin := t.TempDir(), freePort(t), skeinBinary(t)
	began := time.Now()
	p := launch(t, "demo", bin, "demo", "--data", filepath.Join(dir, "data"), "--listen", listen,
		"--webrtc", freePort(t), "--rtsp", freePort(t), "--sim", freePort(t))
	var password string
	poll(t, "console and password", 60*time.Second, func() error {
		if p.ended() {
			t.Fatalf("demo ended: %v", p.err)
		}
		resp, err := http.Get("http://" + listen + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if m := regexp.MustCompile(`password +(\S+)\n`).FindStringSubmatch(p.out.String()); m != nil {
			password = m[1]
		}
		if password == "" {
			return errors.New("no password is shown yet")
		}
		return nil
	})
	ready := time.Since(began)

	script := exec.Command(nodejs, "e2e/wall.mjs", filepath.Join(dir, "pictures"))
	script.Dir = "gateway/web"
	script.Env = append(os.Environ(), "BASE_URL=http://"+listen, "USER_NAME=admin", "PASSWORD="+password,
		"CHROMIUM="+chromium, "TILES=16")
	out, err := script.Output()
	var r struct {
		OK    bool   `json:"ok"`
		Error string `json:"error"`
		Login int    `json:"login_ms"`
		First int    `json:"wall_first_ms"`
		All   int    `json:"wall_all_ms"`
		MP4   int    `json:"replay_mp4_ms"`
		HLS   int    `json:"replay_hls_ms"`
	}
	if jerr := json.Unmarshal([]byte(lastLine(string(out))), &r); jerr != nil {
		t.Fatalf("wall.mjs: %v, %v: %s", err, jerr, out)
	}
	if err != nil || !r.OK {
		keepPictures(t, filepath.Join(dir, "pictures"))
		t.Fatalf("wall.mjs: %v: %s", err, out)
	}
	moving := ready + time.Duration(r.Login+r.First+r.All)*time.Millisecond
	t.Logf("ready after %v, 16 tiles move after %v; replay: mp4 %d ms, HLS %d ms", ready.Round(time.Millisecond),
		moving.Round(time.Millisecond), r.MP4, r.HLS)
	if moving > 60*time.Second {
		t.Errorf("the wall moves %v after the start, want at most 60 s", moving)
	}
	pictures, err := filepath.Glob(filepath.Join(dir, "pictures", "*.png"))
	if err != nil || len(pictures) < 5 {
		t.Errorf("%d screenshots, %v", len(pictures), err)
	}

	demoShowsFaults(t, listen, password)
	demoHasAPast(t, listen, password)
	for _, who := range []string{"officer", "investigator", "operator", "auditor"} {
		m := regexp.MustCompile(`user +` + who + ` +password +(\S+)\n`).FindStringSubmatch(p.out.String())
		if m == nil || demoLogin(t, listen, who, m[1]) == "" {
			t.Errorf("%s cannot log in with what is shown: %q", who, m)
		}
	}
	said := len(p.out.String())
	p.stop()
	if end := p.out.String()[said:]; strings.Contains(end, "level=WARN") || strings.Contains(end, "level=ERROR") {
		t.Errorf("stopped by us, it complains:\n%s", end)
	}
}

// demoLogin logs in and returns the session's token, "" if that fails.
func demoLogin(t *testing.T, listen, user, password string) string {
	t.Helper()
	resp, err := http.Post("http://"+listen+"/v1/login", "application/json",
		strings.NewReader(fmt.Sprintf(`{"user":%q,"password":%q}`, user, password)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out struct{ Token string }
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out.Token
}

// demoGet reads a JSON resource of the demonstration.
func demoGet(t *testing.T, listen, password, path string, into any) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+listen+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+demoLogin(t, listen, "admin", password))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v", path, resp.Status, err)
	}
}

// demoShowsFaults: cameras that fail show why, each in its own way, and the others are live.
func demoShowsFaults(t *testing.T, listen, password string) {
	t.Helper()
	var list struct{ Cameras []cameraState }
	demoGet(t, listen, password, "/v1/cameras", &list)
	live, seen := 0, map[string]status.Reason{}
	for _, c := range list.Cameras {
		if c.State == status.Live || c.State == status.Delayed {
			live++
		}
		seen[c.ID] = c.Reason
	}
	for id, want := range map[string]status.Reason{
		"cam-21": status.ReasonAuth, "cam-22": status.ReasonRefused, "cam-23": status.ReasonNotFound,
	} {
		if seen[id] != want {
			t.Errorf("%s fails with %q, want %q", id, seen[id], want)
		}
	}
	if live < 70 || len(list.Cameras) != 77 {
		t.Errorf("%d of %d cameras are live", live, len(list.Cameras))
	}
}

// demoHasAPast: a day of footage is there, with a gap of every cause.
func demoHasAPast(t *testing.T, listen, password string) {
	t.Helper()
	now := time.Now()
	poll(t, "a day of footage", 60*time.Second, func() error {
		var c struct {
			Cameras []struct{ Spans, Gaps []span }
		}
		demoGet(t, listen, password, "/v1/coverage?"+rangeQuery(now.Add(-25*time.Hour), now, "camera", "term-01"), &c)
		causes := map[string]bool{}
		var held time.Duration
		for _, s := range c.Cameras[0].Spans {
			held += s.To.Sub(s.From)
		}
		for _, g := range c.Cameras[0].Gaps {
			causes[g.Cause] = true
		}
		if held < 22*time.Hour || len(causes) < 8 {
			return fmt.Errorf("%v of footage, gaps %v", held, causes)
		}
		return nil
	})
}

func lastLine(s string) string {
	all := lines(s)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}

// keepPictures moves the screenshots of a failed run to SKEIN_TEST_ARTIFACTS, if that is set.
func keepPictures(t *testing.T, from string) {
	t.Helper()
	to := os.Getenv("SKEIN_TEST_ARTIFACTS")
	if to == "" {
		return
	}
	if err := os.CopyFS(filepath.Join(to, strings.ReplaceAll(t.Name(), "/", "-")), os.DirFS(from)); err != nil {
		t.Log(err)
	}
}
