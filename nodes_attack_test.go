package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"skein/bench/sim"
	"skein/edge/media"
	"skein/edge/status"
	"skein/internal/caller"
	rowsof "skein/internal/ledger"
	"skein/recorder/guard"
	"skein/recorder/segment"
)

const edge2Token = "token-of-the-second-edge-node"

// hostile is a Skein of two sites, their gateway and their recorder, as somebody sees it who has broken into the first
// site and holds its token.
type hostile struct {
	t                     *testing.T
	first, second         *node // the sites' edges: cam0 is the first's, cam1 the second's
	gateway, recorder     *node
	inventory, recordings string
}

// startHostile starts everything and waits until both cameras are live.
func startHostile(t *testing.T) *hostile {
	t.Helper()
	cams := startSim(t, sim.Config{Cameras: []sim.Camera{
		{ID: "cam0", Video: small(media.H264)}, {ID: "cam1", Video: small(media.H264)},
	}})
	h := &hostile{
		t: t, first: newNode(t, "edge"), second: newNode(t, "edge"), gateway: newNode(t, "gateway"),
		recorder: newNode(t, "recorder"),
	}
	h.inventory = oneUnit + "cameras:\n"
	for i, id := range []string{"cam0", "cam1"} {
		h.inventory += fmt.Sprintf("  - {id: %s, name: A, unit: yf, edge: edge-%d, main: %q, transport: tcp, record: main}\n",
			id, i+1, cams.URL(id, media.Main))
	}
	h.recorder.configure(t, h.inventory+fmt.Sprintf(`
access: {nodes: [{id: edge-1, kind: edge, token: %s}, {id: edge-2, kind: edge, token: %s}, {id: gw, kind: gateway, token: %s}]}
evidence: {interval: 1s}
`, edgeToken, edge2Token, gatewayToken))
	h.recordings = filepath.Join(h.recorder.dir, "data", "store")
	h.gateway.configure(t, h.inventory+fmt.Sprintf(`
access:
  tokens: [{name: bench, token: {env: SKEIN_TEST_TOKEN}, role: admin, unit: yf}]
  nodes: [{id: edge-1, kind: edge, token: %s}, {id: edge-2, kind: edge, token: %s}]
recorder: {urls: ["http://%s"], token: %s}
`, edgeToken, edge2Token, h.recorder.http, gatewayToken))
	for i, e := range []*node{h.first, h.second} {
		e.configure(t, h.inventory+fmt.Sprintf(`
spool: {segment: 4s, ship: {retry_min: 200ms, retry_max: 1s}}
link: {node: edge-%d, gateway: "http://%s", token: %s}
recorder: {urls: ["http://%s"], token: %s}
`, i+1, h.gateway.http, []string{edgeToken, edge2Token}[i], h.recorder.http, []string{edgeToken, edge2Token}[i]))
	}
	for _, n := range []*node{h.recorder, h.gateway, h.first, h.second} {
		n.start(t)
	}
	h.gateway.awaitState(t, status.Live, 30*time.Second, "cam0", "cam1")
	return h
}

