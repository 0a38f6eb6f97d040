package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skein/edge/status"
)

// TestPublishUnrecorded proves that a gateway which cannot record what is published shows it live all the same, and says
// plainly that nothing is recorded, and why.
func TestPublishUnrecorded(t *testing.T) {
	t.Parallel()
	camera := "cameras:\n  - {id: phone, name: P, unit: yf, main: push, record: main}\n"
	for _, c := range []struct {
		name, more, why string
		mend            bool
	}{
		{"no recorder", "", "has no section recorder", false},
		{"no spool", "recorder: {urls: [\"http://127.0.0.1:1\"], token: x}\nspool: {dir: DIR/file/spool}\n", "not recorded: ", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, "gateway")
			blocked := filepath.Join(n.dir, "file")
			if err := os.WriteFile(blocked, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			n.configure(t, oneUnit+access+camera+strings.ReplaceAll(c.more, "DIR", n.dir))
			n.start(t)
			n.publish(t, "phone")
			n.awaitState(t, status.Live, 20*time.Second, "phone")
			v := n.watch(t, "phone")
			v.await(t, 30, 20*time.Second)
			if r := n.recording(t, "phone"); !r.Wanted || r.Active || !strings.Contains(r.Detail, c.why) {
				t.Errorf("recording: %+v", r)
			}
			if !strings.Contains(n.out.String(), "nothing of what is published is recorded") {
				t.Error("the log says nothing of it")
			}
			if !c.mend {
				return
			}
			if err := os.Remove(blocked); err != nil {
				t.Fatal(err)
			}
			poll(t, "recording", 20*time.Second, func() error {
				if r := n.recording(t, "phone"); !r.Active {
					return fmt.Errorf("%+v", r)
				}
				return nil
			})
		})
	}
}

// recording is what /v1/health/cameras says of a camera's recording.
func (n *node) recording(t testing.TB, camera string) status.Recording {
	t.Helper()
	_, body, err := n.get("/v1/health/cameras")
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Cameras []status.Camera }
	if err := json.Unmarshal(body, &list); err != nil {
		t.Fatal(err)
	}
	for _, c := range list.Cameras {
		if c.ID == camera {
			return c.Recording
		}
	}
	t.Fatalf("no %s in %s", camera, body)
	return status.Recording{}
}
