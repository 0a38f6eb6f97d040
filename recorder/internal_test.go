package recorder

import (
	"encoding/base64"
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"skein/recorder/segment"
)

func FuzzParseIngest(f *testing.F) {
	m := segment.Manifest{
		Camera: "cam", Profile: "main", Seq: 2, Start: time.UnixMilli(1763912345678).UTC(), Duration: time.Second,
		Bytes: 5, SHA256: segment.Hash{1}, Prev: segment.Hash{2},
	}
	raw, _ := json.Marshal(m)
	f.Add("cam", "1763912345678", base64.StdEncoding.EncodeToString(raw))
	f.Add("cam", "2025-11-23T15:39:05.678Z", base64.StdEncoding.EncodeToString(raw))
	f.Add("cam", "-1", "e30=")
	f.Fuzz(func(t *testing.T, camera, start, header string) {
		m, err := parseIngest(camera, start, header)
		if err != nil {
			return
		}
		c, r, err := segment.ParseKey(m.Key())
		if err != nil || c != camera || !r.Start.Equal(m.Start) || r.Seq != m.Seq {
			t.Fatalf("accepted %+v, whose key is %q: %v", m, m.Key(), err)
		}
	})
}

func FuzzStructure(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x08ftyp\x00\x00\x00\x08moov\x00\x00\x00\x08moof\x00\x00\x00\x09mdatx"), uint64(1))
	f.Add([]byte("\x00\x00\x00\x08ftyp\x00\x00\x00\x08moov\x00\x00\x00\x09prftx\x00\x00\x00\x08moof"), uint64(2))
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		var whole, pieces structure
		_, _ = whole.Write(data)
		rnd := rand.New(rand.NewPCG(seed, 1))
		for rest := data; len(rest) > 0; {
			n := min(len(rest), 1+rnd.IntN(9))
			_, _ = pieces.Write(rest[:n])
			rest = rest[n:]
		}
		a, b := whole.finish(), pieces.finish()
		if (a == nil) != (b == nil) {
			t.Fatalf("in one piece %v, in many %v", a, b)
		}
		if a == nil && len(data) < 32 {
			t.Fatalf("%d bytes pass as a segment", len(data))
		}
	})
}
