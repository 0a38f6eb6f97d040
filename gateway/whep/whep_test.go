package whep_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"skein/edge/media"
	"skein/gateway/relay"
	"skein/gateway/whep"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake records what reaches the relay and answers as told.
type fake struct {
	offer   relay.Offer
	wall    relay.WallOffer
	patch   relay.Patch
	publish relay.PublishOffer

	reporter string
	reported []relay.SlotReport
	ended    string
	session  relay.Session
	result   relay.PatchResult
	err      error
}

func (f *fake) Answer(_ context.Context, o relay.Offer) (relay.Session, error) {
	f.offer = o
	return f.session, f.err
}

func (f *fake) Wall(_ context.Context, o relay.WallOffer) (relay.Session, error) {
	f.wall = o
	return f.session, f.err
}

func (f *fake) Publish(_ context.Context, o relay.PublishOffer) (relay.Session, error) {
	f.publish = o
	return f.session, f.err
}

func (f *fake) Report(_ context.Context, id string, _ relay.Viewer, slots []relay.SlotReport) error {
	f.reporter, f.reported = id, slots
	return f.err
}

func (f *fake) Candidate(_ context.Context, p relay.Patch) (relay.PatchResult, error) {
	f.patch = p
	return f.result, f.err
}

func (f *fake) End(_ context.Context, id string, _ relay.Viewer) error {
	f.ended = id
	return f.err
}

