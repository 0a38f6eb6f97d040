package main

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"skein/bench/sim"
	"skein/edge/media"
	"skein/edge/status"
)

// few starts a node with n cameras that are live.
func few(t *testing.T, n int) (*node, *sim.Server, []string) {
	t.Helper()
	cfg := sim.Config{}
	var ids []string
	more := oneUnit + access + "cameras:\n"
	for i := range n {
		ids = append(ids, fmt.Sprintf("cam%d", i))
		cfg.Cameras = append(cfg.Cameras, sim.Camera{ID: ids[i], Video: small(media.H264)})
	}
	cams := startSim(t, cfg)
	for _, id := range ids {
		more += fmt.Sprintf("  - {id: %s, name: %s, unit: yf, main: %q, transport: tcp}\n", id, id, cams.URL(id, media.Main))
	}
	gate := newNode(t, "all")
	gate.configure(t, more)
	gate.start(t)
	gate.awaitState(t, status.Live, 30*time.Second, ids...)
	return gate, cams, ids
}

// TestConsoleAgreesWithItself silences a camera that a tile shows: header and tree say so with the tile, and the header's
// sum opens that camera and no other. Nobody polls the list of cameras, and the browser has nothing to complain of.
func TestConsoleAgreesWithItself(t *testing.T) {
	beside(t, 2, 25*time.Second)
	n, cams, ids := few(t, 4)
	c := openConsole(t, n)
	c.ask(`{"do":"login"}`)
	c.ask(`{"do":"layout","n":4}`)
	c.ask(`{"do":"moving","n":4}`)
	if log := c.ask(`{"do":"log"}`); len(log.Complaints) > 0 || log.Requests["/v1/cameras"] > 2 {
		t.Errorf("the browser complains of %q; requests %v", log.Complaints, log.Requests)
	}
	cams.Camera(ids[2]).Stall(5 * time.Minute)
	a := c.ask(`{"do":"agrees","camera":%q}`, ids[2])
	t.Logf("the tile said %s; header and tree %d ms later", a.State, a.MS)
	if a.MS > 500 || a.Bad != 1 {
		t.Errorf("header and tree agreed %d ms after the tile, with %d faults", a.MS, a.Bad)
	}
	if said := c.ask(`{"do":"text","id":"sum-bad"}`).Text; !strings.Contains(said, "异常") || !strings.Contains(said, "1") {
		t.Errorf("the header says %q", said)
	}
	c.ask(`{"do":"click","id":"sum-bad"}`)
	c.ask(`{"do":"shown","id":"camera-row-%s"}`, ids[2])
	if rows := c.ask(`{"do":"ids","prefix":"camera-row-"}`).IDs; !slices.Equal(rows, []string{"camera-row-" + ids[2]}) {
		t.Errorf("the header's one fault opens %v", rows)
	}
	c.ask(`{"do":"open","hash":"#/wall"}`)
	c.ask(`{"do":"moving","n":3}`)
	log := c.ask(`{"do":"log"}`)
	if log.Requests["/v1/cameras"] > 5 { // figures of the health page, while it was open
		t.Errorf("the list of cameras is polled: %v", log.Requests)
	}
	t.Logf("asked for meanwhile: %v", log.Requests)
}

// TestConsoleOfAnAuditor logs an auditor in: he lands on a page that he may see, is offered no other, and nothing is
// asked for that he would be refused.
func TestConsoleOfAnAuditor(t *testing.T) {
	beside(t, 1, 20*time.Second)
	n, _, ids := few(t, 2)
	add := exec.Command(skeinBinary(t), "user", "add", "hao", "--role", "auditor", "--unit", "yf", "--config", n.file)
	add.Stdin = strings.NewReader("four words in a row\n")
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("user add: %v: %s", err, out)
	}
	c := openConsole(t, n, "USER_NAME=hao", "PASSWORD=four words in a row")
	c.ask(`{"do":"login","there":"state-all"}`)
	c.ask(`{"do":"shown","id":"camera-row-%s"}`, ids[1])
	if nav := c.ask(`{"do":"ids","prefix":"nav-"}`).IDs; !slices.Equal(nav, []string{"nav-cameras"}) {
		t.Errorf("an auditor is offered %v", nav)
	}
	c.ask(`{"do":"open","hash":"#/wall"}`) // the address may come from somebody else
	c.ask(`{"do":"shown","id":"refused","shot":"auditor-wall"}`)
	<-time.After(3 * time.Second)
	log := c.ask(`{"do":"log"}`)
	if len(log.Complaints) > 0 || log.Requests["/v1/walls"]+log.Requests["/v1/coverage"] > 0 {
		t.Errorf("the browser complains of %q; requests %v", log.Complaints, log.Requests)
	}
	t.Logf("asked for: %v", log.Requests)
}
