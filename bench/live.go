package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	edgeToken    = "token-of-the-bench-edge"
	gatewayToken = "token-of-the-bench-gateway"
)

// stage says what a measurement of the live plane needs beside the ordinary rig.
type stage struct {
	sub   bool   // the cameras' sub streams too
	split bool   // edge, gateway and recorder as processes of their own
	space *space // network namespace of the cameras and of Skein; nil: this one
	sim   string // address of cameras that run already; "": they are started
}

// liveRig is Skein with simulated cameras that stamp their pictures when they send them. In a split one skein is the
// gateway.
type liveRig struct {
	rig
	more []*child // edge and recorder
}

// newLiveRig starts the cameras and Skein, recording all main streams, and waits until all are live.
func newLiveRig(ctx context.Context, o options, s stage) (r *liveRig, err error) {
	dir, err := os.MkdirTemp("", "skein-bench-live-")
	if err != nil {
		return nil, err
	}
	r = &liveRig{rig: rig{dir: dir}}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
			r = nil
		}
	}()
	ports, err := freePorts(10)
	if err != nil {
		return r, err
	}
	host := "127.0.0.1"
	if s.space != nil {
		host = s.space.inside
	}
	r.http = fmt.Sprintf("%s:%d", host, ports[0])
	if s.sim == "" {
		s.sim = fmt.Sprintf("127.0.0.1:%d", ports[1])
		r.sim, err = s.start(ctx, o, "sim", "--listen", s.sim, "--cameras", fmt.Sprint(o.cameras), "--stamp",
			"--bitrate", fmt.Sprint(o.bitrate))
		if err != nil {
			return r, err
		}
	}
	node := func(role string, i int, listen, more string) (*child, error) {
		head := fmt.Sprintf("data_dir: %s\nlisten: %s\nwebrtc: {udp: \"%s:%d\"}\nrtsp: {listen: \"127.0.0.1:%d\"}\n"+
			"log: {level: warn}\nunits: [{id: yf, name: 雁峰区, tier: district}]\n",
			filepath.Join(r.dir, role), listen, host, ports[i], ports[i+1])
		file := filepath.Join(r.dir, role+".yaml")
		if err := os.WriteFile(file, []byte(head+more), 0o600); err != nil {
			return nil, err
		}
		return s.start(ctx, o, role, "--config", file)
	}
	tokens := "tokens: [{name: bench, token: " + benchToken + ", role: admin, unit: yf}]"
	if !s.split {
		r.skein, err = node("all", 2, r.http, "access: {"+tokens+"}\n"+s.cameras(o))
		return r, errors.Join(err, r.awaitLive(ctx, o.cameras))
	}
	recorder := fmt.Sprintf("127.0.0.1:%d", ports[4])
	at := fmt.Sprintf("recorder: {urls: [\"http://%s\"], token: %%s}\n", recorder)
	for _, n := range []struct {
		role, listen, more string
		port               int
	}{
		{"recorder", recorder, fmt.Sprintf(
			"access: {nodes: [{id: edge-1, kind: edge, token: %s}, {id: gateway-1, kind: gateway, token: %s}]}\n",
			edgeToken, gatewayToken), 5},
		{"gateway", r.http, fmt.Sprintf("access: {%s, nodes: [{id: edge-1, kind: edge, token: %s}]}\n"+at, tokens, edgeToken,
			gatewayToken), 2},
		{"edge", fmt.Sprintf("127.0.0.1:%d", ports[7]), fmt.Sprintf("link: {node: edge-1, gateway: \"http://%s\", "+
			"token: %s}\n"+at, r.http, edgeToken, edgeToken), 8},
	} {
		c, err := node(n.role, n.port, n.listen, n.more+s.cameras(o))
		if err != nil {
			return r, err
		}
		if n.role == "gateway" {
			r.skein = c
		} else {
			r.more = append(r.more, c)
		}
	}
	return r, r.awaitLive(ctx, o.cameras)
}

func (s stage) start(ctx context.Context, o options, args ...string) (*child, error) {
	if s.space != nil {
		return start(ctx, nil, "ip", append([]string{"netns", "exec", s.space.name, o.skein}, args...)...)
	}
	return start(ctx, nil, o.skein, args...)
}

// cameras returns the inventory.
func (s stage) cameras(o options) string {
	var b strings.Builder
	b.WriteString("cameras:\n")
	for i := range o.cameras {
		fmt.Fprintf(&b, "  - {id: cam%d, name: 路口 %d, unit: yf, transport: tcp, record: main, main: \"rtsp://%s/cam%d\"",
			i, i, s.sim, i)
		if s.sub {
			fmt.Fprintf(&b, ", sub: \"rtsp://%s/cam%d/sub\"", s.sim, i)
		}
		if s.split {
			b.WriteString(", edge: edge-1")
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// whep returns the address of camera i.
func (r *liveRig) whep(o options, i int) string {
	return fmt.Sprintf("http://%s/v1/whep/cam%d?profile=main", r.http, i%o.cameras)
}

func (r *liveRig) close() error {
	var errs []error
	for _, c := range r.more {
		errs = append(errs, c.stop())
	}
	return errors.Join(append(errs, r.rig.close())...)
}

// gather waits until all viewers have their first whole key frame and returns their beginnings.
func gather(ctx context.Context, vs []*viewer, limit time.Duration) ([]steps, error) {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	out := make([]steps, len(vs))
	for i, v := range vs {
		select {
		case <-v.came:
			out[i] = v.begun()
		case <-timeout.C:
			return nil, fmt.Errorf("viewer %d of %d has no picture within %v: %+v", i, len(vs), limit, v.begun())
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return out, nil
}

// leave closes viewers.
func leave(vs []*viewer) error {
	var errs []error
	for _, v := range vs {
		errs = append(errs, v.pc.Close())
	}
	return errors.Join(errs...)
}
