package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"skein/recorder/check"
	"skein/recorder/index"
	"skein/recorder/retain"
	"skein/recorder/store"
)

// checkCommand proves the archive's invariants.
type checkCommand struct {
	withConfig
	Repair   bool     `help:"Index objects without a record, drop records without an object."`
	Rebuild  bool     `help:"Fill the index from the store. May run beside live recording."`
	Deep     bool     `help:"Read every object and compare its hash."`
	Drain    string   `placeholder:"SHARD" help:"Move all footage off a shard with drain set; may be run again."`
	JSON     bool     `help:"Print the report as JSON."`
	Progress bool     `help:"Print progress also where standard error is no terminal."`
	Camera   []string `help:"Only these cameras."`
}

// Help is shown by --help.
func (checkCommand) Help() string {
	return "Exit code: 0 nothing is wrong, or all of it was repaired; 1 something is wrong; 2 the check did not complete."
}

// Run checks. Exit code 0: nothing is wrong or all was repaired; 1: something is wrong; 2: the check did not complete.
func (c checkCommand) Run(ctx context.Context) error {
	code, err := c.run(ctx)
	if code != 0 {
		return exitCode{code, err}
	}
	return nil
}

func (c checkCommand) run(ctx context.Context) (code int, err error) {
	cfg, err := c.load()
	if err != nil {
		return check.ExitFailed, err
	}
	st, ix, err := openArchive(cfg)
	if err != nil {
		return check.ExitFailed, err
	}
	defer func() {
		if cerr := errors.Join(ix.Close(), st.Close()); cerr != nil && err == nil {
			code, err = check.ExitFailed, cerr
		}
	}()
	if c.Drain != "" {
		return c.drain(ctx, st, ix, cfg.Index.Embedded)
	}
	return c.check(ctx, st, ix, cfg.Index.Embedded)
}

func (c checkCommand) check(ctx context.Context, st store.Archive, ix *index.Index, embedded bool) (int, error) {
	o := check.Options{
		Cameras: c.Camera, Repair: c.Repair, Rebuild: c.Rebuild, Deep: c.Deep,
		Evidence: check.Register{Register: &retain.Locks{Docs: st, Finder: ix}, Docs: st},
	}
	shown := c.Progress || isTerminal(os.Stderr)
	if shown {
		o.Progress = func(p check.Progress) {
			fmt.Fprintf(os.Stderr, "\rcameras %d/%d, segments %d, findings %d ", p.Done, p.Cameras, p.Segments, p.Findings)
		}
	}
	if embedded && !c.Rebuild { // an embedded index lives in the running process: fill one to compare with
		if _, err := check.Run(ctx, check.Options{Rebuild: true, Cameras: c.Camera}, st, ix); err != nil {
			return check.ExitFailed, err
		}
	}
	if !embedded && !c.Rebuild {
		o.Marked = ix.Marked
	}
	report, err := check.Run(ctx, o, st, ix)
	if err == nil && c.Rebuild && len(c.Camera) == 0 {
		err = ix.Mark(ctx)
	}
	if shown {
		fmt.Fprintln(os.Stderr)
	}
	c.print(os.Stdout, report)
	return report.ExitCode(err), err
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

func (c checkCommand) print(w io.Writer, r check.Report) {
	if c.JSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		_ = enc.Encode(r) // a closed pipe is the reader's choice
		return
	}
	for _, f := range r.Findings {
		fmt.Fprintf(w, "%s (%s) %s %s %s repaired=%v\n", f.Kind, f.Invariant, f.Camera, f.Key, f.Detail, f.Repaired)
	}
	fmt.Fprintf(w, "%d cameras, %d objects (%d bytes), %d records, %d in flight, %d added, %d dropped, %d unrepaired, "+
		"took %v\n", r.Cameras, r.Objects, r.Bytes, r.Records, r.InFlight, r.Added, r.Dropped, r.Unrepaired,
		r.Took.Round(time.Millisecond))
}

// drain moves the footage and documents of a shard to the others.
func (c checkCommand) drain(ctx context.Context, st store.Archive, ix *index.Index, embedded bool) (int, error) {
	shards, ok := st.(check.Drained)
	if !ok {
		return check.ExitFailed, errors.New("drain: the archive is a directory; only shards can be drained")
	}
	o := check.DrainOptions{Shard: c.Drain, Cameras: c.Camera}
	shown := c.Progress || isTerminal(os.Stderr)
	if shown {
		o.Progress = func(r check.DrainReport) {
			fmt.Fprintf(os.Stderr, "\rmoved %d segments, %d bytes, failed %d ", r.Moved, r.Bytes, r.Failed)
		}
	}
	r, err := check.Drain(ctx, o, shards, ix)
	if shown {
		fmt.Fprintln(os.Stderr)
	}
	if c.JSON {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		_ = enc.Encode(r)
	} else {
		for _, f := range r.Failures {
			fmt.Println(f)
		}
		fmt.Printf("%d segments moved (%d bytes), %d documents, %d failed, took %v\n", r.Moved, r.Bytes, r.Documents,
			r.Failed, r.Took.Round(time.Millisecond))
	}
	if embedded && r.Moved > 0 {
		fmt.Fprintln(os.Stderr, "the index is embedded: restart the recorder, so that it learns where the footage went")
	}
	return r.ExitCode(err), err
}
