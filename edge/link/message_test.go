package link_test

import (
	"encoding/json"
	"strings"
	"testing"

	"skein/edge/link"
	"skein/edge/stream"
)

func readerOptions() stream.ReaderOptions { return stream.ReaderOptions{Name: "test"} }

func TestParse(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want string }{
		{"hello", `{"type":"hello","hello":{"version":1,"node":"e","cameras":[{"id":"c","profiles":["main","sub"]}]}}`, ""},
		{"unknown type", `{"type":"weather","weather":1}`, ""},
		{"unknown field", `{"type":"welcome","welcome":{"version":1,"later":true}}`, ""},
		{"status", `{"type":"status","status":{"cameras":[{"id":"c","profiles":{"main":{"state":"live"}}}]}}`, ""},
		{"desired nothing", `{"type":"desired","desired":{"publish":[]}}`, ""},

		{"no JSON", `hello`, "invalid character"},
		{"two objects", `{"type":"x"}{"type":"y"}`, "something follows"},
		{"no type", `{}`, "has no type"},
		{"empty hello", `{"type":"hello"}`, "missing"},
		{"bad node", `{"type":"hello","hello":{"node":"../x"}}`, `node "../x"`},
		{"bad camera", `{"type":"hello","hello":{"node":"e","cameras":[{"id":"C"}]}}`, `camera "C"`},
		{"camera twice", `{"type":"offer","offer":{"cameras":[{"id":"c"},{"id":"c"}]}}`, "twice"},
		{"bad profile", `{"type":"offer","offer":{"cameras":[{"id":"c","profiles":["third"]}]}}`, `"third"`},
		{"bad status", `{"type":"status","status":{"cameras":[{"id":""}]}}`, "no id"},
		{"bad state's profile", `{"type":"status","status":{"cameras":[{"id":"c","profiles":{"x":{}}}]}}`, `"x"`},
		{"bad failure", `{"type":"failed","failed":{"camera":"c","profile":"x"}}`, `"x"`},
		{"bad path", `{"type":"desired","desired":{"publish":[{"camera":"c","profile":"main","path":"//evil@x?y","token":"t"}]}}`,
			"path"},
		{"no token", `{"type":"desired","desired":{"publish":[{"camera":"c","profile":"main","path":"/a"}]}}`, "no token"},
		{"wanted twice", `{"type":"desired","desired":{"publish":[` +
			`{"camera":"c","profile":"main","path":"/a","token":"t"},{"camera":"c","profile":"main","path":"/a","token":"t"}]}}`,
			"twice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := link.Parse([]byte(tt.in))
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestParsePath(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"/live/cam0/main": "cam0/main", "live/cam0/sub": "cam0/sub", "/live/cam0/main/": "cam0/main",
		"/live/cam0": "", "/live/cam0/third": "", "/live/CAM/main": "", "/other/cam0/main": "", "": "", "/live//main": "",
		"/live/cam0/main/x": "", "/live/../main": "",
	} {
		k, ok := link.ParsePath(in)
		if ok != (want != "") || (ok && k.String() != want) {
			t.Errorf("%q: %v, %v", in, k, ok)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"type":"hello","hello":{"version":1,"node":"e","software":"s","now":"2026-11-23T00:00:00Z","cameras":[{"id":"c","profiles":["main"]}]}}`,
		`{"type":"status","status":{"full":true,"first":true,"last":true,"cameras":[{"id":"c","profiles":{"main":{"state":"live","since":"2026-11-23T00:00:00Z"}}}]}}`,
		`{"type":"desired","desired":{"publish":[{"camera":"c","profile":"main","path":"/live/c/main","token":"t"}]}}`,
		`{"type":"hurry","hurry":{"id":7,"camera":"c","until":"2026-11-23T00:00:00Z","within_ms":5000}}`,
		`{"type":"hurried","hurried":{"id":7,"error":"e"}}`,
		`{"type":"failed","failed":{"camera":"c","profile":"sub","token":"t","reason":"r"}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := link.Parse(b)
		if err != nil {
			return
		}
		// what was understood can be said again and is understood again
		out, err := json.Marshal(m)
		if err != nil {
			return // a time that JSON cannot hold
		}
		if _, err := link.Parse(out); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
	})
}
