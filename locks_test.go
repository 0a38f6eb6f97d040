package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestLocksThroughSplitRoles sets, lists and ends a lock at a gateway whose archive is another process.
func TestLocksThroughSplitRoles(t *testing.T) {
	t.Parallel()
	const nodeToken = "node-token-of-the-lock-test"
	cameras := `cameras: [{id: cam0, name: A, unit: yf, main: "rtsp://127.0.0.1:1/x"}]` + "\n"
	rec := newNode(t, "recorder")
	rec.configure(t, oneUnit+cameras+fmt.Sprintf("access: {nodes: [{id: gw, kind: gateway, token: %q}]}\n", nodeToken))
	rec.start(t)
	gw := newNode(t, "gateway")
	gw.configure(t, oneUnit+cameras+access+fmt.Sprintf("recorder: {urls: [%q], token: %q}\n", "http://"+rec.http, nodeToken))
	gw.start(t)
	do := func(n *node, token, method, path, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequest(method, "http://"+n.http+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	now := time.Now().UTC()
	lock := fmt.Sprintf(`{"cameras":["cam0"],"from":%q,"to":%q,"reason":"theft","until":%q}`,
		now.Add(-time.Hour).Format(time.RFC3339), now.Format(time.RFC3339), now.Add(time.Hour).Format(time.RFC3339))
	code, body := do(gw, testToken, http.MethodPost, "/v1/locks", lock)
	var l struct{ ID, Owner string }
	if err := json.Unmarshal([]byte(body), &l); err != nil || code != 201 || l.Owner != "bench" {
		t.Fatalf("%d %s", code, body)
	}
	if names, err := filepath.Glob(filepath.Join(rec.dir, "data", "store", "meta", "locks", l.ID+".json")); err != nil ||
		len(names) != 1 {
		t.Errorf("in the bucket: %v %v", names, err)
	}
	if code, body := do(gw, testToken, http.MethodGet, "/v1/locks", ""); code != 200 || !strings.Contains(body, l.ID) {
		t.Errorf("list: %d %s", code, body)
	}
	for _, path := range []string{"/v1/locks", "/v1/thumbnails/cam0.jpg", "/v1/evidence/key", "/v1/coverage"} {
		if code, _ := do(rec, "wrong", http.MethodGet, path, ""); code != 401 {
			t.Errorf("recorder %s without a token: %d", path, code)
		}
	}
	if code, body := do(gw, testToken, http.MethodGet, "/v1/evidence/key", ""); code != 200 || !strings.Contains(body, "Ed25519") {
		t.Errorf("key: %d %s", code, body)
	}
	at := now.Add(-time.Minute).Format(time.RFC3339)
	if code, body := do(gw, testToken, http.MethodGet, "/v1/thumbnails/cam0.jpg?at="+at, ""); code != 404 && code != 501 {
		t.Errorf("thumbnail without footage: %d %s", code, body)
	}
	if code, body := do(gw, testToken, http.MethodDelete, "/v1/locks/"+l.ID+"?reason=closed", ""); code != 204 {
		t.Errorf("release: %d %s", code, body)
	}
	if code, body := do(gw, testToken, http.MethodGet, "/v1/locks", ""); code != 200 || strings.Contains(body, l.ID) {
		t.Errorf("list after release: %d %s", code, body)
	}
}
