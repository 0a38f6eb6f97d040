package config

import (
	"net/url"
	"regexp"
	"strings"

	"skein/config/district"
)

// redactAll returns the cameras with the passwords in their URLs hidden.
func redactAll(in []district.Camera) []district.Camera {
	out := make([]district.Camera, len(in))
	for i, c := range in {
		c.Main, c.Sub = redact(c.Main), redact(c.Sub)
		out[i] = c
	}
	return out
}

// redact hides every password in a URL: before the host, in the query, and in the path, where some cameras want it
// (/user=admin_password=…_channel=1.sdp).
func redact(raw string) string {
	if raw == "" {
		return ""
	}
	u, err := url.Parse(raw)
	if err != nil {
		return "(malformed URL)"
	}
	rest := u.Redacted()
	var out strings.Builder
	for {
		at := secretKey.FindStringIndex(rest)
		if at == nil {
			out.WriteString(rest)
			return out.String()
		}
		out.WriteString(rest[:at[1]] + "xxxxx")
		rest = rest[at[1]:]
		rest = rest[valueEnd(rest):]
	}
}

// secretKey matches the end of the name of a parameter whose value is a secret, with its equals sign, plain or
// percent-encoded.
var secretKey = regexp.MustCompile(`(?i)(passw?o?r?d|passwd|pass|pwd|psw|secret|token|auth|sign|signature|key)(=|%3d)`)

// nextKey matches the beginning of a parameter after an underscore.
var nextKey = regexp.MustCompile(`_[A-Za-z]+=`)

// valueEnd returns where a parameter's value ends: at the next parameter or the next part of the URL.
func valueEnd(s string) int {
	end := len(s)
	if i := strings.IndexAny(s, "&;/?#"); i >= 0 {
		end = i
	}
	if at := nextKey.FindStringIndex(s[:end]); at != nil {
		end = at[0]
	}
	return end
}
