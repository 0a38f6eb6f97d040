package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"skein/bench/sim"
	"skein/bench/yanfeng"
	"skein/config"
	"skein/gateway"
)

// demoCommand runs the whole district on this machine: simulated cameras and all roles, on embedded defaults.
type demoCommand struct {
	Data     string `default:"./data/demo" type:"path" help:"Folder of the demonstration."`
	Listen   string `default:"127.0.0.1:8080" help:"HTTP address of console and API."`
	WebRTC   string `name:"webrtc" default:"127.0.0.1:8189" help:"UDP address of live video."`
	RTSP     string `name:"rtsp" default:"127.0.0.1:8554" help:"RTSP address of the gateway."`
	Sim      string `default:"127.0.0.1:9554" help:"RTSP address of the simulated cameras."`
	MaxBytes int64  `default:"5000000000" help:"Cap of the disk used, in bytes; the oldest footage goes first."`
	Bitrate  int    `default:"2000000" help:"Bits per second of each street camera's main stream."`
	Log      string `default:"warn" help:"Log level: debug, info, warn or error."`
}

// Run runs the demonstration until interrupted.
func (c demoCommand) Run(ctx context.Context) error {
	model := yanfeng.New(yanfeng.Options{Base: "rtsp://" + c.Sim, MainBitrate: c.Bitrate})
	cams, err := sim.New(sim.Config{Listen: c.Sim, Cameras: model.Cameras})
	if err != nil {
		return fmt.Errorf("simulated cameras: %w", err)
	}
	file, err := c.write(model)
	if err != nil {
		return err
	}
	cfg, err := config.Load(file)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	// The cameras go on until nobody pulls them any more: one that goes before is a fault, and Skein would say so.
	pulled, unplug := context.WithCancel(context.WithoutCancel(ctx))
	defer unplug()
	group.Go(func() error { return cams.Run(pulled) })
	var printed error
	group.Go(func() error {
		defer unplug()
		return runAll(ctx, cfg, func(gw *gateway.Gateway) { printed = c.banner(gw) })
	})
	return errors.Join(group.Wait(), printed)
}

// write makes the demonstration's configuration: the same YAML an operator would write, to be read and changed.
func (c demoCommand) write(m yanfeng.Model) (string, error) {
	if err := os.MkdirAll(c.Data, 0o750); err != nil {
		return "", err
	}
	inv, err := m.YAML()
	if err != nil {
		return "", err
	}
	// Eight-second segments show footage in the archive soon. A fifth of the cap is left for the spool and what is in
	// flight.
	text := fmt.Sprintf(`# The demonstration's configuration, written anew at every start of "skein demo".
data_dir: %q
listen: %q
log: {level: %s}
webrtc: {udp: %q}
rtsp: {listen: %q}
spool: {segment: 8s, max_bytes: %d}
archive: {max_bytes: %d}
inventory: yanfeng.yaml
`, c.Data, c.Listen, c.Log, c.WebRTC, c.RTSP, c.MaxBytes/10, c.MaxBytes/10*8)
	file := filepath.Join(c.Data, "skein.yaml")
	return file, errors.Join(
		os.WriteFile(filepath.Join(c.Data, "yanfeng.yaml"), inv, 0o640),
		os.WriteFile(file, []byte(text), 0o640),
	)
}

// banner prints where to look and how to log in. The demonstration keeps its password beside its data, so that a second
// start can print it too; a real installation never does.
func (c demoCommand) banner(gw *gateway.Gateway) error {
	file := filepath.Join(c.Data, "admin-password")
	password := gw.FirstPassword()
	if password != "" {
		if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
			return err
		}
	} else {
		data, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		password = strings.TrimSpace(string(data))
	}
	fmt.Printf(`
  Skein (雁阵): 雁峰区, 53 terminals and 24 street cameras, simulated; all are recorded, at most %.1f GB of disk.

    console    http://%s
    user       admin
    password   %s

  Ctrl-C ends it. Its data is in %s.

`, float64(c.MaxBytes)/1e9, c.Listen, password, c.Data)
	return nil
}
