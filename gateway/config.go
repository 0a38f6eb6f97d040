package gateway

import (
	"errors"
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
	// MaxSessions bounds the live sessions at the same time (a player, a wall, a publisher each has one). Default 1024.
	MaxSessions int `yaml:"max_sessions,omitempty"`
	// MaxSessionsPerPerson bounds those of one user or token, however often it logged in. Default 512.
	MaxSessionsPerPerson int `yaml:"max_sessions_per_person,omitempty"`
	// ConnectTimeout is how long a session may take from its offer to a connection; its place is taken meanwhile. Default
	// 10 s.
	ConnectTimeout time.Duration `yaml:"connect_timeout,omitempty"`
	// SilentTimeout is after how long without a sign of life from a viewer its session ends: a player that was killed
	// keeps its place so long. Default 15 s.
	SilentTimeout time.Duration `yaml:"silent_timeout,omitempty"`
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
		UDP: c.UDP, TCP: c.TCP, PublicIPs: c.PublicIPs,
		MaxSessions: c.MaxSessions, MaxPerViewer: c.MaxSessionsPerPerson,
		ConnectTimeout: c.ConnectTimeout, SilentTimeout: c.SilentTimeout,
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
func (c WebRTC) Validate() error {
	var errs []error
	for _, n := range []struct {
		key   string
		value int
	}{{"max_sessions", c.MaxSessions}, {"max_sessions_per_person", c.MaxSessionsPerPerson}} {
		if n.value < 0 {
			errs = append(errs, fmt.Errorf("webrtc.%s: %d: must be 1 or more, or left out", n.key, n.value))
		}
	}
	for _, t := range []struct {
		key                string
		value, least, most time.Duration
	}{
		{"connect_timeout", c.ConnectTimeout, time.Second, 2 * time.Minute},
		{"silent_timeout", c.SilentTimeout, 5 * time.Second, 10 * time.Minute},
	} {
		if t.value != 0 && (t.value < t.least || t.value > t.most) {
			errs = append(errs, fmt.Errorf("webrtc.%s: %v: must be %v to %v, or left out", t.key, t.value, t.least, t.most))
		}
	}
	return errors.Join(append(errs, c.relay().Validate())...)
}

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
