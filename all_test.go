package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"skein/bench/sim"
	"skein/edge/media"
	"skein/edge/status"
)

// frameTime is that of the simulated cameras: 25 pictures a second.
const frameTime = 40 * time.Millisecond

// small is a stream that costs little: 640x360, a key frame each second.
func small(codec media.Codec) sim.Video {
	return sim.Video{Codec: codec, Width: 640, Height: 360, FPS: 25, GOP: 25, Bitrate: 400_000}
}

// TestAll runs all roles in one process over simulated cameras and proves what is recorded, frame by frame.
func TestAll(t *testing.T) {
	beside(t, 6, 80*time.Second)
	tool(t, "ffmpeg")
	tool(t, "ffprobe")
	larger := small(media.H264)
	larger.Width, larger.Height = 800, 448
	d := &stage{sim: startSim(t, sim.Config{Cameras: []sim.Camera{
		{ID: "street", Video: small(media.H264), Audio: media.G711A},
		{ID: "hall", Video: small(media.H264), Audio: media.AAC},
		{ID: "gate", Video: small(media.H265), Audio: media.Opus},
		{ID: "lane", Video: small(media.H264)},
		{ID: "gap", Video: small(media.H264), Audio: media.AAC},
		{ID: "swap", Video: small(media.H264)}, {ID: "swapped", Video: small(media.H265)},
		{ID: "grow", Video: small(media.H264)}, {ID: "grown", Video: larger},
		{ID: "leaver", Video: small(media.H264)}, {ID: "joiner", Video: small(media.H264)},
	}})}
	d.node = newNode(t, "all")
	d.write(t, "street", "hall", "gate", "lane", "gap", "swap", "grow", "leaver")
	d.start(t)
	d.awaitState(t, status.Live, 30*time.Second, "street", "hall", "gate", "lane", "gap", "swap", "grow", "leaver")
	d.began = time.Now()
	steady := []string{"street", "hall", "gate", "lane"}
	before, err := d.cameras()
	if err != nil {
		t.Fatal(err)
	}
	v := d.watch(t, "street")
	d.change(t)
	watched := v.await(t, 500, 60*time.Second)
	v.leave(t, d.node)
	t.Logf("WHEP: %d frames without a hole", len(watched))

	end := d.began.Add(36 * time.Second)
	d.awaitArchive(t, d.began, end, 60*time.Second, append(steady, "gap", "swap", "grow", "joiner")...)
	after, err := d.cameras()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range append(steady, "gap") {
		b, a := before[id].Profiles["main"], after[id].Profiles["main"]
		if id != "gap" && (a.Reconnects != b.Reconnects || !a.Since.Equal(b.Since)) {
			t.Errorf("%s was disturbed: %d reconnects, live since %v, before %d, %v", id, a.Reconnects, a.Since, b.Reconnects,
				b.Since)
		}
	}
	for _, id := range steady {
		t.Run(id, func(t *testing.T) { d.exactClips(t, id, d.began, end) })
	}
	t.Run("gap", d.clipAcrossGap)
	t.Run("swap", func(t *testing.T) { d.clipAcrossChange(t, "swap", "h264+hevc", "avc1", "hvc1") })
	t.Run("grow", func(t *testing.T) { d.clipAcrossChange(t, "grow", "h264", "avc1") })
	t.Run("chromium", d.clipsInChromium)
	t.Run("restart", d.clipAfterRestart)
}

// stage is one node with its simulated cameras.
type stage struct {
	*node
	sim       *sim.Server
	began     time.Time
	off, on   time.Time         // of camera gap
	redirects map[string]string // cameras that are pulled from another simulated one
	names     map[string]string // names other than the id
}

