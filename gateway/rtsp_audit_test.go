package gateway

import (
	"errors"
	"net/netip"
	"path/filepath"
	"testing"

	"skein/config/district"
	"skein/config/secret"
	"skein/edge/rtsp"
	"skein/gateway/access"
	"skein/internal/ledger"
)

// Who watches or publishes by RTSP stands in the audit log as who does so in a browser.
func TestRTSPIsARowOfTheAuditLog(t *testing.T) {
	t.Parallel()
	inv := &district.Inventory{
		Units:   []district.Unit{{ID: "yf", Name: "A", Tier: district.TierDistrict}},
		Cameras: []district.Camera{{ID: "gate", Unit: "yf", Main: "push"}},
	}
	dir := t.TempDir()
	token := secret.New("a-token-of-a-wall-decoder-0123456789")
	g, err := New(Config{
		DataDir: dir, WebRTC: WebRTC{UDP: "127.0.0.1:0"}, RTSP: RTSP{Listen: "off"},
		Access: Access{Tokens: []access.TokenConfig{{Name: "decoder", Token: token, Role: access.Operator, Unit: "yf"}}},
	}, Deps{Inventory: func() *district.Inventory { return inv }})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(action rtsp.Action, path string) error {
		_, err := g.rtspAuth(t.Context(), rtsp.Request{
			Action: action, Path: path, User: "decoder", Remote: netip.MustParseAddrPort("10.0.0.7:4000"),
			Verify: func(user, password string) bool { return user == "decoder" && password == token.Reveal() },
		})
		return err
	}
	for range 3 { // a player that comes again and again
		if err := ask(rtsp.ActionPlay, "gate/sub"); err != nil {
			t.Fatal(err)
		}
	}
	if err := ask(rtsp.ActionPublish, "gate"); err != nil {
		t.Fatal(err)
	}
	if err := ask(rtsp.ActionPlay, "other"); !errors.Is(err, rtsp.ErrNotFound) {
		t.Fatalf("a camera that is not there: %v", err)
	}
	g.access.Audit().Close() // as when the disk is full
	var why *rtsp.Refusal
	if err := ask(rtsp.ActionPlay, "gate/main"); !errors.Is(err, rtsp.ErrUnavailable) || !errors.As(err, &why) {
		t.Errorf("a stream nobody can write down: %v, want %v with its reason", err, rtsp.ErrUnavailable)
	}
	if err := errors.Join(g.Close(), g.relay.Close()); err != nil {
		t.Fatal(err)
	}
	var rows []string
	_, err = access.VerifyAudit(filepath.Join(dir, "audit"), func(_ ledger.Entry, e access.Event) error {
		if len(e.Cameras) == 1 {
			rows = append(rows, string(e.Action)+" "+e.Cameras[0]+" "+e.Profile+" "+e.Actor+" "+e.Address+" "+e.Detail)
		}
		return nil
	})
	want := []string{"view gate sub decoder 10.0.0.7 rtsp", "publish gate main decoder 10.0.0.7 rtsp"}
	if err != nil || len(rows) != 2 || rows[0] != want[0] || rows[1] != want[1] {
		t.Errorf("rows %q %v, want %q", rows, err, want)
	}
}
