package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"skein/recorder/segment"
)

// overflow cuts the link until the spool, made small, has to give up footage that nobody else has.
func (r *faultRig) overflow() {
	r.quiet()
	r.configureEdge(tight)
	r.toRecorder.set(cut)
	r.awaitKill(r.edge)
	poll(r.t, "the spool to overflow", 60*time.Second, func() error {
		if n, err := r.metric("skein_spool_dropped_segments_total"); err != nil || n < 3 {
			return fmt.Errorf("%v segments dropped, %w", n, err)
		}
		return nil
	})
	r.configureEdge(roomy)
	r.awaitKill(r.edge)
	poll(r.t, "the edge", 30*time.Second, func() error {
		_, err := r.metric("skein_spool_bytes")
		return err
	})
	r.toRecorder.set(pass)
	time.Sleep(3 * time.Second)
}

// smallDisk mounts a small file system at dir and returns dir, "" if the test may not.
func smallDisk(t testing.TB, dir string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64m"); err != nil {
		t.Logf("no file system of its own for the spool: %v", err)
		return ""
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// fillDisk lets somebody else's file take all the space of the spool's file system, first while the archive takes what is
// shipped, then while it does not.
func (r *faultRig) fillDisk() {
	if r.disk == "" {
		return
	}
	r.quiet()
	file := filepath.Join(r.disk, "of-somebody-else")
	for _, link := range []faultMode{pass, cut} {
		r.toRecorder.set(link)
		f, err := os.Create(file)
		if err != nil {
			r.t.Fatal(err)
		}
		const least = 10 // times
		full := 0
		for end := time.Now().Add(5 * time.Second); full < least || time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			for err = nil; err == nil; {
				_, err = f.Write(make([]byte, 64<<10))
			}
			full++
		}
		if !errors.Is(err, unix.ENOSPC) {
			r.t.Errorf("the disk is not full: %v", err)
		}
		_ = f.Close()
		if err := os.Remove(file); err != nil {
			r.t.Error(err)
		}
	}
	time.Sleep(3 * time.Second)
}

// awaitOff waits until coverage says of every camera that it is off right now.
func (r *faultRig) awaitOff() {
	for _, id := range r.cams {
		poll(r.t, id+" off in coverage", 30*time.Second, func() error {
			gaps := r.gaps(id)
			if n := len(gaps); n == 0 || gaps[n-1].Cause != segment.CauseCameraOff {
				return fmt.Errorf("gaps %v", gaps)
			}
			return nil
		})
	}
}

func (r *faultRig) awaitKill(d *daemon) {
	poll(r.t, "kill "+d.name, 30*time.Second, func() error {
		if !d.kill(time.Second, 0) {
			return fmt.Errorf("%s does not run", d.name)
		}
		return nil
	})
}

// verify runs `skein verify` over the day of every camera: the chain must hold over what a full spool gave up, and its gap
// links must be named.
func (r *faultRig) verify() {
	shed := 0
	for _, id := range r.cams {
		for _, day := range daysOf(r.began, time.Now()) {
			out, errs, err := command(r.t, skeinBinary(r.t), "verify", "--json", "--zone", "UTC", "--camera", id, "--day", day,
				"--config", r.nodes["direct"].file)
			var report struct {
				Segments int
				GivenUp  []struct {
					First, Last uint64
					Cause       segment.Cause
				} `json:"given_up"`
			}
			if jerr := json.Unmarshal([]byte(out), &report); err != nil || jerr != nil || report.Segments == 0 {
				r.t.Errorf("skein verify of %s, %s: %v, %v: %s%s", id, day, err, jerr, out, errs)
				continue
			}
			for _, g := range report.GivenUp {
				shed += int(g.Last - g.First + 1)
				if g.Cause != segment.CauseSpoolFull {
					r.t.Errorf("%s: segments %d to %d were given up for %q", id, g.First, g.Last, g.Cause)
				}
			}
		}
	}
	r.t.Logf("skein verify: every chain holds, over %d segments that were given up", shed)
	if shed == 0 {
		r.t.Error("skein verify names nothing that was given up")
	}
}

// daysOf returns the days, UTC, from one moment to another.
func daysOf(from, to time.Time) (days []string) {
	for at := from.UTC().Truncate(24 * time.Hour); !at.After(to); at = at.AddDate(0, 0, 1) {
		days = append(days, at.Format(time.DateOnly))
	}
	return days
}
