package clip_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"skein/recorder/clip"
)

// A long clip is the same to the byte whether its tables lie in memory or on disk, whole and in ranges; no file is left.
func TestTablesOnDisk(t *testing.T) {
	t.Parallel()
	a := footage(t, 24, 60)
	dir := t.TempDir()
	from := start.Truncate(time.Second).Add(700 * time.Millisecond)
	target := "/v1/clips/cam0.mp4" + span(from, from.Add(11*time.Minute+sec(0.3)))
	ask := func(memory int64, bytes string) []byte {
		h := clip.NewHandler(clip.Config{Records: a, Objects: a, TempDir: dir, TableMemory: memory})
		r := httptest.NewRequest(http.MethodGet, target, nil)
		if bytes != "" {
			r.Header.Set("Range", "bytes="+bytes)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusOK && w.Code != http.StatusPartialContent {
			t.Fatal(w.Code, w.Body)
		}
		return w.Body.Bytes()
	}
	want := ask(64<<20, "")
	if got := ask(-1, ""); !bytes.Equal(got, want) {
		t.Fatalf("%d bytes from disk differ from %d from memory", len(got), len(want))
	}
	for _, at := range []int{0, 100, 2001, 40_000, 65_535, 70_003, len(want) - 70_000, len(want) - 1} {
		end := min(at+33_333, len(want)) - 1
		if got := ask(-1, fmt.Sprintf("%d-%d", at, end)); !bytes.Equal(got, want[at:end+1]) {
			t.Errorf("range %d-%d differs", at, end)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	full := clip.NewHandler(clip.Config{Records: a, Objects: a, TempDir: dir + "/absent", TableMemory: -1})
	w := httptest.NewRecorder()
	full.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("no room on disk: %d", w.Code)
	}
}