func call(t *testing.T, f *fake, method, path, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	h := whep.Handler(f, func(*http.Request) relay.Viewer { return relay.Viewer{Name: "li", Key: "k"} }, nil)
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const sdp = "application/sdp"

func TestPostMakesASession(t *testing.T) {
	t.Parallel()
	f := &fake{session: relay.Session{ID: "s1", SDP: "v=0\r\n", ETag: "e1", Warning: relay.CodeBFrames, Sound: relay.CodeSoundBusy}}
	w := call(t, f, "POST", "/v1/whep/gate-3?profile=sub", "offer", "Content-Type", sdp+"; charset=utf-8")
	if w.Code != http.StatusCreated || w.Body.String() != "v=0\r\n" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for k, want := range map[string]string{
		"Location": "/v1/whep/gate-3/s1", "ETag": `"e1"`, "Content-Type": sdp, "Skein-Warning": "b-frames",
		"Accept-Patch": "application/trickle-ice-sdpfrag", "Cache-Control": "no-store",
	} {
		if got := w.Header().Get(k); got != want {
			t.Errorf("%s: %q, want %q", k, got, want)
		}
	}
	if got := w.Header().Values("Skein-Warning"); !slices.Equal(got, []string{"b-frames", "sound-transcodes-busy"}) {
		t.Errorf("warnings %q", got)
	}
	if f.offer.Camera != "gate-3" || f.offer.Profile != media.Sub || f.offer.SDP != "offer" || f.offer.Viewer.Name != "li" {
		t.Errorf("relay got %+v", f.offer)
	}
	call(t, f, "POST", "/v1/whep/gate-3", "offer", "Content-Type", sdp)
	if f.offer.Profile != media.Main {
		t.Errorf("profile without query is %q, want main", f.offer.Profile)
	}
}

func TestPostPublishes(t *testing.T) {
	t.Parallel()
	f := &fake{session: relay.Session{ID: "p1", SDP: "v=0\r\n", ETag: "e"}}
	h := whep.Publish(f, func(*http.Request) relay.Viewer { return relay.Viewer{Name: "phone", Key: "k"} }, nil)
	do := func(method, path string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader("offer"))
		r.Header.Set("Content-Type", sdp)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	w := do("POST", "/v1/whip/body-7?profile=sub")
	if w.Code != http.StatusCreated || w.Header().Get("Location") != "/v1/whip/body-7/p1" || f.publish.Camera != "body-7" ||
		f.publish.Profile != media.Sub || f.publish.Viewer.Name != "phone" || f.publish.SDP != "offer" {
		t.Fatalf("%d %v %+v", w.Code, w.Header(), f.publish)
	}
	if w := do("POST", "/v1/whip/body-7?profile=other"); w.Code != http.StatusBadRequest {
		t.Errorf("%d", w.Code)
	}
	if w := do("DELETE", "/v1/whip/body-7/p1"); w.Code != http.StatusOK || f.ended != "p1" {
		t.Errorf("%d, ended %q", w.Code, f.ended)
	}
	f.err = &relay.Error{Code: relay.CodeBusy, Detail: "d"}
	if w := do("POST", "/v1/whip/body-7"); w.Code != http.StatusConflict {
		t.Errorf("busy: %d", w.Code)
	}
}

func TestViewersReport(t *testing.T) {
	t.Parallel()
	f := &fake{}
	post := func(body, kind string) int {
		return call(t, f, "POST", "/v1/whep/gate-3/s1/stats", body, "Content-Type", kind).Code
	}
	if c := post(`{"slots":[{"slot":0,"decoded":25,"freeze_ms":12.5}]}`, "application/json"); c != http.StatusNoContent ||
		f.reporter != "s1" || len(f.reported) != 1 || f.reported[0].Decoded != 25 || f.reported[0].FreezeMS != 12.5 {
		t.Errorf("%d %+v", c, f)
	}
	for _, body := range []string{``, `{}`, `{"slots":[{"slot":"a"}]}`, `{"slots":[{"decoded":-1}]}`, `[1]`} {
		if c := post(body, "application/json"); c != http.StatusBadRequest {
			t.Errorf("%s: %d", body, c)
		}
	}
	if c := post(`{}`, "text/plain"); c != http.StatusUnsupportedMediaType {
		t.Errorf("%d", c)
	}
	f.err = &relay.Error{Code: relay.CodeUnknownSession, Detail: "d"}
	if c := post(`{"slots":[{"slot":0}]}`, "application/json"); c != http.StatusNotFound {
		t.Errorf("%d", c)
	}
}

func TestPostMakesAWall(t *testing.T) {
	t.Parallel()
	f := &fake{session: relay.Session{ID: "w1", SDP: "v=0\r\n", ETag: "e"}}
	w := call(t, f, "POST", "/v1/walls", "offer", "Content-Type", sdp)
	if w.Code != http.StatusCreated || w.Header().Get("Location") != "/v1/walls/w1" || f.wall.SDP != "offer" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	if w := call(t, f, "DELETE", "/v1/walls/w1", ""); w.Code != http.StatusOK || f.ended != "w1" {
		t.Errorf("%d, ended %q", w.Code, f.ended)
	}
}

func TestErrorsAreProblems(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 1<<20)
	for name, c := range map[string]struct {
		err                error
		method, path, body string
		header             []string
		status             int
		kind               string
	}{
		"unknown camera": {&relay.Error{Code: relay.CodeUnknownCamera, Detail: "d"}, "POST", "/v1/whep/a", "o",
			[]string{"Content-Type", sdp}, 404, "urn:skein:problem:unknown-camera"},
		"codec": {&relay.Error{Code: relay.CodeNotOffered, Detail: "d"}, "POST", "/v1/whep/a", "o",
			[]string{"Content-Type", sdp}, 406, "urn:skein:problem:codec-not-offered"},
		"too many": {&relay.Error{Code: relay.CodeTooMany, Detail: "d"}, "POST", "/v1/whep/a", "o",
			[]string{"Content-Type", sdp}, 503, "urn:skein:problem:too-many-sessions"},
		"forbidden": {&relay.Error{Code: relay.CodeForbidden, Detail: "d"}, "POST", "/v1/whep/a", "o",
			[]string{"Content-Type", sdp}, 403, "urn:skein:problem:not-permitted"},
		"no signal": {&relay.Error{Code: relay.CodeNoSignal, Detail: "d"}, "POST", "/v1/whep/a", "o",
			[]string{"Content-Type", sdp}, 503, "urn:skein:problem:no-signal"},
		"offer": {&relay.Error{Code: relay.CodeBadOffer, Detail: "d"}, "POST", "/v1/walls", "o",
			[]string{"Content-Type", sdp}, 400, "urn:skein:problem:bad-offer"},
		"other": {errors.New("secret"), "POST", "/v1/walls", "o",
			[]string{"Content-Type", sdp}, 500, "urn:skein:problem:internal"},
		"gone":         {context.Canceled, "POST", "/v1/walls", "o", []string{"Content-Type", sdp}, 503, "urn:skein:problem:stopped"},
		"content type": {nil, "POST", "/v1/whep/a", "{}", []string{"Content-Type", "application/json"}, 415, "about:blank"},
		"profile":      {nil, "POST", "/v1/whep/a?profile=best", "o", []string{"Content-Type", sdp}, 400, "about:blank"},
		"large":        {nil, "POST", "/v1/whep/a", long, []string{"Content-Type", sdp}, 413, "about:blank"},
		"method":       {nil, "PUT", "/v1/whep/a", "o", nil, 405, "about:blank"},
		"resource":     {nil, "GET", "/v1/whep/a/s", "", nil, 405, "about:blank"},
		"session": {&relay.Error{Code: relay.CodeUnknownSession, Detail: "d"}, "DELETE", "/v1/whep/a/s", "",
			nil, 404, "urn:skein:problem:unknown-session"},
		"no If-Match": {nil, "PATCH", "/v1/whep/a/s", "a=ice-ufrag:x",
			[]string{"Content-Type", "application/trickle-ice-sdpfrag"}, 428, "about:blank"},
		"stale": {&relay.Error{Code: relay.CodeStale, Detail: "d"}, "PATCH", "/v1/whep/a/s", "a=ice-ufrag:x",
			[]string{"Content-Type", "application/trickle-ice-sdpfrag", "If-Match", `"e"`}, 412, "urn:skein:problem:stale-ice"},
		"fragment": {nil, "PATCH", "/v1/whep/a/s", "nonsense",
			[]string{"Content-Type", "application/trickle-ice-sdpfrag", "If-Match", `"e"`}, 400, "urn:skein:problem:bad-fragment"},
		"nothing": {nil, "GET", "/v1/other", "", nil, 404, "about:blank"},
	} {
		w := call(t, &fake{err: c.err}, c.method, c.path, c.body, c.header...)
		var p struct {
			Type, Detail string
			Status       int
		}
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Errorf("%s: %v in %q", name, err, w.Body)
		}
		if w.Code != c.status || p.Status != c.status || p.Type != c.kind {
			t.Errorf("%s: %d %+v, want %d %s", name, w.Code, p, c.status, c.kind)
		}
		if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
			t.Errorf("%s: content type %q", name, got)
		}
		if strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: the cause leaks: %s", name, w.Body)
		}
		if (c.status == 503) != (w.Header().Get("Retry-After") != "") {
			t.Errorf("%s: Retry-After %q", name, w.Header().Get("Retry-After"))
		}
	}
}

