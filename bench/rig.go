package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const benchToken = "bench-token-of-this-run-only"

// rig is one Skein process with simulated cameras, in a folder of its own.
type rig struct {
	dir   string
	sim   *child
	skein *child
	http  string
}

// newRig starts the simulated cameras and Skein, recording all of them, and waits until all are live.
func newRig(ctx context.Context, o options) (r *rig, err error) {
	dir, err := os.MkdirTemp("", "skein-bench-")
	if err != nil {
		return nil, err
	}
	r = &rig{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
			r = nil
		}
	}()
	ports, err := freePorts(4)
	if err != nil {
		return r, err
	}
	r.http = fmt.Sprintf("127.0.0.1:%d", ports[0])
	rtsp := fmt.Sprintf("127.0.0.1:%d", ports[3])
	r.sim, err = start(ctx, nil, o.skein, "sim", "--listen", rtsp, "--cameras", fmt.Sprint(o.cameras),
		"--bitrate", fmt.Sprint(o.bitrate))
	if err != nil {
		return r, err
	}
	file := filepath.Join(dir, "skein.yaml")
	if err := os.WriteFile(file, []byte(r.config(o, ports, rtsp)), 0o600); err != nil {
		return r, err
	}
	r.skein, err = start(ctx, []string{"SKEIN_BENCH_TOKEN=" + benchToken}, o.skein, "all", "--config", file)
	if err != nil {
		return r, err
	}
	return r, r.awaitLive(ctx, o.cameras)
}

func (r *rig) config(o options, ports []int, rtsp string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "data_dir: %s\nlisten: %s\nwebrtc: {udp: \"127.0.0.1:%d\"}\nrtsp: {listen: \"127.0.0.1:%d\"}\n",
		filepath.Join(r.dir, "data"), r.http, ports[1], ports[2])
	b.WriteString("log: {level: warn}\n" +
		"access: {tokens: [{name: bench, token: {env: SKEIN_BENCH_TOKEN}, role: admin, unit: yf}]}\n" +
		"units: [{id: yf, name: 雁峰区, tier: district}]\ncameras:\n")
	for i := range o.cameras {
		fmt.Fprintf(&b, "  - {id: cam%d, name: 路口 %d, unit: yf, main: \"rtsp://%s/cam%d\", transport: tcp, record: main}\n",
			i, i, rtsp, i)
	}
	return b.String()
}

func (r *rig) get(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.http+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+benchToken)
	return http.DefaultClient.Do(req)
}

// live returns how many cameras are live.
func (r *rig) live(ctx context.Context) (int, error) {
	resp, err := r.get(ctx, "/v1/cameras")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var body struct {
		Cameras []struct {
			State string `json:"state"`
		} `json:"cameras"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		return 0, err
	}
	n := 0
	for _, c := range body.Cameras {
		if c.State == "live" {
			n++
		}
	}
	return n, nil
}

func (r *rig) awaitLive(ctx context.Context, want int) error {
	deadline := time.Now().Add(time.Minute)
	for {
		n, err := r.live(ctx)
		if err == nil && n >= want {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.Join(err, fmt.Errorf("%d of %d cameras live after a minute\n%s", n, want,
				tail(r.skein.log.String())))
		}
		if err := pause(ctx, 200*time.Millisecond, r.skein); err != nil {
			return err
		}
	}
}

func (r *rig) close() error {
	var errs []error
	for _, c := range []*child{r.skein, r.sim} {
		if c != nil {
			errs = append(errs, c.stop())
		}
	}
	return errors.Join(append(errs, os.RemoveAll(r.dir))...)
}

// freePorts returns n TCP ports that were free a moment ago.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
