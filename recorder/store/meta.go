package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"skein/recorder/segment"
)

// maxManifest bounds the text form of a manifest: S3 allows 2 KB of user metadata per object.
const maxManifest = 1900

// encodeManifest returns the manifest as JSON of printable ASCII without spaces, fit for an HTTP header: S3 signatures
// fold spaces, and header values carry no other characters reliably.
func encodeManifest(m segment.Manifest) (string, error) {
	raw, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("manifest of camera %s: %w", m.Camera, err)
	}
	var b strings.Builder
	for _, r := range string(raw) {
		switch {
		case r > ' ' && r < 0x7f:
			b.WriteByte(byte(r))
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	if b.Len() > maxManifest {
		return "", fmt.Errorf("manifest of camera %s: %d bytes, at most %d fit", m.Camera, b.Len(), maxManifest)
	}
	return b.String(), nil
}

// decodeManifest is the inverse of encodeManifest for the object of the given key. It refuses a manifest that is not
// the key's own.
func decodeManifest(key string, raw []byte) (segment.Manifest, error) {
	var m segment.Manifest
	bad := func(why any) (segment.Manifest, error) {
		return segment.Manifest{}, fmt.Errorf("manifest of %s: %v", key, why)
	}
	if len(raw) > 1<<16 {
		return bad("too long")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if err := d.Decode(&m); err != nil {
		return bad(err)
	}
	if d.More() {
		return bad("text after the manifest")
	}
	if m.Bytes <= 0 || m.Duration < 0 {
		return bad("size or duration is out of range")
	}
	if y := m.Start.Year(); y < 1970 || y > 9999 {
		return bad("start is out of range")
	}
	if k := m.Key(); k != key {
		return bad("it describes " + k)
	}
	return m, nil
}
