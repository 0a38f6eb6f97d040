package relay

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Config is what a relay needs to know. The zero value of every field but UDP has a default.
type Config struct {
	// UDP is the address all media of all viewers uses, such as "0.0.0.0:8189". Port 0 picks a free one.
	UDP string
	// TCP is the address of ICE-TCP for networks that block UDP; empty means none. Usually the same address as UDP.
	TCP string
	// PublicIPs are announced instead of the local addresses where the gateway sits behind a one-to-one NAT.
	PublicIPs []string

	MaxSessions  int // sessions at the same time, default 1024
	MaxPerViewer int // sessions of one Viewer.Name at the same time, however often it logged in, default 512

	StartTimeout   time.Duration // how long an offer waits for a cold stream's first picture, default 5 s
	ConnectTimeout time.Duration // from the answer to a finished DTLS handshake, default 10 s
	SilentTimeout  time.Duration // without a sign of life from the viewer, default 15 s

	// PlayoutDelay is the delay range asked of viewers by the playout-delay header extension. Zero lets the relay choose:
	// pictures at once, and 60 to 200 ms for a viewer whose path loses packets, which then freezes less.
	PlayoutDelay [2]time.Duration

	CatchUpBytes int // a larger group of pictures is not sent to a joining viewer, default 16 MiB, a second's
	CatchUpRate  int // bytes per second and connection of catch-up, default 16 MiB
	CatchUpTotal int // bytes per second of catch-up of all connections together, default 96 MiB

	Transcodes      int // streams transcoded at the same time for browsers that lack the codec; 0: none
	SoundTranscodes int // sounds made Opus at the same time because WebRTC cannot carry them; 0: none

	PayloadSize int // bytes of RTP payload at most, default 1200
}

// withDefaults returns c with every unset field filled.
func (c Config) withDefaults() Config {
	set := func(v *int, def int) {
		if *v == 0 {
			*v = def
		}
	}
	wait := func(v *time.Duration, def time.Duration) {
		if *v == 0 {
			*v = def
		}
	}
	set(&c.MaxSessions, 1024)
	set(&c.MaxPerViewer, 512)
	set(&c.CatchUpBytes, 16<<20)
	set(&c.CatchUpRate, 16<<20)
	set(&c.CatchUpTotal, 96<<20)
	set(&c.PayloadSize, 1200)
	wait(&c.StartTimeout, 5*time.Second)
	wait(&c.ConnectTimeout, 10*time.Second)
	wait(&c.SilentTimeout, 15*time.Second)
	return c
}

// Validate reports the first setting that cannot work.
func (c Config) Validate() error {
	if c.UDP == "" {
		return errors.New("webrtc.udp is empty: give the address media is sent from, such as 0.0.0.0:8189")
	}
	for _, a := range []struct{ key, addr string }{{"webrtc.udp", c.UDP}, {"webrtc.tcp", c.TCP}} {
		if a.addr == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(a.addr); err != nil {
			return fmt.Errorf("%s %q: %w", a.key, a.addr, err)
		}
	}
	for _, ip := range c.PublicIPs {
		if _, err := netip.ParseAddr(ip); err != nil {
			return fmt.Errorf("webrtc.public_ips %q: %w", ip, err)
		}
	}
	if c.Transcodes < 0 || c.Transcodes > maxTranscodes {
		return fmt.Errorf("webrtc.transcodes %d: must be 0 to %d", c.Transcodes, maxTranscodes)
	}
	if c.SoundTranscodes < 0 || c.SoundTranscodes > maxSoundTranscodes {
		return fmt.Errorf("webrtc.sound_transcodes %d: must be 0 to %d", c.SoundTranscodes, maxSoundTranscodes)
	}
	c = c.withDefaults()
	if c.PayloadSize < 200 || c.PayloadSize > maxPayload {
		return fmt.Errorf("webrtc.payload_size %d: must be 200 to %d", c.PayloadSize, maxPayload)
	}
	if c.PlayoutDelay[0] < 0 || c.PlayoutDelay[1] < c.PlayoutDelay[0] || c.PlayoutDelay[1] > maxPlayoutDelay {
		return fmt.Errorf("webrtc.playout_delay %v: must be two rising durations up to %v",
			c.PlayoutDelay, maxPlayoutDelay)
	}
	return nil
}

const (
	maxPayload         = 1400
	maxTranscodes      = 64
	maxSoundTranscodes = 256
	maxPlayoutDelay    = 4095 * 10 * time.Millisecond // 12 bits in units of 10 ms
)
