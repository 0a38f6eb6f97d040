package store

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skein/recorder/segment"
)

// A sidecar or object metadata of any content: no crash, and what is accepted belongs to the key and encodes again.
func FuzzManifest(f *testing.F) {
	clock := int64(-7)
	m := segment.Manifest{
		Camera: "cam0", Profile: "main", Seq: 9, Start: time.Date(2026, 3, 1, 5, 10, 0, 0, time.UTC),
		Duration: 30 * time.Second, Bytes: 1000, SHA256: segment.Hash{1, 2, 3}, Codecs: "hvc1.1.6.L120.90", Clock: &clock,
	}
	text, err := encodeManifest(m)
	if err != nil {
		f.Fatal(err)
	}
	key := m.Key()
	f.Add(key, []byte(text))
	f.Add(key, []byte(text+"{}"))
	f.Add(key, []byte(`{"camera":"cam0","start":"9999999-01-01T00:00:00Z"}`))
	f.Add(key, []byte(`{"bytes":1,"start":"0000-01-01T00:00:00Z"}`))
	f.Add("v1/x", []byte(`null`))
	f.Fuzz(func(t *testing.T, key string, raw []byte) {
		m, err := decodeManifest(key, raw)
		if err != nil {
			return
		}
		if m.Key() != key {
			t.Fatalf("accepted for %q: %q", key, m.Key())
		}
		text, err := encodeManifest(m)
		if err != nil {
			return // too long
		}
		for i := range len(text) {
			if text[i] <= ' ' || text[i] >= 0x7f {
				t.Fatalf("byte %#x in %q", text[i], text)
			}
		}
		again, err := decodeManifest(key, []byte(text))
		if err != nil || again.SHA256 != m.SHA256 || again.Camera != m.Camera || again.Codecs != m.Codecs {
			t.Fatalf("%+v came back as %+v, %v", m, again, err)
		}
	})
}

// No accepted key leaves the root.
func FuzzKey(f *testing.F) {
	for _, k := range []string{
		"v1/cam/2026/03/01/05/1-2-3-0a0b0c0d0e0f.mp4", "../x", "v1/./x", "a//b", "/x", "x/", "", ".tmp/x", "a\\b", "..",
	} {
		f.Add(k)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if checkKey(key) != nil {
			return
		}
		d := Dir{root: "/root/of/store"}
		p := d.path(key)
		if !strings.HasPrefix(p, d.root+"/") || p != filepath.Join(d.root, key) || p != d.root+"/"+key {
			t.Fatalf("%q leads to %q", key, p)
		}
	})
}