// write writes the configuration with these cameras, in one step: a reload never sees half of it.
func (d *stage) write(t *testing.T, ids ...string) {
	t.Helper()
	if _, err := os.Stat(d.file); err != nil {
		d.configure(t, "")
		head, err := os.ReadFile(d.file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(d.file+".head", head, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	head, err := os.ReadFile(d.file + ".head")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.Write(head)
	b.WriteString(oneUnit + access + "spool: {segment: 4s}\npull: {retry_min: 200ms, retry_max: 1s}\ncameras:\n")
	for _, id := range ids {
		from, name := id, id
		if r := d.redirects[id]; r != "" {
			from = r
		}
		if n := d.names[id]; n != "" {
			name = n
		}
		fmt.Fprintf(&b, "  - {id: %s, name: %q, unit: yf, main: %q, transport: tcp, record: main}\n",
			id, name, d.sim.URL(from, media.Main))
	}
	d.replace(t, []byte(b.String()))
}

// replace puts another configuration in the place of the present one.
func (d *stage) replace(t *testing.T, text []byte) {
	t.Helper()
	next := d.file + ".next"
	if err := os.WriteFile(next, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, d.file); err != nil {
		t.Fatal(err)
	}
}

// change stops and starts camera gap, and meanwhile edits the inventory twice: once to be found, once with SIGHUP.
func (d *stage) change(t *testing.T) {
	t.Helper()
	await(t, d.began.Add(8*time.Second))
	d.off = time.Now()
	d.sim.Camera("gap").Stop()

	d.redirects = map[string]string{"swap": "swapped", "grow": "grown"}
	d.write(t, "street", "hall", "gate", "lane", "gap", "swap", "grow", "joiner")
	d.awaitState(t, status.Live, 20*time.Second, "joiner", "swap", "grow")
	all, err := d.cameras()
	if err != nil {
		t.Fatal(err)
	}
	if c := all["swap"].Profiles["main"].Codec; c != "H265" {
		t.Errorf("swap is %s after the edit, want H265", c)
	}
	if _, ok := all["leaver"]; ok {
		t.Error("leaver is still there")
	}
	if s := all["gap"].State; s == status.Live {
		t.Errorf("gap is %s while it is off", s)
	}
	if !strings.Contains(d.out.String(), `why="file changed"`) {
		t.Error("the reload is not in the log")
	}

	good, err := os.ReadFile(d.file)
	if err != nil {
		t.Fatal(err)
	}
	d.replace(t, append(good, "nonsense: true\n"...))
	poll(t, "refusal of a bad file", 10*time.Second, func() error {
		if !strings.Contains(d.out.String(), "inventory not reloaded, the old one stays") {
			return fmt.Errorf("not in the log")
		}
		return nil
	})

	d.names = map[string]string{"lane": "白沙巷"}
	d.write(t, "street", "hall", "gate", "lane", "gap", "swap", "grow", "joiner")
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	poll(t, "reload on SIGHUP", 10*time.Second, func() error {
		if !strings.Contains(d.out.String(), "why=SIGHUP") {
			return fmt.Errorf("not in the log")
		}
		return nil
	})
	await(t, d.off.Add(6*time.Second))
	if err := d.sim.Camera("gap").Start(); err != nil {
		t.Fatal(err)
	}
	d.awaitState(t, status.Live, 20*time.Second, "gap")
	d.on = time.Now()
}

// clipAcrossGap proves a clip and a playlist over the time in which the camera was off.
func (d *stage) clipAcrossGap(t *testing.T) {
	from := d.off.Add(-5 * time.Second).Truncate(time.Millisecond).Add(500 * time.Microsecond)
	to := from.Add(20 * time.Second)
	_, gaps, err := d.coverage("gap", from, to)
	if err != nil || len(gaps) != 1 {
		t.Fatalf("gaps %v, %v, want one", gaps, err)
	}
	g := gaps[0]
	if g.From.Sub(d.off).Abs() > time.Second || d.on.Sub(g.To) > 5*time.Second || g.To.Sub(g.From) < 5*time.Second {
		t.Errorf("gap %v; the camera was off from %v to %v", g, d.off, d.on)
	}
	if g.Cause != "camera_off" {
		t.Errorf("cause of the gap: %s", g.Cause)
	}
	c := d.fetch(t, "gap", from, to)
	got := c.shown()
	if h := holes(numbers(got)); len(h) != 1 {
		t.Fatalf("holes %v, want one", h)
	}
	for i, f := range got[1:] {
		prev := got[i]
		if f.Frame == prev.Frame+1 {
			continue
		}
		missing := time.Duration(f.Frame-prev.Frame) * frameTime
		if jump := f.at - prev.at; (jump - missing).Abs() > 2*frameTime {
			t.Errorf("the picture before the gap stands for %v, %v are missing", jump, missing)
		}
		if c.wall(prev).Sub(g.From).Abs() > 3*frameTime || c.wall(f).Sub(g.To).Abs() > 3*frameTime {
			t.Errorf("clip: gap from %v to %v; coverage: %v", c.wall(prev), c.wall(f), g)
		}
	}
	if p := probe(t, c.file); (p.duration() - 20*time.Second).Abs() > frameTime {
		t.Errorf("ffprobe says %v, want 20 s", p.duration())
	}
	decode(t, "-i", c.file)
	l := d.playlist(t, "gap", from, to)
	if l.jumps != 1 {
		t.Errorf("%d discontinuities, want one", l.jumps)
	}
	d.sameByHLS(t, "gap", from, to, c)
}

// clipAcrossChange proves a clip and a playlist over the moment at which a camera began to deliver another codec or
// size.
func (d *stage) clipAcrossChange(t *testing.T, id, codecs string, tracks ...string) {
	from := d.off.Add(-5 * time.Second).Truncate(time.Millisecond).Add(500 * time.Microsecond)
	to := from.Add(20 * time.Second)
	c := d.fetch(t, id, from, to)
	if !slices.Equal(c.tracks, tracks) {
		t.Fatalf("tracks %v, want %v", c.tracks, tracks)
	}
	var old, fresh []frame
	for _, f := range c.shown() {
		if f.Camera == sim.CameraHash(id) {
			old = append(old, f)
		} else {
			fresh = append(fresh, f)
		}
	}
	if h := append(holes(numbers(old)), holes(numbers(fresh))...); len(h) > 0 || len(old) < 100 || len(fresh) < 200 {
		t.Fatalf("%d frames before the change, %d after, holes %v", len(old), len(fresh), h)
	}
	c.punctual(t, old)
	c.punctual(t, fresh)
	if old[len(old)-1].at >= fresh[0].at {
		t.Error("the new begins before the old ends")
	}
	if p := probe(t, c.file); (p.duration()-20*time.Second).Abs() > frameTime || p.codecs() != codecs {
		t.Errorf("ffprobe says %v, %s", p.duration(), p.codecs())
	}
	decode(t, "-i", c.file)
	l := d.playlist(t, id, from, to)
	if l.jumps != 1 || l.maps != 2 {
		t.Errorf("%d discontinuities and %d initialisations, want 1 and 2", l.jumps, l.maps)
	}
	have, want := numbers(l.frames), numbers(slices.Concat(old, fresh))
	i := slices.Index(have, want[0])
	if i < 0 || len(have) < i+len(want) || !slices.Equal(have[i:i+len(want)], want) {
		t.Errorf("HLS holds %d frames from %d, want %d", len(have)-i, old[0].Frame, len(want))
	}
}

// clipsInChromium plays clips and playlists with several kinds of sound, across a gap and across a change of size.
func (d *stage) clipsInChromium(t *testing.T) {
	nodejs, chromium := tool(t, "node"), tool(t, "chromium")
	tool(t, nodejs, "-e", "require('./gateway/web/node_modules/playwright-core')")
	from := d.off.Add(-5 * time.Second)
	query := rangeQuery(from, from.Add(20*time.Second))
	args := []string{"testdata/play.mjs"}
	ids := []string{"street", "hall", "lane", "gap", "grow"} // not H.265: not every Chromium decodes it
	for _, id := range ids {
		args = append(args, "/v1/clips/"+id+".mp4?"+query, "/v1/clips/"+id+".m3u8?"+query)
	}
	cmd := exec.Command(nodejs, args...)
	cmd.Env = append(os.Environ(), "BASE_URL=http://"+d.http, "TOKEN="+testToken, "CHROMIUM="+chromium)
	var errs output
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("play.mjs: %v: %s%s", err, out, errs.tail())
	}
	var played []struct {
		Duration             float64
		Width, Sound, Frames int
		Error                string
	}
	if err := json.Unmarshal([]byte(lastLine(string(out))), &played); err != nil || len(played) != 2*len(ids) {
		t.Fatalf("play.mjs: %v: %s", err, out)
	}
	for i, p := range played {
		id := ids[i/2]
		shortest, longest := 19.95, 20.05
		if i%2 == 1 {
			shortest, longest = 12, 30 // a playlist is of whole parts, and players leave gaps out
		}
		silent := id == "lane" || id == "grow"
		if p.Error != "" || p.Width < 640 || p.Duration < shortest || p.Duration > longest || p.Frames == 0 ||
			(p.Sound == 0) != silent {
			t.Errorf("%s in Chromium: %+v", id, p)
		}
	}
}

// clipAfterRestart proves that footage is the same after the process was ended, while somebody looked, and started
// again.
func (d *stage) clipAfterRestart(t *testing.T) {
	from := d.began.Add(7 * time.Second)
	to := from.Add(20 * time.Second)
	before := numbers(d.fetch(t, "hall", from, to).shown())
	d.watch(t, "hall").await(t, 10, 20*time.Second)
	asked := time.Now()
	d.stop()
	if took := time.Since(asked); took > 15*time.Second {
		t.Errorf("the end took %v", took)
	}
	d.start(t)
	poll(t, "footage after a restart", 20*time.Second, func() error {
		_, _, err := d.get("/v1/clips/hall.mp4?" + rangeQuery(from, to))
		return err
	})
	if after := numbers(d.fetch(t, "hall", from, to).shown()); !slices.Equal(before, after) {
		t.Errorf("%d frames before, %d after", len(before), len(after))
	}
}
