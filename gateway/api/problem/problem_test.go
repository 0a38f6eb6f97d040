package problem_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"skein/gateway/api/problem"
)

func TestWrite(t *testing.T) {
	t.Parallel()
	for method, body := range map[string]string{
		"GET": `{"type":"about:blank","title":"Not Found","status":404,"detail":"no such \u003ccamera\u003e","instance":"/v1/x%20y"}` +
			"\n",
		"HEAD": "",
	} {
		w := httptest.NewRecorder()
		w.Header().Set("Content-Length", "7")
		problem.Write(w, httptest.NewRequest(method, "/v1/x%20y?case=17", nil), http.StatusNotFound, "no such <camera>")
		if w.Code != 404 || w.Body.String() != body || w.Header().Get("Content-Type") != "application/problem+json" ||
			w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Length") != "" {
			t.Errorf("%s: %d %v %s", method, w.Code, w.Header(), w.Body)
		}
	}
	if p := problem.New(418, ""); p.Error() != "I'm a teapot" || p.GetStatus() != 418 {
		t.Errorf("%v", p)
	}
}
