package gateway

import (
	"fmt"
	"net"
	"strconv"
	"time"

	"skein/gateway/access"
	"skein/gateway/relay"
)

// Access is the `access` section of the configuration.
type Access = access.Config

// WebRTC is the `webrtc` section of the configuration: where live video leaves to browsers.
type WebRTC struct {
	// UDP is the one address all media uses. Default 127.0.0.1:8189.
	UDP string `yaml:"udp,omitempty"`
	// TCP is the address of ICE-TCP for networks that block UDP; empty: none.
	TCP string `yaml:"tcp,omitempty"`
	// PublicIPs are announced instead of local addresses where the gateway sits behind a one-to-one NAT.
	PublicIPs []string `yaml:"public_ips,omitempty"`
	// MaxSessions bounds the sessions at the same time.
	MaxSessions int `yaml:"max_sessions,omitempty"`
	// Transcodes is how many H.265 streams are turned into H.264 at the same time for browsers that lack the codec, with
	// ffmpeg, if that is installed. Default 2; 0: none.
	Transcodes *int `yaml:"transcodes,omitempty"`
	// SoundTranscodes is how many cameras' sounds are turned into Opus at the same time because WebRTC carries no AAC,
	// with ffmpeg, if that is installed; each costs about a fiftieth of a core. Default 16; 0: none.
	SoundTranscodes *int `yaml:"sound_transcodes,omitempty"`
	// PlayoutMin and PlayoutMax are the delay asked of viewers. Unset: none, and 60 to 200 ms of those whose link loses
	// packets.
	PlayoutMin time.Duration `yaml:"playout_min,omitempty"`
	PlayoutMax time.Duration `yaml:"playout_max,omitempty"`
}

// WithDefaults returns the configuration with unset values filled in.
func (c WebRTC) WithDefaults() WebRTC {
	if c.UDP == "" {
		c.UDP = "127.0.0.1:8189"
	}
	return c
}

func (c WebRTC) relay() relay.Config {
	return relay.Config{
		UDP: c.UDP, TCP: c.TCP, PublicIPs: c.PublicIPs, MaxSessions: c.MaxSessions,
		PlayoutDelay:    [2]time.Duration{c.PlayoutMin, c.PlayoutMax},
		Transcodes:      orDefault(c.Transcodes, defaultTranscodes),
		SoundTranscodes: orDefault(c.SoundTranscodes, defaultSounds),
	}
}

// Defaults of what 0 switches off.
const (
	defaultTranscodes = 2
	defaultSounds     = 16
)

func orDefault(v *int, def int) int {
	if v == nil {
		return def
	}
	return *v
}

// Validate reports every mistake in a configuration with defaults.
func (c WebRTC) Validate() error { return c.relay().Validate() }

// RTSP is the `rtsp` section of the configuration: where edges publish and other systems play.
type RTSP struct {
	// Listen is the TCP address; "off" disables it. Default 127.0.0.1:8554.
	Listen string `yaml:"listen,omitempty"`
	// UDP is the address of RTP over UDP for clients that want it: an even port (RTCP goes to the next one) or 0 for any;
	// "off": TCP only. Unset, players may use UDP on any port of Listen's host, and who publishes uses TCP, which loses
	// nothing that is to be recorded.
	UDP string `yaml:"udp,omitempty"`
}

// WithDefaults returns the configuration with unset values filled in.
func (c RTSP) WithDefaults() RTSP {
	if c.Listen == "" {
		c.Listen = "127.0.0.1:8554"
	}
	return c
}

// Validate reports every mistake in a configuration with defaults.
func (c RTSP) Validate() error {
	if c.Listen == "off" {
		return nil
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("rtsp.listen: %q: want host:port or off", c.Listen)
	}
	if c.UDP == "" || c.UDP == "off" {
		return nil
	}
	_, port, err := net.SplitHostPort(c.UDP)
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n%2 != 0 {
		return fmt.Errorf("rtsp.udp: %q: want host:port with an even port or 0, or off", c.UDP)
	}
	return nil
}

// udp returns the address of RTP over UDP, empty for none, and whether it is for players only.
func (c RTSP) udp() (address string, players bool) {
	switch c.UDP {
	case "off":
		return "", false
	case "":
		host, _, _ := net.SplitHostPort(c.Listen) // Validate has looked
		return net.JoinHostPort(host, "0"), true
	}
	return c.UDP, false
}
