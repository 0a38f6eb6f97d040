package main

import (
	"encoding/json"
	"fmt"
	"image/png"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"skein/bench/sim"
	"skein/edge/media"
	"skein/edge/status"
)

// timeline is the body of GET /v1/clips/{camera}.json.
type timeline struct {
	Start time.Time
	Spans []struct {
		span
		At float64 `json:"at_s"`
	}
	Gaps []span
}

// theatre is a recorded camera with gaps, and the console that replays it.
type theatre struct {
	*console
	reader *sim.Reader
	wall   map[uint64]time.Time // when the archive says a picture was captured, by its drawn number
	timeline
}

// TestReplayTellsTheTimeOfItsPictures proves in Chromium that the time under the player, and that of snapshots, is the
// one drawn into the picture: before, within and after gaps, as MP4 and as HLS; and that gaps are named, with a way on.
func TestReplayTellsTheTimeOfItsPictures(t *testing.T) {
	beside(t, 3, 60*time.Second)
	cam := sim.Camera{ID: "gate", Name: "G", Video: small(media.H264)}
	cams := startSim(t, sim.Config{Cameras: []sim.Camera{cam}})
	n := newNode(t, "all")
	n.configure(t, oneUnit+access+"spool: {segment: 4s}\npull: {bytes_timeout: 1s, retry_min: 200ms, retry_max: 500ms}\n"+
		fmt.Sprintf("cameras:\n  - {id: gate, name: G, unit: yf, main: %q, record: main}\n", cams.URL("gate", media.Main)))
	n.start(t)
	n.awaitState(t, status.Live, 30*time.Second, "gate")
	began := time.Now()
	film := func(d time.Duration) { // waits for it, then turns the camera off
		t.Helper()
		await(t, time.Now().Add(d))
		cams.Camera("gate").Stop()
		await(t, time.Now().Add(5*time.Second))
	}
	film(8 * time.Second)
	if err := cams.Camera("gate").Start(); err != nil {
		t.Fatal(err)
	}
	n.awaitState(t, status.Live, 30*time.Second, "gate")
	th := &theatre{console: openConsole(t, n, "SHOTS="+t.TempDir()), wall: map[uint64]time.Time{}}
	th.ask(`{"do":"login"}`)
	th.ask(`{"do":"moving","n":1}`)
	live := th.ask(`{"do":"shot","camera":"gate"}`)
	// It begins with the first picture of all, and 10 s later it has made the gap short.
	jump := []answer{th.ask(`{"do":"past","camera":"gate","n":60,"after":1500}`), th.ask(`{"do":"past","camera":"gate","after":10000}`)}
	film(4 * time.Second)

	var err error
	if th.reader, err = sim.NewReader(cam, media.Main); err != nil {
		t.Fatal(err)
	}
	from := began.Add(-12 * time.Second).Truncate(time.Second)
	to := time.Now().Truncate(time.Second)
	poll(t, "two stretches of footage", 30*time.Second, func() error {
		_, body, err := n.get("/v1/clips/gate.json?" + rangeQuery(from, to))
		if err == nil {
			th.timeline = timeline{}
			err = json.Unmarshal(body, &th.timeline)
		}
		if err == nil && (len(th.Spans) != 2 || th.Gaps[len(th.Gaps)-1].From.Before(th.Spans[1].To)) {
			return fmt.Errorf("%+v", th.timeline)
		}
		return err
	})
	whole := n.fetch(t, "gate", from, to)
	for _, f := range whole.frames {
		th.wall[f.Frame%sim.CounterWrap] = whole.wall(f)
	}
	second := whole.shown()
	second = second[slices.IndexFunc(second, func(f frame) bool { return !whole.wall(f).Before(th.Spans[1].From) }):]
	whole.punctual(t, whole.shown()[:10])
	whole.punctual(t, second)
	t.Run("tile", func(t *testing.T) {
		th.prove(t, "live snapshot", live)
		for _, a := range jump {
			th.within(t, "instant replay", a, 4*frameTime) // the tile looks every 100 ms what picture it shows
		}
		if !jump[0].Time.Before(th.Spans[0].To) || jump[1].Time.Before(th.Spans[1].From.Add(-frameTime)) {
			t.Errorf("the instant replay showed %v and %v, want the stretches before and after the gap from %v to %v",
				jump[0].Time, jump[1].Time, th.Spans[0].To, th.Spans[1].From)
		}
	})
	th.ask(`{"do":"replay","camera":"gate"}`)
	beijing := time.FixedZone("CST", 8*3600)
	ask := func(from, to time.Time, more string) answer {
		const layout = "2006-01-02T15:04:05"
		return th.ask(`{"do":"range","from":%q,"to":%q%s}`, from.In(beijing).Format(layout), to.In(beijing).Format(layout), more)
	}
	first := ask(from, to, "")
	if first.Kind != "before" {
		t.Errorf("at the beginning the missing footage is not named: %+v", first)
	}
	t.Run("mp4", func(t *testing.T) { th.mp4(t) })
	t.Run("hls", func(t *testing.T) { th.hls(t) })
	t.Run("bar", func(t *testing.T) { th.still(t) })
	t.Run("nothing", func(t *testing.T) {
		none := ask(from.Add(-72*time.Hour), to.Add(-72*time.Hour), `,"empty":true`)
		if none.Asked || none.Kind != "none" || !slices.Equal(none.Disabled, []string{"replay-snapshot", "replay-download", "lock"}) {
			t.Errorf("of a range without footage: %+v", none)
		}
		if none.Next {
			t.Error("a way on over three days")
		}
		if none = ask(from.Add(-10*time.Minute), to.Add(-10*time.Minute), `,"empty":true`); !none.Next {
			t.Fatalf("no way on to what follows within minutes: %+v", none)
		}
		if a := th.ask(`{"do":"next"}`); a.Time.Before(th.Spans[0].From.Add(-frameTime)) || a.Time.After(th.Spans[0].To) {
			t.Errorf("the way on leads to %v, want the stretch from %v", a.Time, th.Spans[0].From)
		}
	})
}

