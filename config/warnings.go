package config

import (
	"fmt"
	"net"
	"strings"

	"skein/config/district"
	"skein/internal/caller"
)

// Warnings returns what may be meant as it is written but seldom is, one line each, with its place.
func (c *Config) Warnings() []string { return c.warnings }

// doubts returns the warnings, each beginning with the path of its key.
func (c *Config) doubts() []error {
	var out []error
	doubt := func(format string, args ...any) { out = append(out, fmt.Errorf(format, args...)) }
	open := others(c.Listen)
	if open && c.TLS.Cert == "" && !c.TLS.SelfSigned {
		doubt("listen: %s takes other computers in, without TLS: passwords and pictures can be read on the way; "+
			"set tls: {self_signed: true}, or a certificate, unless a proxy before it does that", c.Listen)
	}
	if open && !others(c.WebRTC.UDP) {
		doubt("webrtc.udp: %s is for this computer alone, listen for others too: they get the page of a gateway and no "+
			"picture; set webrtc: {udp: \"0.0.0.0:%s\"}", c.WebRTC.UDP, portOf(c.WebRTC.UDP))
	}
	if open && len(c.Access.Nodes) > 0 && c.RTSP.Listen != "off" && !others(c.RTSP.Listen) {
		doubt("rtsp.listen: %s is for this computer alone, listen for others too: edges elsewhere cannot publish to a "+
			"gateway; set rtsp: {listen: \"0.0.0.0:%s\"}", c.RTSP.Listen, portOf(c.RTSP.Listen))
	}
	if c.Access.ReplayWindow < 0 {
		doubt("access.replay_window: %v is negative, so all footage wants a registered retrieval, also that of a minute ago",
			c.Access.ReplayWindow)
	}
	for i, t := range c.Access.Tokens {
		if t.Unit != "" && len(c.Units) == 0 {
			doubt("access.tokens[%d].unit: %q: there are no units, so the token sees nothing", i, t.Unit)
		}
	}
	same := func(section string, cams []district.Camera) {
		for i, cam := range cams {
			if cam.Main == cam.Sub && cam.Main != "" && cam.Main != district.Push {
				doubt("%s[%d].sub: %s has the same address as main, so it is pulled twice: give that of its second stream, or "+
					"leave sub out", section, i, cam.ID)
			}
		}
	}
	same("cameras", c.Cameras)
	same("terminals", c.Terminals)
	for _, w := range c.Access.Warnings() {
		doubt("%s", w)
	}
	if of, edges := c.ofNoEdge(); len(of) > 0 {
		doubt("cameras: %s: no edge is named, and there are %d: any of them may show its pictures as theirs, and none can "+
			"ship their footage; write edge: NODE", listed(of), edges)
	}
	return out
}

// ofNoEdge returns the cameras that name no edge, if there is more than one they may be of.
func (c *Config) ofNoEdge() (cameras []string, edges int) {
	for _, n := range c.Access.Nodes {
		if n.Node().Kind == caller.Edge {
			edges++
		}
	}
	if edges < 2 {
		return nil, edges
	}
	for _, cam := range c.District().Sources() {
		if cam.Edge == "" && !cam.Pushed() {
			cameras = append(cameras, cam.ID)
		}
	}
	return cameras, edges
}

// listed names the first few of many.
func listed(ids []string) string {
	const most = 5
	if len(ids) <= most {
		return strings.Join(ids, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(ids[:most], ", "), len(ids)-most)
}

// others reports whether other computers can reach an address to listen on.
func others(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil || strings.EqualFold(host, "localhost") {
		return false
	}
	ip := net.ParseIP(host)
	return ip == nil || !ip.IsLoopback()
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address) // checked before
	return port
}
