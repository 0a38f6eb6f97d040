package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is a process's CPU time so far and its memory now, as the system accounts them.
type usage struct {
	at  time.Time
	cpu time.Duration // user and system
	rss int64         // bytes
}

// ticks is the unit of /proc/PID/stat; it is 100 on every Linux that Go runs on.
const ticks = 100

func usageOf(pid int) (usage, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, err
	}
	f := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(f) < 22 {
		return usage{}, errors.New("short /proc/PID/stat")
	}
	user, err1 := strconv.ParseInt(f[11], 10, 64)
	system, err2 := strconv.ParseInt(f[12], 10, 64)
	pages, err3 := strconv.ParseInt(f[21], 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return usage{}, err
	}
	return usage{
		at: time.Now(), cpu: time.Duration(user+system) * time.Second / ticks, rss: pages * int64(os.Getpagesize()),
	}, nil
}

// cores returns the share of one core used between two samples.
func cores(a, b usage) float64 { return float64(b.cpu-a.cpu) / float64(b.at.Sub(a.at)) }

// child is a started process that is ended by SIGTERM.
type child struct {
	cmd  *exec.Cmd
	done chan error
	log  bytes.Buffer
}

func start(ctx context.Context, env []string, name string, args ...string) (*child, error) {
	c := &child{cmd: exec.CommandContext(ctx, name, args...), done: make(chan error, 1)}
	c.cmd.Env = append(os.Environ(), env...)
	c.cmd.Stdout, c.cmd.Stderr = &c.log, &c.log
	c.cmd.Cancel = func() error { return c.cmd.Process.Signal(syscall.SIGTERM) }
	c.cmd.WaitDelay = 20 * time.Second
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { c.done <- c.cmd.Wait() }()
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// stop ends the process and returns an error if it did not exit with 0.
func (c *child) stop() error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	if err := <-c.done; err != nil {
		return fmt.Errorf("%s: %w\n%s", c.cmd.Path, err, tail(c.log.String()))
	}
	return nil
}

func tail(s string) string {
	if len(s) > 2000 {
		return s[len(s)-2000:]
	}
	return s
}

// pause waits, or returns early with ctx's error or because c ended.
func pause(ctx context.Context, d time.Duration, watched ...*child) error {
	t := time.NewTimer(d)
	defer t.Stop()
	var ended <-chan error
	if len(watched) > 0 {
		ended = watched[0].done
	}
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case err := <-ended:
		watched[0].done <- err
		return fmt.Errorf("process ended: %w\n%s", err, tail(watched[0].log.String()))
	}
}
