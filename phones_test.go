package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"skein/bench/sim"
	"skein/edge/media"
	"skein/edge/status"
)

// phones is a site whose gateway has cameras of its own: "phone" publishes by WHIP, "body" by RTSP, "street" is pulled by
// the edge.
type phones struct {
	site
	pulled, inventory string // without and with those that publish
}

// startPhones starts edge, gateway and recorder; their inventory has no camera that publishes yet.
func startPhones(t *testing.T) *phones {
	t.Helper()
	s := &phones{site: site{
		edge: newNode(t, "edge"), gateway: newNode(t, "gateway"), recorder: newNode(t, "recorder"),
		sim: startSim(t, sim.Config{Cameras: []sim.Camera{{ID: "street", Video: small(media.H264)}}}),
	}}
	s.pulled = oneUnit + fmt.Sprintf("cameras:\n  - {id: street, name: S, unit: yf, edge: edge-1, main: %q, record: main}\n",
		s.sim.URL("street", media.Main))
	s.inventory = s.pulled + "  - {id: phone, name: P, unit: yf, main: push, record: main}\n" +
		"  - {id: body, name: B, unit: yf, main: push, record: main}\n"
	s.recorder.configure(t, s.inventory+fmt.Sprintf("access: {nodes: [{id: edge-1, kind: edge, token: %s}, {id: gateway-1, kind: gateway, token: %s}]}\n",
		edgeToken, gatewayToken))
	s.gateway.configure(t, "inventory: inventory.yaml\nspool: {segment: 30s, ship: {retry_min: 200ms, retry_max: 1s}}\n"+
		fmt.Sprintf(`
access:
  tokens:
    - {name: bench, token: {env: SKEIN_TEST_TOKEN}, role: admin, unit: yf}
    - {name: second, token: token-of-a-second-phone, role: operator, unit: yf}
  nodes: [{id: edge-1, kind: edge, token: %s}]
recorder: {urls: ["http://%s"], token: %s}
`, edgeToken, s.recorder.http, gatewayToken))
	s.edge.configure(t, s.inventory+fmt.Sprintf(`
link: {node: edge-1, gateway: "http://%s", token: %s}
recorder: {urls: ["http://%s"], token: %s}
`, s.gateway.http, edgeToken, s.recorder.http, edgeToken))
	s.take(t, s.pulled)
	s.recorder.start(t)
	s.gateway.start(t)
	s.edge.start(t)
	s.gateway.awaitState(t, status.Live, 30*time.Second, "street")
	return s
}

// take gives the gateway an inventory.
func (s *phones) take(t *testing.T, inventory string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.gateway.dir, "inventory.yaml"), []byte(inventory), 0o600); err != nil {
		t.Fatal(err)
	}
}

// spool is where the gateway keeps footage until the recorder has it.
func (s *phones) spool() string { return filepath.Join(s.gateway.dir, "data", "spool") }

// bodyCamera has ffmpeg publish the simulation's pictures as the camera "body" until the test ends or stop is called.
func (s *phones) bodyCamera(t *testing.T) (stop func()) {
	t.Helper()
	cmd := exec.Command(tool(t, "ffmpeg"), "-v", "warning", "-probesize", "32", "-f", "h264", "-framerate", "25",
		"-i", "pipe:0", "-c", "copy", "-f", "rtsp", "-rtsp_transport", "tcp",
		"rtsp://bench:"+testToken+"@"+s.gateway.rtsp+"/body/main")
	var said output
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	src := drawn(t, "body", small(media.H264))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var feeding sync.WaitGroup
	feeding.Go(func() {
		for {
			u := src.Next()
			await(t, u.Wall)
			if _, err := in.Write(annexB(u.NALUs)); err != nil {
				return // ffmpeg has ended
			}
		}
	})
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		feeding.Wait()
		_ = cmd.Wait() // killed
	})
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("---- ffmpeg said:\n%s", said.tail())
		}
	})
	return stop
}
