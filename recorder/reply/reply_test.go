package reply_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"skein/recorder/reply"
)

func TestAnswers(t *testing.T) {
	cases := []struct {
		name, kind, body string
		status           int
		write            func(http.ResponseWriter)
	}{
		{"document", "application/json", "{\"n\":1}\n", http.StatusCreated, func(w http.ResponseWriter) {
			reply.JSON(w, http.StatusCreated, map[string]int{"n": 1})
		}},
		{
			"problem", "application/problem+json",
			"{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,\"detail\":\"gone\"}\n", http.StatusNotFound,
			func(w http.ResponseWriter) { reply.Problem(w, http.StatusNotFound, "gone") },
		},
	}
	for _, c := range cases {
		w := httptest.NewRecorder()
		c.write(w)
		if w.Code != c.status || w.Header().Get("Content-Type") != c.kind || w.Body.String() != c.body ||
			w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v %q", c.name, w.Code, w.Header(), w.Body)
		}
	}
}
