package gateway

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"skein/edge/media"
)

func TestRTSPPathsNameACameraAndAProfile(t *testing.T) {
	cases := []struct {
		path, camera string
		profile      media.Profile
		ok           bool
	}{
		{"/cam0", "cam0", media.Main, true},
		{"cam0/main", "cam0", media.Main, true},
		{"/cam0/sub/", "cam0", media.Sub, true},
		{"/cam0/third", "cam0", "third", false},
		{"/", "", media.Main, false},
	}
	for _, c := range cases {
		camera, profile, ok := parsePath(c.path)
		if camera != c.camera || profile != c.profile || ok != c.ok {
			t.Errorf("%q: %q %q %v", c.path, camera, profile, ok)
		}
	}
}

func TestNodesAreToldToPublishWhereTheyDialledUnlessTheAddressIsFixed(t *testing.T) {
	for listen, want := range map[string]string{
		"0.0.0.0:8554": "rtsp://:8554", ":8554": "rtsp://:8554", "10.0.0.5:8554": "rtsp://10.0.0.5:8554", "off": "",
	} {
		g := &Gateway{cfg: Config{RTSP: RTSP{Listen: listen}}}
		if got := g.rtspHint(); got != want {
			t.Errorf("listen %s: %q, want %q", listen, got, want)
		}
	}
}

func TestOnlyClipsThatEndAboutNowAreHurried(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	cases := []struct {
		url   string
		until time.Time
		ok    bool
	}{
		{"/v1/clips/cam0.mp4?from=2026-11-23T11:59:00Z&to=2026-11-23T11:59:30Z", now.Add(-30 * time.Second), true},
		{"/v1/clips/cam0.m3u8?from=2026-11-23T11:59:00Z&to=2026-11-23T12:30:00Z", now, true},
		{"/v1/clips/cam0.mp4?from=2026-11-23T10:00:00Z&to=2026-11-23T10:01:00Z", time.Time{}, false},
		{"/v1/clips/cam0/hls/1-2-3-4/0-1.m4s?to=2026-11-23T12:00:00Z", time.Time{}, false},
		{"/v1/clips/cam0.mp4?to=soon", time.Time{}, false},
		{"/v1/coverage?to=2026-11-23T12:00:00Z", time.Time{}, false},
	}
	for _, c := range cases {
		camera, until, ok := youngClip(httptest.NewRequest("GET", c.url, nil), now)
		if ok != c.ok || !until.Equal(c.until) || (ok && camera != "cam0") {
			t.Errorf("%s: %q %v %v", c.url, camera, until, ok)
		}
	}
}

func TestPlayersMayUseUDPUnlessItIsOff(t *testing.T) {
	t.Parallel()
	type want struct {
		address string
		players bool
	}
	for in, w := range map[RTSP]want{
		{}:                            {"127.0.0.1:0", true},
		{Listen: "0.0.0.0:8554"}:      {"0.0.0.0:0", true},
		{UDP: "127.0.0.1:8556"}:       {"127.0.0.1:8556", false},
		{Listen: ":8554", UDP: "off"}: {"", false},
	} {
		c := in.WithDefaults()
		address, players := c.udp()
		if err := c.Validate(); err != nil || (want{address, players}) != w {
			t.Errorf("%+v: %q, %v, %v; want %+v", in, address, players, err, w)
		}
	}
	for _, udp := range []string{"8556", "127.0.0.1:8557", "127.0.0.1:x"} {
		if err := (RTSP{UDP: udp}).WithDefaults().Validate(); err == nil || !strings.Contains(err.Error(), "rtsp.udp") {
			t.Errorf("%s: %v", udp, err)
		}
	}
}
