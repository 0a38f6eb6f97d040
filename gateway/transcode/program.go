package transcode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"time"
)

// program is a running ffmpeg.
type program struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  io.Reader
	last lastWords
}

// start runs ffmpeg until its input ends or ctx does. Every success is followed by wait.
func (f *FFmpeg) start(ctx context.Context, arguments []string) (*program, error) {
	p := &program{cmd: exec.CommandContext(ctx, f.path, arguments...)} //nolint:gosec // found by LookPath, own arguments
	p.cmd.WaitDelay = time.Second
	p.cmd.Stderr = &p.last
	var err1, err2 error
	p.in, err1 = p.cmd.StdinPipe()
	p.out, err2 = p.cmd.StdoutPipe()
	err := errors.Join(err1, err2)
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start ffmpeg: %w", err)
	}
	return p, nil
}

// wait returns how the program ended, with its last words. All of its output must have been read.
func (p *program) wait() error {
	err := p.cmd.Wait()
	if said := p.last.String(); said != "" {
		return errors.Join(err, fmt.Errorf("ffmpeg says: %s", said))
	}
	return err
}

// lastWords keeps the end of what is written to it. Safe for concurrent use.
type lastWords struct {
	mu   sync.Mutex // guards the field below
	text []byte
}

const maxWords = 512

// Write implements io.Writer.
func (l *lastWords) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	if over := len(l.text) - maxWords; over > 0 {
		l.text = append(l.text[:0], l.text[over:]...)
	}
	return len(b), nil
}

func (l *lastWords) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(bytes.TrimSpace(l.text))
}
