package relay_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"skein/edge/media"
	"skein/edge/stream"
	"skein/gateway/relay"
	"skein/gateway/whep"
)

// sinkEnv makes the test binary a process of viewers, so that a benchmark's CPU time is the relay's alone.
const sinkEnv = "SKEIN_RELAY_SINK"

func TestMain(m *testing.M) {
	if url := os.Getenv(sinkEnv); url != "" {
		os.Exit(sinks(url))
	}
	goleak.VerifyTestMain(m)
}

// sinkReport is what the viewers saw while measured.
type sinkReport struct {
	Packets, Lost, Pictures uint64
	FirstMS, LatencyMS      []float64 // sorted; first picture of every measuring viewer, and each picture's delay
}

// BenchmarkViewers serves 16 cameras (1080p25, 4 Mbit/s, GOP 2 s) to viewers in another process: 16 real ones measure,
// the rest finish ICE and DTLS and count packets. Not run by default: go test -bench Viewers -benchtime 1x.
func BenchmarkViewers(b *testing.B) {
	for _, n := range []int{16, 64, 128, 256} {
		b.Run(fmt.Sprintf("viewers=%d", n), func(b *testing.B) {
			for b.Loop() {
				benchViewers(b, n, "steady")
			}
		})
	}
}

// benchCamera publishes 25 pictures a second of 4 Mbit/s, staggered by phase.
func benchCamera(ctx context.Context, phase time.Duration) *camera {
	c := &camera{stream: stream.New(stream.Options{HistoryAge: 4 * time.Second}), desc: newCamera().desc}
	const pSize, keySize = 19_000, 90_000
	go func() {
		time.Sleep(phase)
		t := time.NewTicker(40 * time.Millisecond)
		defer t.Stop()
		for n := 0; ; n++ {
			slice := make([]byte, pSize)
			slice[0] = 0x41
			if n%50 == 0 {
				slice = make([]byte, keySize)
				slice[0] = 0x65
			}
			now := time.Now()
			binary.BigEndian.PutUint64(slice[1:], uint64(now.UnixNano()))
			nalus := [][]byte{slice}
			if n%50 == 0 {
				nalus = [][]byte{sps, pps, slice}
			}
			c.stream.Publish(&media.AccessUnit{
				Desc: c.desc, PTS: int64(n) * 3600, Wall: now.UTC(), Arrival: now, Key: n%50 == 0, NALUs: nalus,
			})
			select {
			case <-t.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return c
}

// BenchmarkJoin lets 64 real viewers join at once; first-max is when the last has a picture.
func BenchmarkJoin(b *testing.B) {
	for b.Loop() {
		benchViewers(b, 64, "burst")
	}
}

func benchViewers(b *testing.B, viewers int, how string) {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cams := map[string]*camera{}
	for i := range 16 {
		cams[fmt.Sprintf("cam%d/main", i)] = benchCamera(ctx, time.Duration(i)*2500*time.Microsecond)
	}
	r, _ := start(b, relay.Config{MaxPerViewer: 1000}, cams)
	srv := httptest.NewServer(whep.Handler(r, func(*http.Request) relay.Viewer { return everything("bench") }, nil))
	defer srv.Close()
	time.Sleep(6 * time.Second) // until the cameras' histories hold what they will hold
	base := usage(b)
	time.Sleep(2 * time.Second)
	idle := usage(b) - base // publishing alone
	before := memory()

	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s", sinkEnv, srv.URL, viewers, how))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(b, err)
	out, err := cmd.StdoutPipe()
	must(b, err)
	must(b, cmd.Start())
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	if !lines.Scan() || lines.Text() != "ready" {
		b.Fatalf("viewers did not start: %q", lines.Text())
	}
	const seconds = 6
	_, _ = io.WriteString(in, "go\n")
	used, began := usage(b), time.Now()
	time.Sleep(seconds * time.Second)
	cpu := (usage(b) - used).Seconds() / time.Since(began).Seconds()
	_, _ = io.WriteString(in, "stop\n")
	if !lines.Scan() {
		b.Fatal("viewers did not report")
	}
	var rep sinkReport
	must(b, json.Unmarshal(lines.Bytes(), &rep))
	after := memory()
	_ = in.Close()
	_ = cmd.Wait()
	perSecond := float64(rep.Packets) / seconds
	b.ReportMetric(cpu*100, "%core")
	b.ReportMetric((cpu-idle.Seconds()/2)/perSecond*1e6, "us/packet")
	b.ReportMetric(perSecond, "packets/s")
	b.ReportMetric(float64(rep.Lost), "lost")
	b.ReportMetric(float64(rep.Pictures)/seconds/float64(len(rep.FirstMS)), "fps")
	b.ReportMetric(at(rep.LatencyMS, 0.5), "p50-ms")
	b.ReportMetric(at(rep.LatencyMS, 0.99), "p99-ms")
	b.ReportMetric(at(rep.FirstMS, 0.5), "first-p50-ms")
	b.ReportMetric(at(rep.FirstMS, 0.95), "first-p95-ms")
	b.ReportMetric(at(rep.FirstMS, 1), "first-max-ms")
	b.ReportMetric(float64(after-before)/float64(viewers)/1024, "kB/viewer")
	b.ReportMetric(0, "ns/op")
}

func at(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return -1
	}
	return sorted[int(q*float64(len(sorted)-1))]
}

// usage is the CPU time of this process, user and system.
func usage(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	must(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func memory() uint64 {
	runtime.GC()
	runtime.GC() // pools are emptied by the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// sinks is the viewers' process: "go" begins to measure, "stop" ends it and prints the report.
func sinks(arg string) int {
	var url, how string
	var n int
	if _, err := fmt.Sscan(arg, &url, &n, &how); err != nil {
		return 1
	}
	burst := how == "burst"
	var t sinkTB
	var measuring atomic.Bool
	var mu sync.Mutex
	var rep sinkReport
	var all []*player
	var wg sync.WaitGroup
	for i := range n {
		p := newPlayer(&t, playerOptions{})
		p.light = i >= 16 && !burst
		p.measure = func(first, latency time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			if first > 0 {
				rep.FirstMS = append(rep.FirstMS, first.Seconds()*1000)
			}
			if measuring.Load() && latency > 0 {
				rep.Pictures++
				rep.LatencyMS = append(rep.LatencyMS, latency.Seconds()*1000)
			}
		}
		p.measuring = &measuring
		all = append(all, p)
	}
	for i, p := range all {
		wg.Go(func() { p.post(url, fmt.Sprintf("cam%d", i%16)) })
		if i%8 == 7 && !burst {
			wg.Wait()
		}
	}
	wg.Wait()
	time.Sleep(2 * time.Second)
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	in.Scan()
	measuring.Store(true)
	in.Scan()
	measuring.Store(false)
	mu.Lock()
	defer mu.Unlock()
	for _, p := range all {
		rep.Packets += p.counted.Load()
		rep.Lost += p.lost.Load()
	}
	slices.Sort(rep.FirstMS)
	slices.Sort(rep.LatencyMS)
	_ = json.NewEncoder(os.Stdout).Encode(rep)
	return 0
}

// sinkTB lets the viewers' process use the tests' helpers.
type sinkTB struct{ testing.TB }

func (*sinkTB) Helper()        {}
func (*sinkTB) Cleanup(func()) {}
func (*sinkTB) Fatal(a ...any) { fmt.Fprintln(os.Stderr, a...); os.Exit(1) }
func (*sinkTB) Fatalf(f string, a ...any) {
	fmt.Fprintf(os.Stderr, f+"\n", a...)
	os.Exit(1)
}

// post connects the player over HTTP.
func (p *player) post(url, camera string) {
	offer := p.offer()
	p.begun = time.Now()
	res, err := http.Post(url+"/v1/whep/"+camera, "application/sdp", strings.NewReader(offer)) //nolint:noctx,gosec // bench
	must(p.t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	must(p.t, err)
	if res.StatusCode != http.StatusCreated {
		p.t.Fatalf("%s: %s", res.Status, body)
	}
	must(p.t, p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: string(body)}))
}

// count takes a packet as it comes from the socket.
func (p *player) count(b []byte) {
	seq := binary.BigEndian.Uint16(b[2:])
	if p.measuring.Load() {
		p.counted.Add(1)
	}
	if d := seq - p.seq; p.seen && d > 1 && d < 1<<15 {
		p.lost.Add(uint64(d - 1))
	}
	p.seen, p.seq = true, seq
}

// timing follows the pictures of a measuring player: each says when it was published.
func (p *player) timing(payload []byte, marker bool) {
	if len(payload) > 12 && payload[0]&0x1f == 28 && payload[1]&0x80 != 0 {
		p.published = int64(binary.BigEndian.Uint64(payload[2:]))
	}
	if !marker || p.published == 0 {
		return
	}
	first := time.Duration(0)
	if !p.shown {
		p.shown, first = true, time.Since(p.begun)
	}
	p.measure(first, time.Duration(time.Now().UnixNano()-p.published))
}
