package main

import (
	"fmt"
	"testing"
	"time"

	"skein/bench/sim"
	"skein/edge/media"
	"skein/edge/status"
)

// TestHurry proves that in split roles a clip that ends now holds what lies in the edge's open segment: the gateway makes
// the edge ship it.
func TestHurry(t *testing.T) {
	beside(t, 1, 12*time.Second)
	cams := startSim(t, sim.Config{Cameras: []sim.Camera{{ID: "gate", Video: small(media.H264)}}})
	rec, gw, edge := newNode(t, "recorder"), newNode(t, "gateway"), newNode(t, "edge")
	inventory := oneUnit + fmt.Sprintf("cameras:\n  - {id: gate, name: G, unit: yf, edge: edge-1, main: %q, record: main}\n",
		cams.URL("gate", media.Main))
	rec.configure(t, inventory+fmt.Sprintf("access: {nodes: [{id: edge-1, kind: edge, token: %s}, {id: gateway-1, kind: gateway, token: %s}]}\n",
		edgeToken, gatewayToken))
	gw.configure(t, inventory+fmt.Sprintf(`
access:
  tokens: [{name: bench, token: {env: SKEIN_TEST_TOKEN}, role: admin, unit: yf}]
  nodes: [{id: edge-1, kind: edge, token: %s}]
recorder: {urls: ["http://%s"], token: %s}
`, edgeToken, rec.http, gatewayToken))
	edge.configure(t, inventory+fmt.Sprintf(`
spool: {segment: 60s}
link: {node: edge-1, gateway: "http://%s", token: %s}
recorder: {urls: ["http://%s"], token: %s}
`, gw.http, edgeToken, rec.http, edgeToken))
	rec.start(t)
	gw.start(t)
	edge.start(t)
	gw.awaitState(t, status.Live, 30*time.Second, "gate")
	from := time.Now()
	await(t, from.Add(6*time.Second))
	to := time.Now()
	c := gw.fetch(t, "gate", from, to)
	took := time.Since(to)
	if h := holes(numbers(c.frames)); len(h) > 0 || (c.duration-to.Sub(from)).Abs() > 2*frameTime {
		t.Errorf("clip of %v, want %v; holes %v", c.duration, to.Sub(from), h)
	}
	t.Logf("a clip of %v that ends now came after %v", c.duration.Round(time.Millisecond), took.Round(time.Millisecond))
}