// ask sends the recorder a request with a node's token; each pair of more is a header.
func (h *hostile) ask(token, method, path, body string, more ...string) (int, string) {
	h.t.Helper()
	req, err := http.NewRequest(method, "http://"+h.recorder.http+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i < len(more); i += 2 {
		req.Header.Set(more[i], more[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

// whole waits until the archive holds the camera from one moment to another without a hole.
func (h *hostile) whole(camera string, from, to time.Time) {
	h.t.Helper()
	poll(h.t, "whole footage of "+camera, 40*time.Second, func() error {
		spans, gaps, err := h.gateway.coverage(camera, from, to)
		if err == nil && (len(spans) != 1 || len(gaps) != 0) {
			err = fmt.Errorf("spans %v, gaps %v", spans, gaps)
		}
		return err
	})
}

// TestANodeIsWhatItIsAllowedToBe lets somebody who holds the token of one site try to read, to lock and unlock, and to
// forge what belongs to another or to the past and the future. Recording goes on meanwhile, coverage tells what is there,
// and the footage stays evidence.
func TestANodeIsWhatItIsAllowedToBe(t *testing.T) {
	beside(t, 1, 25*time.Second)
	h := startHostile(t)
	began := time.Now()
	h.gateway.awaitArchive(t, began, began.Add(5*time.Second), 40*time.Second, "cam0", "cam1")
	h.reads(began)
	h.locks(began)
	h.forgeries(began)
	upTo := time.Now()
	h.gateway.awaitArchive(t, began, upTo, 40*time.Second, "cam0", "cam1")
	for _, id := range []string{"cam0", "cam1"} {
		h.whole(id, began, upTo)
	}
	h.rows()
	h.evidence(began, upTo)
}

// reads tries to read as an edge, and as a gateway that names nobody.
func (h *hostile) reads(began time.Time) {
	h.t.Helper()
	span := rangeQuery(began, began.Add(4*time.Second))
	chief := caller.Person{Name: "chief", Role: "admin"}.Encode()
	for _, path := range []string{
		"/v1/clips/cam1.mp4?" + span, "/v1/clips/cam1.m3u8?" + span, "/v1/clips/cam0.mp4?" + span, "/v1/coverage?camera=cam1&" + span,
		"/v1/thumbnails/cam1.jpg?at=" + began.UTC().Format(time.RFC3339), "/v1/locks", "/v1/storage", "/v1/evidence/key",
	} {
		if code, body := h.ask(edgeToken, http.MethodGet, path, "", caller.Header, chief); code != http.StatusForbidden {
			h.t.Errorf("an edge reads %s: %d, %d bytes", path, code, len(body))
		}
	}
	clip := "/v1/clips/cam1.mp4?" + span
	if code, _ := h.ask(gatewayToken, http.MethodGet, clip, ""); code != http.StatusForbidden {
		h.t.Errorf("a gateway reads for nobody: %d", code)
	}
	if code, body := h.ask(gatewayToken, http.MethodGet, clip, "", caller.Header, chief); code != http.StatusOK || len(body) < 10000 {
		h.t.Errorf("a gateway reads for a person: %d, %d bytes", code, len(body))
	}
	h.gateway.fetch(h.t, "cam1", began, began.Add(3*time.Second))
}

// locks tries to list, end and set locks as an edge.
func (h *hostile) locks(began time.Time) {
	h.t.Helper()
	lock := func(until time.Time) string {
		return fmt.Sprintf(`{"cameras":["cam1"],"from":%q,"to":%q,"reason":"homicide 2026-17","until":%q}`,
			began.UTC().Format(time.RFC3339), began.UTC().Add(time.Minute).Format(time.RFC3339), until.UTC().Format(time.RFC3339))
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+h.gateway.http+"/v1/locks",
		strings.NewReader(lock(began.Add(time.Hour))))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testToken)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	var l struct{ ID, Owner string }
	if err := json.NewDecoder(resp.Body).Decode(&l); err != nil || resp.StatusCode != http.StatusCreated || l.Owner != "bench" {
		h.t.Fatalf("lock through the gateway: %s %+v %v", resp.Status, l, err)
	}
	chief := caller.Person{Name: "chief"}.Encode()
	century := strings.Replace(lock(time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)), "{", `{"owner":"chief",`, 1)
	for _, a := range []struct {
		token, method, path, body, person string
		want                              int
	}{
		{edgeToken, http.MethodDelete, "/v1/locks/" + l.ID, "", chief, 403},
		{edgeToken, http.MethodPost, "/v1/locks", century, chief, 403},
		{gatewayToken, http.MethodDelete, "/v1/locks/" + l.ID, "", "", 403},
		{gatewayToken, http.MethodPost, "/v1/locks", century, chief, 422},
	} {
		if code, body := h.ask(a.token, a.method, a.path, a.body, caller.Header, a.person); code != a.want {
			h.t.Errorf("%s %s with %s: %d %s, want %d", a.method, a.path, a.token, code, body, a.want)
		}
	}
	_, body, err := h.gateway.get("/v1/locks")
	if err != nil || strings.Count(string(body), `"id"`) != 1 || !strings.Contains(string(body), l.ID) {
		h.t.Errorf("locks afterwards: %s %v", body, err)
	}
}

// forgeries ships, as the first site's edge, what is not its own, not of now, or not what the chain says; and tells of
// gaps where there are none.
func (h *hostile) forgeries(began time.Time) {
	h.t.Helper()
	m, data := h.newest("cam0")
	ship := func(camera string, change func(*segment.Manifest)) int {
		f := m
		f.Camera, f.Seq = camera, m.Seq+1
		change(&f)
		raw, err := json.Marshal(f)
		if err != nil {
			h.t.Fatal(err)
		}
		code, _ := h.ask(edgeToken, http.MethodPut,
			fmt.Sprintf("/v1/ingest/segments/%s/%d", f.Camera, f.Start.UnixMilli()), data,
			"Skein-Manifest", base64.StdEncoding.EncodeToString(raw))
		return code
	}
	in2099 := time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, camera string
		change       func(*segment.Manifest)
		want         int
	}{
		{"its pictures as another site's", "cam1", func(m *segment.Manifest) { m.Seq, m.Prev = 1, segment.Hash{} }, 403},
		{"a camera that there is not", "no-such-camera-xyz", func(m *segment.Manifest) {}, 403},
		{"of 2099, of another site", "cam1", func(m *segment.Manifest) { m.Start, m.Seq = in2099, 4_000_000_000 }, 403},
		{"of 2099", "cam0", func(m *segment.Manifest) { m.Start, m.Seq = in2099, 4_000_000_000 }, 422},
		{"far above", "cam0", func(m *segment.Manifest) { m.Start, m.Seq = m.Start.Add(time.Second), 4_000_000_000 }, 422},
		{"a chain of its own", "cam0", func(m *segment.Manifest) { m.Start, m.Prev = m.Start.Add(time.Second), segment.Hash{1} }, 422},
	} {
		if code := ship(c.camera, c.change); code != c.want {
			h.t.Errorf("%s: %d, want %d", c.name, code, c.want)
		}
	}
	from := began.UTC().Truncate(time.Second).Add(time.Second)
	for _, g := range []struct {
		camera, to, cause, more string
		want                    int
	}{
		{"cam1", "2036-11-01T00:00:00Z", "privacy_pause", `,"inside":true`, 403},
		{"cam0", "2036-11-01T00:00:00Z", "privacy_pause", `,"inside":true`, 422},
		{"cam0", "2036-11-01T00:00:00Z", "network", `,"inside":true`, 422},
		{"cam0", from.Add(2 * time.Second).Format(time.RFC3339), "privacy_pause", "", 422},
		{"cam0", from.Add(time.Hour).Format(time.RFC3339), "network", "", 422},
	} {
		body := fmt.Sprintf(`{"camera":%q,"from":%q,"to":%q,"cause":%q,"noted":%q%s}`, g.camera, from.Format(time.RFC3339),
			g.to, g.cause, from.Format(time.RFC3339), g.more)
		path := fmt.Sprintf("/v1/ingest/gaps/%s/%d", g.camera, from.UnixMilli())
		if code, answer := h.ask(edgeToken, http.MethodPut, path, body); code != g.want {
			h.t.Errorf("gap %s: %d %s, want %d", body, code, answer, g.want)
		}
	}
}

// newest returns the newest segment of a camera in the recorder's store.
func (h *hostile) newest(camera string) (m segment.Manifest, data string) {
	h.t.Helper()
	names, err := filepath.Glob(filepath.Join(h.recordings, "v1", camera, "*", "*", "*", "*", "*.mp4"))
	if err != nil || len(names) == 0 {
		h.t.Fatal("no segment of ", camera, err)
	}
	name := slices.Max(names)
	doc, err := os.ReadFile(name + ".json")
	if err == nil {
		err = json.Unmarshal(doc, &m)
	}
	content, rerr := os.ReadFile(name)
	if err = errors.Join(err, rerr); err != nil {
		h.t.Fatal(err)
	}
	return m, string(content)
}

// evidence verifies both cameras' footage, with every checkpoint. A day is the district's, in Asia/Shanghai.
func (h *hostile) evidence(moments ...time.Time) {
	h.t.Helper()
	var days []string
	for _, at := range moments {
		days = append(days, at.In(time.FixedZone("Asia/Shanghai", 8*60*60)).Format(time.DateOnly))
	}
	for _, day := range slices.Compact(days) {
		for _, camera := range []string{"cam0", "cam1"} {
			args := []string{"verify", "--config", h.recorder.file, "--camera", camera, "--day", day}
			if out, errs, err := command(h.t, skeinBinary(h.t), args...); err != nil {
				h.t.Errorf("skein %v: exit %d\n%s%s", args, exited(err), out, errs)
			}
		}
	}
}

// rows reads the recorder's own audit log: who read what through which node, and what was refused.
func (h *hostile) rows() {
	h.t.Helper()
	h.recorder.stop()
	read, locked, refused := 0, 0, 0
	_, err := rowsof.Verify(filepath.Join(h.recorder.dir, "data", "recorder-audit"), func(e rowsof.Entry) error {
		var r guard.Row
		if err := json.Unmarshal(e.Body, &r); err != nil {
			return err
		}
		switch {
		case r.Outcome == guard.OutcomeRefused && r.Node == "edge-1":
			refused++
		case r.Outcome == guard.OutcomeRefused:
		case r.Node != "gw" || r.Actor == "" || len(r.Cameras) == 0 || r.From.IsZero():
			return errors.New("a row that does not say who, or what: " + string(e.Body))
		case r.Action == guard.ActionClip && r.Actor == "bench":
			read++
		case r.Action == guard.ActionLock && r.Actor == "bench":
			locked++
		}
		return nil
	})
	if err != nil || read == 0 || locked != 1 || refused < 8 {
		h.t.Errorf("%d rows of clips, %d of locks, %d of refusals; %v", read, locked, refused, err)
	}
}
