// Command bench measures what Skein promises, side by side with a peer if one is given by URL, and prints a table.
//
// Every figure of a run comes from the same machine at the same time; the ratios are what counts, not the absolute
// numbers. CPU and memory are the system's accounting of the measured process, kernel time included.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	skein    string
	only     string
	duration time.Duration
	cameras  int
	bitrate  int
	viewers  string
	peers    []peer
	sim      string // address of cameras that run already; "": each measurement starts its own
	out      string

	// what a measurement of viewers is about
	whep  string // URL with %s for the camera
	pid   int    // of the server, for its CPU and memory
	token string
}

func main() {
	var o options
	flag.StringVar(&o.skein, "skein", "bin/skein", "the binary to measure")
	flag.StringVar(&o.only, "only", "ingest,viewers,joins,cold,loss,wall,clips,demo,record,index,export",
		"which measurements, comma-separated")
	flag.DurationVar(&o.duration, "duration", 20*time.Second, "length of each measurement")
	flag.IntVar(&o.cameras, "cameras", 16, "simulated cameras")
	flag.IntVar(&o.bitrate, "bitrate", 4_000_000, "bits per second of each camera")
	flag.StringVar(&o.viewers, "viewers", "16,64,128,256", "WHEP viewers, comma-separated")
	flag.Func("peer", "measure a peer beside Skein, may be repeated: NAME=PID=URL, its WHEP URL with %s for the camera "+
		"(cam0, cam1, ...); needs -sim", o.addPeer)
	flag.StringVar(&o.sim, "sim", "", "address of simulated cameras that Skein and peers pull (skein sim --stamp)")
	flag.StringVar(&o.out, "out", "", "also append the table to this file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	t := newTable()
	wanted := strings.Split(o.only, ",")
	if len(o.peers) > 0 {
		wanted = []string{"peers"}
	}
	for _, step := range []struct {
		name string
		f    func(context.Context, options, *table) error
	}{
		{"ingest", benchIngest}, {"viewers", benchViewers}, {"joins", benchJoins}, {"cold", benchCold},
		{"loss", benchLoss}, {"wall", benchWall}, {"clips", benchClips}, {"demo", benchDemo},
		{"record", benchRecord}, {"index", benchIndex}, {"export", benchExport}, {"peers", benchPeers},
	} {
		if !slices.Contains(wanted, step.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "bench: %s ...\n", step.name)
		if err := step.f(ctx, o, t); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return t.print(o.out)
}
