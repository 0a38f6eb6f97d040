package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"skein/bench/sim"
	"skein/edge/media"
	"skein/edge/status"
)

// console is the console in Chromium, asked by live.mjs.
type console struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Scanner
}

// answer is one of live.mjs.
type answer struct {
	OK    bool
	Error string
	MS    int
	Text  string

	Title string // of the speaker
	Sound struct {
		Codec              string
		Seconds, Energy    float64
		Concealed, DelayMs float64
	}

	Peers, Open, Negotiations, Slots int
	Tiles                            []struct {
		Camera, State, Transport string
		Width                    int
		Moves                    bool
	}
	Viewer, Way       string // of the viewers' page
	Streams           int
	Note, Count, Hint string // of a tour that passed cameras by; Note of a gap too

	// Of a replay: the picture's file, the time that the console says it has, the position in the film, and what is said
	// of a gap.
	Picture, Kind string
	Time          time.Time
	Position      float64
	Next, Asked   bool
	Bar           int
	Disabled      []string

	Weight pageWeight // of the whole page

	Complaints []string       // of the browser
	Requests   map[string]int // by path
	IDs        []string       // of elements
	Bad        int            // cameras with a fault, by the header
	State      string
}

// openConsole opens the console of a node, with more of live.mjs's environment.
func openConsole(t *testing.T, n *node, more ...string) *console {
	t.Helper()
	if _, err := os.Stat("gateway/web/node_modules/playwright-core"); err != nil {
		tool(t, "gateway/web/node_modules/playwright-core") // make test installs it
	}
	cmd := exec.Command(tool(t, "node"), "e2e/live.mjs")
	cmd.Dir = "gateway/web"
	cmd.Env = append(os.Environ(), "BASE_URL=http://"+n.http, "PASSWORD="+n.password(t), "CHROMIUM="+tool(t, "chromium"))
	cmd.Env = append(cmd.Env, more...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // ends the script
		if err := cmd.Wait(); err != nil {
			t.Errorf("live.mjs: %v", err)
		}
	})
	c := &console{t: t, in: in, out: bufio.NewScanner(out)}
	c.out.Buffer(nil, 1<<20)
	return c
}

// password returns that of the user admin, which the first start has printed.
func (n *node) password(t *testing.T) string {
	t.Helper()
	m := regexp.MustCompile(`with the password\s+(\S+)\n`).FindStringSubmatch(n.out.String())
	if m == nil {
		t.Fatal("no first password")
	}
	return m[1]
}

// ask puts a question and fails the test if the answer is bad.
func (c *console) ask(format string, args ...any) (a answer) {
	c.t.Helper()
	question := fmt.Sprintf(format, args...)
	if _, err := io.WriteString(c.in, question+"\n"); err != nil {
		c.t.Fatalf("%s: %v", question, err)
	}
	if !c.out.Scan() {
		c.t.Fatalf("%s: live.mjs ended: %v", question, c.out.Err())
	}
	if err := json.Unmarshal(c.out.Bytes(), &a); err != nil {
		c.t.Fatalf("%s: %v: %s", question, err, c.out.Bytes())
	}
	if !a.OK {
		c.t.Fatalf("%s: %s", question, a.Error)
	}
	return a
}

// TestWallInChromium drives the console's wall: 16 tiles in one connection, other cameras and profiles without
// renegotiation, a camera that dies, and a gateway that is killed and comes back.
func TestWallInChromium(t *testing.T) {
	beside(t, 6, 45*time.Second)
	const tiles = 16
	cfg := sim.Config{}
	var ids []string
	for i := range tiles + 2 {
		ids = append(ids, fmt.Sprintf("cam%d", i))
		cfg.Cameras = append(cfg.Cameras, sim.Camera{
			ID: ids[i], Video: sim.Video{Width: 1280, Height: 720, FPS: 15, GOP: 15, Bitrate: 800_000},
			Sub: &sim.Video{FPS: 10, GOP: 10, Bitrate: 200_000},
		})
	}
	cams := startSim(t, cfg)
	n := newNode(t, "all")
	more := oneUnit + access + "pull: {bytes_timeout: 2s, retry_min: 200ms, retry_max: 1s}\ncameras:\n"
	for _, id := range ids {
		more += fmt.Sprintf("  - {id: %s, name: %s, unit: yf, main: %q, sub: %q, transport: tcp}\n", id, id,
			cams.URL(id, media.Main), cams.URL(id, media.Sub))
	}
	n.configure(t, more)
	n.start(t)
	n.awaitState(t, status.Live, 30*time.Second, ids...)

	c := openConsole(t, n)
	c.ask(`{"do":"login"}`)
	c.ask(`{"do":"layout","n":16}`)
	all := c.ask(`{"do":"moving","n":16}`)
	one := c.ask(`{"do":"counts"}`)
	if one.Open != 1 || one.Slots < tiles {
		t.Fatalf("%d connections with %d slots, want one with at least 16", one.Open, one.Slots)
	}
	for _, tile := range all.Tiles {
		if tile.Transport != "wall" {
			t.Errorf("%s comes by %q", tile.Camera, tile.Transport)
		}
	}
	t.Logf("16 tiles move after %d ms (looked at every 400) in one connection of %d sections", all.MS, one.Slots)

	small := c.ask(`{"do":"width","n":16,"low":640,"high":640}`)
	shown := map[string]bool{}
	for _, tile := range small.Tiles {
		shown[tile.Camera] = true
	}
	seen := c.ask(`{"do":"viewers","n":16}`) // operators see the wall and what it shows
	listed := map[string]bool{}
	for _, tile := range seen.Tiles {
		listed[tile.Camera] = tile.Moves
	}
	if seen.Viewer != "admin" || !maps.Equal(listed, shown) || seen.Streams < tiles {
		t.Errorf("the viewers' page shows %+v, want %v", seen, shown)
	}
	t.Logf("the viewers' page shows the wall after %d ms", seen.MS)
	var other string
	for _, id := range ids {
		if !shown[id] {
			other = id
		}
	}
	c.ask(`{"do":"pick","camera":%q}`, other)
	c.ask(`{"do":"layout","n":1}`)
	c.ask(`{"do":"width","n":1,"low":1280,"high":1280}`) // the tile is large: main
	c.ask(`{"do":"layout","n":16}`)
	c.ask(`{"do":"width","n":16,"low":640,"high":640}`)
	if now := c.ask(`{"do":"counts"}`); now.Peers != one.Peers || now.Negotiations != one.Negotiations {
		t.Errorf("%d connections and %d negotiations after the changes, before %d and %d", now.Peers, now.Negotiations,
			one.Peers, one.Negotiations)
	}

	dying := small.Tiles[5].Camera
	stopped := time.Now()
	cams.Camera(dying).Stop()
	dead := c.ask(`{"do":"dead","camera":%q}`, dying)
	if took := time.Since(stopped); took > 10*time.Second {
		t.Errorf("%s was shown as dead after %v", dying, took)
	}
	for _, tile := range dead.Tiles {
		if tile.Camera == dying {
			t.Logf("%s is shown %s after %d ms", dying, tile.State, dead.MS)
		}
	}
	c.ask(`{"do":"moving","n":15}`)
	if err := cams.Camera(dying).Start(); err != nil {
		t.Fatal(err)
	}
	back := c.ask(`{"do":"moving","n":16}`)
	t.Logf("it moves again %d ms after it came back", back.MS)

	n.kill()
	n.start(t)
	restarted := c.ask(`{"do":"moving","n":16}`)
	t.Logf("all tiles move again %d ms after the gateway is ready again", restarted.MS)
}
