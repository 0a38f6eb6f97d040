package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// table is what a run prints: one line a figure, with the goal beside it.
type table struct{ rows [][4]string }

func newTable() *table { return &table{} }

// add notes one figure; goal may be empty.
func (t *table) add(what, value, goal string, met bool) {
	verdict := ""
	if goal != "" {
		verdict = "met"
		if !met {
			verdict = "NOT MET"
		}
	}
	t.rows = append(t.rows, [4]string{what, value, goal, verdict})
}

func (t *table) print(file string) error {
	var b strings.Builder
	day := time.Now().UTC().Format("2006-01-02")
	fmt.Fprintf(&b, "%s, %s, %d CPUs, %s\n\n", day, revision(), runtime.NumCPU(), cpuModel())
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "what\tmeasured\tgoal\t")
	for _, r := range t.rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r[0], r[1], r[2], r[3])
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if _, err := io.WriteString(os.Stdout, b.String()); err != nil {
		return err
	}
	if file == "" {
		return nil
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, b.String()+"\n")
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// revision names the commit measured.
func revision() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown revision"
	}
	return strings.TrimSpace(string(out))
}

func cpuModel() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
