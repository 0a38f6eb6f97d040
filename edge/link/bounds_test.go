package link_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"skein/edge/link"
	"skein/edge/media"
	"skein/edge/status"
)

// lines collects log lines. It is safe for concurrent use.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) with(text string) (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.buf.String()) {
		if strings.Contains(line, text) {
			out = append(out, line)
		}
	}
	return out
}

// A node that was broken into offers a thousand cameras of others: one line, and none of their states is kept.
func TestAHelloIsOneLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log lines
		w := newWorld(t, func(h *link.HubOptions, _ *link.ClientOptions) {
			h.Allow = func(_, camera string) bool { return camera == "cam0" }
			h.Logger = slog.New(slog.NewTextHandler(&log, nil))
		})
		defer w.stop()
		for i := range 1000 {
			w.site.set(fmt.Sprintf("foreign-%d", i), status.Live)
		}
		w.client.OfferChanged()
		synctest.Wait()
		got := log.with("does not give")
		if len(got) != 2 || !strings.Contains(got[1], "cameras=1001") || len(got[1]) > 400 { // the hello, and the offer
			t.Errorf("%d lines: %.600q", len(got), got)
		}
		if all := w.hub.Cameras(); len(all) != 1 || all[0].ID != "cam0" || all[0].Profiles["main"].State != status.Live {
			t.Errorf("cameras %+v", all)
		}
		if n := w.hub.Nodes()[0].Cameras; n != 1 {
			t.Errorf("the node speaks for %d cameras, want 1", n)
		}
	})
}

func TestMessagesAreBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("衡", 5000)
	parse := func(m link.Message) (link.Message, error) {
		t.Helper()
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return link.Parse(b)
	}
	var cams []link.Camera
	for i := range link.MaxCameras + 1 {
		cams = append(cams, link.Camera{ID: fmt.Sprintf("c-%d", i), Profiles: []media.Profile{media.Main}})
	}
	hello := func(cs []link.Camera) link.Message {
		return link.Message{Type: link.TypeHello, Hello: &link.Hello{Version: 1, Node: "east", Software: long, Cameras: cs}}
	}
	if _, err := parse(hello(cams)); err == nil || !strings.Contains(err.Error(), "2001 cameras") {
		t.Errorf("2001 cameras: %v", err)
	}
	if _, err := parse(link.Message{Type: link.TypeOffer, Offer: &link.Offer{Cameras: cams}}); err == nil {
		t.Error("an offer of 2001 cameras is taken")
	}
	cams[0].Profiles = []media.Profile{"main", "main", "main"}
	if _, err := parse(hello(cams[:1])); err == nil {
		t.Error("a camera with three profiles is taken")
	}
	m, err := parse(hello([]link.Camera{{ID: "a", Name: long}}))
	if err != nil || len([]rune(m.Hello.Software)) != 300 || len([]rune(m.Hello.Cameras[0].Name)) != 300 {
		t.Errorf("long texts of a hello: %v", err)
	}
	m, err = parse(link.Message{Type: link.TypeStatus, Status: &link.Status{Cameras: []status.Camera{{
		ID: "a", Profiles: map[string]status.Profile{"main": {State: status.State(long), Detail: long, Codec: long}},
		Recording: status.Recording{Detail: long, Loss: &status.Loss{Cause: long}},
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	c := m.Status.Cameras[0]
	for _, s := range []string{
		string(c.Profiles["main"].State), c.Profiles["main"].Detail, c.Profiles["main"].Codec, c.Recording.Detail,
		c.Recording.Loss.Cause,
	} {
		if len([]rune(s)) != 300 {
			t.Errorf("a text of %d characters is kept", len([]rune(s)))
		}
	}
}
