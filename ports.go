package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"

	"skein/config"
)

// address is one that a process listens on, and how whoever chose it calls it.
type address struct {
	name    string // of the flag or the key in the configuration
	network string // tcp or udp
	value   string // host:port; empty or "off": none
}

// addresses of a process: those of every role, and those of a gateway.
func addresses(cfg *config.Config, gateway bool) []address {
	all := []address{{"listen", "tcp", cfg.Listen}, {"metrics.listen", "tcp", cfg.Metrics.Listen}}
	if gateway {
		all = append(all, address{"webrtc.udp", "udp", cfg.WebRTC.UDP}, address{"webrtc.tcp", "tcp", cfg.WebRTC.TCP},
			address{"rtsp.listen", "tcp", cfg.RTSP.Listen}, address{"rtsp.udp", "udp", cfg.RTSP.UDP})
	}
	return all
}

// taken is an address that cannot be opened.
type taken struct {
	address
	err error
}

func (a taken) String() string {
	switch {
	case errors.Is(a.err, syscall.EADDRINUSE):
		return fmt.Sprintf("%s %s is in use by another program", a.name, a.value)
	case errors.Is(a.err, syscall.EADDRNOTAVAIL):
		return fmt.Sprintf("%s %s: this machine has no such address", a.name, a.value)
	case errors.Is(a.err, syscall.EACCES):
		return fmt.Sprintf("%s %s: ports below 1024 want root or CAP_NET_BIND_SERVICE", a.name, a.value)
	}
	return fmt.Sprintf("%s %s: %v", a.name, a.value, a.err)
}

// blocked returns those that cannot be opened. It opens and closes each, so that a start which must fail does so before
// it has changed anything, and names all it stumbles over at once.
func blocked(all []address) []taken {
	var out []taken
	for _, a := range all {
		if a.value == "" || a.value == "off" {
			continue
		}
		if err := open(a); err != nil {
			out = append(out, taken{a, err})
		}
	}
	return out
}

func open(a address) error {
	if a.network == "udp" {
		c, err := net.ListenPacket("udp", a.value)
		if err != nil {
			return err
		}
		return c.Close()
	}
	l, err := net.Listen("tcp", a.value)
	if err != nil {
		return err
	}
	return l.Close()
}

// blockedBy is the error about a configuration's addresses, nil if all can be opened.
func blockedBy(cfg *config.Config, all []address) error {
	found := blocked(all)
	if len(found) == 0 {
		return nil
	}
	return fmt.Errorf("%s\nstop the other program, or choose another address in %s", sentence(found), cfg.Path())
}

func sentence(found []taken) string {
	said := make([]string, len(found))
	for i, a := range found {
		said[i] = a.String()
	}
	return strings.Join(said, "\n")
}

// freeBeside returns an address on the same host with a port above that is free, or the same if there is none.
func freeBeside(a address) string {
	host, port, err := net.SplitHostPort(a.value)
	n, perr := strconv.Atoi(port)
	if err != nil || perr != nil {
		return a.value
	}
	for i := 1; i <= 50 && n+i < 65536; i++ {
		a.value = net.JoinHostPort(host, strconv.Itoa(n+i))
		if open(a) == nil {
			return a.value
		}
	}
	return net.JoinHostPort(host, port)
}
