package recorder_test

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"skein/edge/spool"
	"skein/edge/stream"
	"skein/recorder"
)

// cpu returns the processor time this process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkSpoolToArchive records 16 cameras at 25 frames and 4 Mbit a second into a spool, seals, hashes and ships
// them into a directory store, in the process and over HTTP. One iteration is 20 s of footage; %core is processor time
// over the footage's duration. Writing goes faster than the footage would, so fewer commits are in it than in life.
func BenchmarkSpoolToArchive(b *testing.B) {
	for _, way := range []string{"process", "http"} {
		b.Run(way, func(b *testing.B) {
			bed := newBed(b, recorder.Config{}, nil)
			var shipper spool.Shipper = bed.rec
			if way == "http" {
				h := &spool.HTTPShipper{URLs: []string{bed.url}, Token: token}
				defer h.Close()
				shipper = h
			}
			s, err := spool.Open(spool.Config{Dir: bed.dir + "/spool"}, spool.Deps{Shipper: shipper})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			ctx, cancel := context.WithCancel(b.Context())
			var wg sync.WaitGroup
			wg.Go(func() { _ = s.Run(ctx) })
			cams := make([]*camera, 16)
			for i := range cams {
				cams[i] = newCamera()
				cams[i].size = 20_000
				cams[i].st = stream.New(stream.Options{})
				wg.Go(func() { _ = s.Record(ctx, fmt.Sprintf("cam%d", i), cams[i].st) })
				for cams[i].st.Readers() == 0 {
					time.Sleep(time.Millisecond)
				}
			}
			const seconds = 20
			used := cpu(b)
			for b.Loop() {
				for range seconds {
					for _, c := range cams {
						c.shoot(25)
					}
					time.Sleep(100 * time.Millisecond)
				}
			}
			cancel()
			wg.Wait()
			used = cpu(b) - used
			footage := time.Duration(b.N) * seconds * time.Second
			b.ReportMetric(100*used.Seconds()/footage.Seconds(), "%core")
			b.SetBytes(16 * seconds * 25 * 20_000)
		})
	}
}
