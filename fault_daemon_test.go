package main

import (
	"context"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// daemon is a program that is kept running as an operator's supervisor does, and killed by the test.
type daemon struct {
	name string
	path string
	args []string
	env  []string
	out  output // of all its processes

	kick chan time.Duration // kill it now; start it again after so long
	idle chan struct{}      // closed when keep has returned

	mu    sync.Mutex // guards the fields below
	up    time.Time  // since when it runs, zero: it does not
	kills []time.Time
	exits int // that nobody asked for
	last  error
}

func newDaemon(name, path string, args ...string) *daemon {
	return &daemon{name: name, path: path, args: args, kick: make(chan time.Duration, 1), idle: make(chan struct{})}
}

// keep runs the program until ctx ends; then it asks it to stop, and waits.
func (d *daemon) keep(ctx context.Context, t testing.TB) {
	defer close(d.idle)
	for ctx.Err() == nil {
		cmd := exec.Command(d.path, d.args...)
		cmd.Env = append(os.Environ(), d.env...)
		cmd.Stdout, cmd.Stderr = &d.out, &d.out
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Errorf("%s: %v", d.name, err)
			return
		}
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		d.set(time.Now())
		pause := 300 * time.Millisecond
		select {
		case err := <-done:
			d.exited(err)
		case pause = <-d.kick:
			d.killed()
			_ = cmd.Process.Kill()
			<-done
		case <-ctx.Done():
			d.end(t, cmd, done)
		}
		d.set(time.Time{})
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// end asks for an orderly end and reports one that is none.
func (d *daemon) end(t testing.TB, cmd *exec.Cmd, done <-chan error) {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-done:
		if err != nil && d.path != "" {
			d.exited(err)
		}
	case <-time.After(30 * time.Second):
		t.Errorf("%s does not end within 30 s of SIGTERM", d.name)
		_ = cmd.Process.Kill()
		<-done
	}
}

func (d *daemon) set(at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.up = at
}

func (d *daemon) killed() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kills = append(d.kills, time.Now())
}

func (d *daemon) exited(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.exits++
	d.last = err
}

// kill kills the program with SIGKILL if it has run for so long; it starts again after the pause.
func (d *daemon) kill(ranFor, pause time.Duration) bool {
	d.mu.Lock()
	ok := !d.up.IsZero() && time.Since(d.up) >= ranFor
	d.mu.Unlock()
	if !ok {
		return false
	}
	select {
	case d.kick <- pause:
		return true
	default:
		return false
	}
}

// report returns when it was killed, and how often it ended by itself.
func (d *daemon) report() (kills []time.Time, exits int, last error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]time.Time(nil), d.kills...), d.exits, d.last
}