// mp4 looks before, within, after and behind the gaps of the MP4.
func (th *theatre) mp4(t *testing.T) {
	gap := th.Spans[1].At - th.Spans[0].To.Sub(th.Spans[0].From).Seconds()
	for _, look := range []struct {
		name string
		at   float64
	}{
		{"beginning", 0.02},
		{"before", 3.33},
		{"last", th.Spans[1].At - gap - 0.02},
		{"within", th.Spans[1].At - gap/2},
		{"first after", th.Spans[1].At + 0.02},
		{"after", th.Spans[1].At + 2.5},
	} {
		name, at := look.name, look.at
		a := th.ask(`{"do":"seek","at":%f}`, at)
		th.prove(t, name, a)
		if still := name == "within"; still != (a.Kind == "still") || still && (!a.Next || !strings.Contains(a.Note, "缺失")) {
			t.Errorf("%s the gap: kind %q, note %q, way on %v", name, a.Kind, a.Note, a.Next)
		}
		if name == "within" {
			if th.prove(t, "snapshot in the gap", th.ask(`{"do":"snapshot"}`)); a.Time.After(th.Spans[0].To) {
				t.Errorf("within the gap the time is %v, the last picture is before %v", a.Time, th.Spans[0].To)
			}
			a = th.ask(`{"do":"next"}`)
			if th.prove(t, "way on", a); a.Time.Sub(th.Spans[1].From).Abs() > 2*frameTime {
				t.Errorf("the way on leads to %v, want %v", a.Time, th.Spans[1].From)
			}
		}
		if name == "after" {
			th.prove(t, "snapshot", th.ask(`{"do":"snapshot"}`))
			th.prove(t, "in motion", th.ask(`{"do":"glimpse"}`))
			th.prove(t, "snapshot in motion", th.ask(`{"do":"snapshot"}`))
		}
	}
	end := th.ask(`{"do":"end"}`)
	if th.prove(t, "end", end); end.Kind != "end" || !strings.Contains(end.Note, "缺失") {
		t.Errorf("at the end: kind %q, note %q", end.Kind, end.Note)
	}
}

// hls looks at the playlist, which leaves the gap out.
func (th *theatre) hls(t *testing.T) {
	th.ask(`{"do":"as","form":"hls"}`)
	cut := th.Spans[0].To.Sub(th.Spans[0].From).Seconds()
	for _, at := range []float64{1.21, cut - 1.5, cut + 1.7, cut + 4.05} {
		th.prove(t, fmt.Sprintf("at %.2f s", at), th.ask(`{"do":"seek","at":%f}`, at))
	}
	th.prove(t, "snapshot", th.ask(`{"do":"snapshot"}`))
	th.ask(`{"do":"seek","at":%f}`, cut-0.4)
	over := th.ask(`{"do":"glimpse"}`)
	if th.prove(t, "over the cut", over); over.Kind != "cut" || !strings.Contains(over.Note, "缺失") {
		t.Errorf("over the cut: at %v, kind %q, note %q", over.Position, over.Kind, over.Note)
	}
}

// still clicks into the bar where the clip is and where it is not: the bar stays where it is.
func (th *theatre) still(t *testing.T) {
	top := th.ask(`{"do":"seek","at":1}`).Bar
	for _, share := range []float64{0.995, 0.2, 0.99} {
		if a := th.ask(`{"do":"bar","share":%f}`, share); a.Bar != top {
			t.Errorf("a click at %v moved the bar from %d to %d", share, top, a.Bar)
		}
	}
}

// prove compares the time that the console tells with the one drawn into the picture.
func (th *theatre) prove(t *testing.T, what string, a answer) {
	t.Helper()
	th.within(t, what, a, frameTime)
}

func (th *theatre) within(t *testing.T, what string, a answer, slack time.Duration) {
	t.Helper()
	data, err := os.Open(a.Picture)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer data.Close()
	m, err := png.Decode(data)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	drawn, err := th.reader.Read(m)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	told := a.Time
	if told.IsZero() { // a snapshot: its name has the time
		_, stamp, _ := strings.Cut(strings.TrimSuffix(a.Text, ".png"), "_")
		if told, err = time.ParseInLocation("20060102150405.000", stamp[:14]+"."+stamp[14:], time.FixedZone("CST", 8*3600)); err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
	}
	if off := told.Sub(th.wall[drawn.Counter]); off.Abs() > slack {
		t.Errorf("%s, at %.3f s: told %v, the picture shows %v, which the archive has at %v (off by %v)", what, a.Position,
			told.UTC(), drawn.Wall, th.wall[drawn.Counter], off)
	}
	t.Logf("%s: told %s, drawn %s", what, told.UTC().Format("05.000"), drawn.Wall.Format("05.000"))
}
