package main

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
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

	said := len(p.out.String())
	p.stop()
	if end := p.out.String()[said:]; strings.Contains(end, "level=WARN") || strings.Contains(end, "level=ERROR") {
		t.Errorf("stopped by us, it complains:\n%s", end)
	}
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
