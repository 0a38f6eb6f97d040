package config

import (
	"net/url"

	"skein/config/district"
)

// redactAll returns the cameras with the passwords of their URLs hidden.
func redactAll(in []district.Camera) []district.Camera {
	out := make([]district.Camera, len(in))
	for i, c := range in {
		c.Main, c.Sub = redact(c.Main), redact(c.Sub)
		out[i] = c
	}
	return out
}

func redact(raw string) string {
	if raw == "" {
		return ""
	}
	u, err := url.Parse(raw)
	if err != nil {
		return "(malformed URL)"
	}
	return u.Redacted()
}
