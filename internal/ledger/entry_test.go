package ledger

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

func FuzzParseLine(f *testing.F) {
	_, line, err := seal(Head{}, time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC), map[string]any{"a": "<衡阳>", "n": 1})
	if err != nil {
		f.Fatal(err)
	}
	line = bytes.TrimSuffix(line, []byte("\n"))
	f.Add(line)
	f.Add(bytes.Replace(line, []byte(`"n":1`), []byte(`"n":2`), 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseLine(b)
		if err != nil {
			return
		}
		// a line that is taken is the only line for that entry
		again, err := json.Marshal(e)
		if err != nil || !bytes.Equal(again, b) || e.sum() != e.Hash {
			t.Fatalf("%s, again %s: %v", b, again, err)
		}
	})
}
