package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"skein/bench/sim"
	"skein/edge/media"
)

// simCommand runs simulated cameras.
type simCommand struct {
	Listen   string `default:"127.0.0.1:9554" help:"RTSP address."`
	Cameras  int    `default:"16" help:"How many cameras: cam0, cam1, ... each with a sub stream at /camN/sub."`
	Codec    string `default:"h264" enum:"h264,h265" help:"Codec of the main streams: ${enum}."`
	Bitrate  int    `default:"4000000" help:"Bits per second of each main stream."`
	FPS      int    `default:"25" help:"Pictures per second of each main stream."`
	GOP      int    `default:"50" help:"Pictures from key frame to key frame."`
	Audio    string `default:"none" enum:"none,pcma,aac,opus" help:"Audio of every camera: ${enum}."`
	UDP      bool   `help:"Let readers ask for RTP over UDP."`
	User     string `help:"Ask for digest authentication with this user."`
	Password string `help:"Password of the user." env:"SKEIN_SIM_PASSWORD"`
	Stamp    bool   `help:"Let the pictures' marks tell when they were sent instead of when they were taken."`
	Verbose  bool   `help:"Log every connection."`
}

// Run serves the cameras until interrupted.
func (c simCommand) Run(ctx context.Context) error {
	level := slog.LevelWarn
	if c.Verbose {
		level = slog.LevelInfo
	}
	cfg := sim.Config{
		Listen: c.Listen, UDP: c.UDP, User: c.User, Password: c.Password, StampSending: c.Stamp,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})),
	}
	codec := map[string]media.Codec{"h264": media.H264, "h265": media.H265}[c.Codec]
	audio := map[string]media.Codec{"pcma": media.G711A, "aac": media.AAC, "opus": media.Opus}[c.Audio]
	for i := range c.Cameras {
		id := fmt.Sprintf("cam%d", i)
		cfg.Cameras = append(cfg.Cameras, sim.Camera{
			ID: id, Name: strings.ToUpper(id), Audio: audio,
			Video: sim.Video{Codec: codec, Bitrate: c.Bitrate, FPS: c.FPS, GOP: c.GOP}, Sub: &sim.Video{},
		})
	}
	if found := blocked([]address{{"--listen", "tcp", c.Listen}}); len(found) > 0 {
		return fmt.Errorf("%s\nstop the other program, or start with: skein sim --listen %s", sentence(found),
			freeBeside(found[0].address))
	}
	server, err := sim.New(cfg)
	if err != nil {
		return err
	}
	fmt.Printf("%d simulated cameras: rtsp://%s/cam0 ... /cam%d, sub streams at /camN/sub\n",
		c.Cameras, server.Addr(), c.Cameras-1)
	return server.Run(ctx)
}
