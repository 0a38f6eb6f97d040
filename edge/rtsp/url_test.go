package rtsp

import (
	"errors"
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, user, pass, addr, path string }{
		{"rtsp://cam/stream", "", "", "cam:554", "rtsp://cam/stream"},
		{"rtsps://cam/stream", "", "", "cam:322", "rtsps://cam/stream"},
		{"RTSP://cam:8554", "", "", "cam:8554", "rtsp://cam:8554"},
		{"rtsp://u:p@cam:1/x?a=b&c", "u", "p", "cam:1", "rtsp://cam:1/x?a=b&c"},
		{"rtsp://u@cam/x", "u", "", "cam:554", "rtsp://cam/x"},
		{"rtsp://u:p%40%2F@cam.lan/x", "u", "p@/", "cam.lan:554", "rtsp://cam.lan/x"},
		{"rtsp://u:a:b@cam.lan/x", "u", "a:b", "cam.lan:554", "rtsp://cam.lan/x"},
		{"rtsp://u:p@ss@10.0.0.1/x", "u", "p@ss", "10.0.0.1:554", "rtsp://10.0.0.1/x"},
		{"rtsp://u:p/ss@10.0.0.1/x", "u", "p/ss", "10.0.0.1:554", "rtsp://10.0.0.1/x"},
		{"rtsp://u:p@s/s@10.0.0.1:99/x", "u", "p@s/s", "10.0.0.1:99", "rtsp://10.0.0.1:99/x"},
		{"rtsp://u:50%off#1?@10.0.0.1/x", "u", "50%off#1?", "10.0.0.1:554", "rtsp://10.0.0.1/x"},
		{"rtsp://u:密码@10.0.0.1/x", "u", "密码", "10.0.0.1:554", "rtsp://10.0.0.1/x"},
		{"rtsp://u:p@[fe80::1]:554/x", "u", "p", "[fe80::1]:554", "rtsp://[fe80::1]:554/x"},
		{"rtsp://cam.lan/user=a&password=b@c&channel=1", "", "", "cam.lan:554", "rtsp://cam.lan/user=a&password=b@c&channel=1"},
		{"rtsp://u:p@cam.lan/x?mail=a@10.0.0.9", "u", "p", "cam.lan:554", "rtsp://cam.lan/x?mail=a@10.0.0.9"},
		{"rtsp://10.0.0.1/a%20b#c", "", "", "10.0.0.1:554", "rtsp://10.0.0.1/a%20b%23c"},
	} {
		got, err := parseURL(c.in)
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		user, pass := "", ""
		if got.url.User != nil {
			user = got.url.User.Username()
			pass, _ = got.url.User.Password()
		}
		if user != c.user || pass != c.pass || got.addr != c.addr || Redact(c.in) != c.path {
			t.Errorf("%s: user %q password %q addr %q redacted %q", c.in, user, pass, got.addr, Redact(c.in))
		}
	}
	for _, bad := range []string{
		"", "cam", "http://cam/x", "rtsp://", "rtsp:///x", "rtsp://u:secret@/x", "rtsp://cam:0/x", "rtsp://cam:secret/x",
		"rtsp://cam:70000/x", "rtsp://[::1/x", "rtsp://[nope]/x", "rtsp://cam/x\r\nEvil: 1", "rtsp://a b/x",
	} {
		if err := CheckURL(bad); !errors.Is(err, errURL) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestErrorsHoldNoPassword(t *testing.T) {
	t.Parallel()
	got, err := parseURL("rtsp://u:h%40rd%2Fpass@cam.lan/x")
	if err != nil {
		t.Fatal(err)
	}
	for _, msg := range []string{"dial h@rd/pass", "u:h%40rd%2Fpass@cam", "x h@rd%2Fpass y"} {
		e := failure("cam", got, step("play", errors.New(msg)))
		if strings.Contains(e.Error(), "rd") && (strings.Contains(e.Error(), "h@rd/pass") || strings.Contains(e.Error(), "h%40rd")) {
			t.Errorf("%v", e)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	for _, s := range []string{"rtsp://u:p@ss/w@10.0.0.1:554/x?y#z", "rtsps://[::1]:5/", "rtsp://a:%zz@b/%zz", "rtsp://@/@"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseURL(s)
		if err != nil {
			return
		}
		if got.host == "" || got.url.Host == "" {
			t.Fatalf("%q: no host", s)
		}
		_ = got.redacted()
		_ = got.clean(errors.New(s)).Error()
	})
}
