package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"skein/bench/sim"
	"skein/bench/yanfeng"
	"skein/config"
	"skein/config/district"
	"skein/gateway"
	accounts "skein/gateway/access"
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

// Run runs the demonstration until interrupted. The data folder and the addresses are made sure of before anything is
// written: a second demonstration that cannot start must not touch the files of the first.
func (c demoCommand) Run(ctx context.Context) error {
	lock, err := claimData(c.Data, true)
	if err != nil {
		return fmt.Errorf("%w: %s", err, tryWith("--data", c.Data+"-2"))
	}
	defer lock.Close()
	if err := c.blocked(); err != nil {
		return err
	}
	if err := c.noRoom(); err != nil {
		return err
	}
	model := yanfeng.New(yanfeng.Options{
		Base: "rtsp://" + c.Sim, MainBitrate: c.Bitrate, Faults: true,
		RetentionDays: demoDays, LegalBasis: "演示数据，无真实影像",
	})
	for _, list := range [][]district.Camera{model.Inventory.Cameras, model.Inventory.Terminals} {
		for i := range list {
			if hasPast(list[i].ID) {
				list[i].RetentionDays = 30 // so that its day outlives the others' hour
			}
		}
	}
	cams, err := sim.New(sim.Config{Listen: c.Sim, Cameras: model.Cameras, KeyOnPlay: true})
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
	if err := c.makePast(ctx, cfg); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, f := range model.Faults {
		group.Go(func() error { return suffer(ctx, cams.Camera(f.Camera), f) })
	}
	// The cameras go on until nobody pulls them any more: one that goes before is a fault, and Skein would say so.
	pulled, unplug := context.WithCancel(context.WithoutCancel(ctx))
	defer unplug()
	group.Go(func() error { return cams.Run(pulled) })
	group.Go(func() error {
		defer unplug()
		return runAll(newProcess(ctx, cfg), c.announce)
	})
	return group.Wait()
}

// demoDays is for how many days a demonstration keeps footage, as far as its disk allows.
const demoDays = 1

// suffer lets a camera fail again and again.
func suffer(ctx context.Context, cam *sim.Control, f yanfeng.Fault) error {
	for wait := f.Every / 4; ; wait = f.Every - f.For {
		if !sleep(ctx, wait) {
			return nil
		}
		if f.Stall {
			cam.Stall(f.For)
			if !sleep(ctx, f.For) {
				return nil
			}
			continue
		}
		cam.Stop()
		over := !sleep(ctx, f.For)
		if err := cam.Start(); err != nil || over {
			return err
		}
	}
}

// sleep waits, and returns false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// blocked is the error about addresses that cannot be opened, with a command that could.
func (c demoCommand) blocked() error {
	found := blocked([]address{
		{"--listen", "tcp", c.Listen}, {"--webrtc", "udp", c.WebRTC}, {"--rtsp", "tcp", c.RTSP}, {"--sim", "tcp", c.Sim},
	})
	if len(found) == 0 {
		return nil
	}
	var flags []string
	for _, a := range found {
		flags = append(flags, a.name, freeBeside(a.address))
	}
	return fmt.Errorf("%s\n%s", sentence(found), tryWith(flags...))
}

// tryWith tells how to start the demonstration with other flags.
func tryWith(flags ...string) string {
	args := strings.Join(flags, " ")
	return fmt.Sprintf("stop the other program, or start with: skein demo %s   (make demo DEMO_ARGS=%q)", args, args)
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
	// Eight-second segments show footage in the archive soon. A fifth of the cap is for the spool, which holds the day of
	// footage until the archive has it.
	text := fmt.Sprintf(`# The demonstration's configuration, written anew at every start of "skein demo".
data_dir: %q
listen: %q
log: {level: %s}
webrtc: {udp: %q}
rtsp: {listen: %q}
spool: {segment: 8s, max_bytes: %d}
archive: {max_bytes: %d}
inventory: yanfeng.yaml
`, c.Data, c.Listen, c.Log, c.WebRTC, c.RTSP, c.MaxBytes/5, c.MaxBytes/4*3)
	file := filepath.Join(c.Data, "skein.yaml")
	return file, errors.Join(
		os.WriteFile(filepath.Join(c.Data, "yanfeng.yaml"), inv, 0o640),
		os.WriteFile(file, []byte(text), 0o640),
	)
}

// login is somebody who may log in to the demonstration.
type login struct {
	accounts.Account
	password string // "": somebody else has chosen it
}

// people are the demonstration's users, in the order in which they are shown.
func people() []accounts.Account {
	return []accounts.Account{
		{Name: "admin", Role: accounts.Admin},
		{Name: "officer", RealName: "值班员", Role: accounts.Officer, Unit: "yanfeng"},
		{Name: "investigator", RealName: "调查员", Role: accounts.Investigator, Unit: "yanfeng"},
		{Name: "operator", RealName: "运维员", Role: accounts.Operator, Unit: "yanfeng"},
		{Name: "auditor", RealName: "审计员", Role: accounts.Auditor, Unit: "yanfeng"},
	}
}

// logins makes those of the demonstration's users who are missing, and returns all. The demonstration keeps passwords
// beside its data, so that the next start can print them too; a real installation never does.
func (c demoCommand) logins(ctx context.Context, users *accounts.Users) ([]login, error) {
	there := map[string]accounts.Account{}
	for _, a := range users.List() {
		there[a.Name] = a
	}
	var out []login
	for _, a := range people() {
		file := filepath.Join(c.Data, a.Name+"-password")
		if old, ok := there[a.Name]; ok {
			out = append(out, login{old, stillGood(file, old)})
			continue
		}
		l := login{a, strings.ToLower(rand.Text())}
		if err := errors.Join(
			users.Add(ctx, accounts.By{Name: "skein demo"}, a, l.password),
			os.WriteFile(file, []byte(l.password+"\n"), 0o600),
		); err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	return out, nil
}

// stillGood returns the password in the file, "" if there is none or the user has got another since.
func stillGood(file string, user accounts.Account) string {
	st, err := os.Stat(file)
	if err != nil || user.Disabled || user.Changed.After(st.ModTime().Add(time.Second)) {
		return ""
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// announce prints where to look and how to log in.
func (c demoCommand) announce(ctx context.Context, p *process, gw *gateway.Gateway) error {
	logins, err := c.logins(ctx, gw.Users())
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, l := range logins {
		if l.password == "" {
			fmt.Fprintf(&b, "    user       %-12s whose password is not the demonstration's; a new one makes:\n"+
				"               skein user reset %s --config %s\n", l.Name, l.Name, p.cfg.Path())
			continue
		}
		fmt.Fprintf(&b, "    user       %-12s  password   %s\n", l.Name, l.password)
	}
	_, err = fmt.Printf(`
  Skein (雁阵): 雁峰区, 53 terminals and 24 street cameras, simulated; some of them fail, each in its own way.
  All are recorded, at most %.1f GB of disk; two have a day of footage already.

    console    http://%s
%s
  Ctrl-C ends it. Its data is in %s.

`, float64(c.MaxBytes)/1e9, c.Listen, b.String(), c.Data)
	return err
}