func TestOptionsTellWhatIsAccepted(t *testing.T) {
	t.Parallel()
	w := call(t, &fake{}, "OPTIONS", "/v1/whep/a", "")
	if w.Code != http.StatusNoContent || w.Header().Get("Accept-Post") != sdp || w.Header().Get("Allow") != "OPTIONS, POST" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	w = call(t, &fake{}, "OPTIONS", "/v1/whep/a/s", "")
	if w.Header().Get("Accept-Patch") != "application/trickle-ice-sdpfrag" {
		t.Errorf("%v", w.Header())
	}
}

const fragment = "a=ice-options:trickle\r\na=group:BUNDLE 0 1\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n" +
	"a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n" +
	"a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host\r\na=end-of-candidates\r\n"

func TestPatchTricklesAndRestarts(t *testing.T) {
	t.Parallel()
	head := []string{"Content-Type", "application/trickle-ice-sdpfrag", "If-Match", `"e1"`}
	f := &fake{}
	w := call(t, f, "PATCH", "/v1/whep/a/s1", fragment, head...)
	if w.Code != http.StatusNoContent || f.patch.Session != "s1" || f.patch.ETag != "e1" {
		t.Fatalf("%d, relay got %+v", w.Code, f.patch)
	}
	got := f.patch.Fragment
	if got.Ufrag != "EsAw" || got.Pwd != "P2uYro0UCOQ4zxjKXaWCBui1" || len(got.Candidates) != 1 ||
		got.Candidates[0].Mid != "0" || !strings.HasPrefix(got.Candidates[0].Line, "candidate:1387637174 1 udp") {
		t.Errorf("fragment %+v", got)
	}
	f = &fake{result: relay.PatchResult{Restarted: true, ETag: "e2", Fragment: got}}
	w = call(t, f, "PATCH", "/v1/whep/a/s1", fragment, "Content-Type", head[1], "If-Match", "*")
	if w.Code != http.StatusOK || w.Header().Get("ETag") != `"e2"` || f.patch.ETag != "*" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	for _, want := range []string{"a=ice-ufrag:EsAw\r\n", "a=mid:0\r\na=candidate:1387637174 1 udp"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("%q is not in %q", want, w.Body)
		}
	}
}
