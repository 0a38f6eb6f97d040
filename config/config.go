// Package config loads and checks the configuration of a Skein process.
//
// It only sums the roles' own Config types: each section belongs to the package it configures, with its defaults and
// its checks. Loading is strict: an unknown key, a wrong type or a wrong value is an error with file, line and column.
// Secrets come from the file, the environment or another file, and are never printed.
package config

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"skein/config/district"
	"skein/config/secret"
	"skein/edge"
	"skein/edge/spool"
	"skein/gateway"
	"skein/recorder"
	"skein/recorder/evidence"
	"skein/recorder/index"
	"skein/recorder/store"
)

// Config is one configuration file.
type Config struct {
	// DataDir holds everything this process keeps: spool, directory store, users, audit log. Default ./data.
	DataDir string `yaml:"data_dir,omitempty"`
	// Listen is the address of HTTP: API, console, WHEP, link, ingest. Default 127.0.0.1:8080.
	Listen  string          `yaml:"listen,omitempty"`
	TLS     TLS             `yaml:"tls,omitempty"`
	Log     Log             `yaml:"log,omitempty"`
	Metrics Metrics         `yaml:"metrics,omitempty"`
	WebRTC  gateway.WebRTC  `yaml:"webrtc,omitempty"`
	RTSP    gateway.RTSP    `yaml:"rtsp,omitempty"`
	Access  gateway.Access  `yaml:"access,omitempty"`
	Pull    edge.Config     `yaml:"pull,omitempty"`
	Spool   spool.Config    `yaml:"spool,omitempty"`
	Archive recorder.Config `yaml:"archive,omitempty"`
	Store   store.Config    `yaml:"store,omitempty"`
	Index   index.Config    `yaml:"index,omitempty"`
	// Evidence is how the archive's checkpoints are written and where they are copied to.
	Evidence evidence.Config `yaml:"evidence,omitempty"`
	Link     Link            `yaml:"link,omitempty"`
	// Recorder is where an edge ships to and a gateway reads from, when the recorder is another process.
	Recorder Recorder `yaml:"recorder,omitempty"`
	// Inventory names another file that holds units, cameras, terminals and sensors. They may stand here instead.
	Inventory string `yaml:"inventory,omitempty"`

	Units     []district.Unit   `yaml:"units,omitempty"`
	Cameras   []district.Camera `yaml:"cameras,omitempty"`
	Terminals []district.Camera `yaml:"terminals,omitempty"`
	Sensors   []district.Sensor `yaml:"sensors,omitempty"`

	path     string // of the file, for reloads
	warnings []string
}

// TLS serves HTTP over TLS.
type TLS struct {
	Cert string `yaml:"cert,omitempty"`
	Key  string `yaml:"key,omitempty"`
	// SelfSigned generates and keeps a certificate for the host's names.
	SelfSigned bool `yaml:"self_signed,omitempty"`
}

// Log tells how to log.
type Log struct {
	Level  string `yaml:"level,omitempty"`  // debug, info (default), warn, error
	Format string `yaml:"format,omitempty"` // text (default), json
}

// Metrics serves Prometheus metrics without a credential on a listener of its own; without it they are at /metrics
// behind a credential.
type Metrics struct {
	Listen string `yaml:"listen,omitempty"`
}

// Link is the control link an edge dials up.
type Link struct {
	Node    string        `yaml:"node,omitempty"`    // this node's id
	Gateway string        `yaml:"gateway,omitempty"` // http(s)://host:port of the gateway
	Token   secret.String `yaml:"token,omitempty"`
}

// Recorder is the address of recorders in other processes, tried in order.
type Recorder struct {
	URLs  []string      `yaml:"urls,omitempty"`
	Token secret.String `yaml:"token,omitempty"`
}

// Path returns the file the configuration was loaded from.
func (c *Config) Path() string { return c.path }

// District returns the inventory of the configuration.
func (c *Config) District() *district.Inventory {
	return &district.Inventory{Units: c.Units, Cameras: c.Cameras, Terminals: c.Terminals, Sensors: c.Sensors}
}

// defaultDataDir is relative to the folder that the process is started in.
const defaultDataDir = "./data"

// withDefaults fills in what the file leaves out.
func (c *Config) withDefaults() {
	def := func(v *string, d string) {
		if *v == "" {
			*v = d
		}
	}
	def(&c.DataDir, defaultDataDir)
	def(&c.Listen, "127.0.0.1:8080")
	def(&c.Log.Level, "info")
	def(&c.Log.Format, "text")
	if len(c.Store.Shards) == 0 {
		def(&c.Store.Dir, c.DataDir+"/store")
	}
	if len(c.Index.Redis) == 0 {
		c.Index.Embedded = true
	}
	def(&c.Spool.Dir, c.DataDir+"/spool")
	c.Pull = c.Pull.WithDefaults()
	c.Spool = c.Spool.WithDefaults()
	c.Evidence = c.Evidence.WithDefaults()
	c.Access = c.Access.WithDefaults()
	c.WebRTC = c.WebRTC.WithDefaults()
	c.RTSP = c.RTSP.WithDefaults()
}

// check returns every mistake, each beginning with the path of its key.
func (c *Config) check() []error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	address := func(key, v string) {
		if _, _, err := net.SplitHostPort(v); v != "" && err != nil {
			bad("%s: %q: want host:port", key, v)
		}
	}
	address("listen", c.Listen)
	address("metrics.listen", c.Metrics.Listen)
	for _, a := range []struct{ key, address string }{
		{"listen", c.Listen}, {"metrics.listen", c.Metrics.Listen}, {"webrtc.udp", c.WebRTC.UDP},
		{"webrtc.tcp", c.WebRTC.TCP}, {"rtsp.listen", c.RTSP.Listen}, {"rtsp.udp", c.RTSP.UDP},
	} {
		if _, port, err := net.SplitHostPort(a.address); err == nil && !validPort(port) {
			bad("%s: %q: want a port from 0 to 65535", a.key, a.address)
		}
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		bad("tls: cert and key go together")
	}
	if !oneOf(c.Log.Level, "debug", "info", "warn", "error") {
		bad("log.level: %q: want debug, info, warn or error", c.Log.Level)
	}
	if !oneOf(c.Log.Format, "text", "json") {
		bad("log.format: %q: want text or json", c.Log.Format)
	}
	httpURL := func(key, v string) {
		u, err := url.Parse(v)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			bad("%s: want http://host:port or https://host:port", key)
		} else if u.Port() != "" && !validPort(u.Port()) {
			bad("%s: want a port from 1 to 65535", key)
		}
	}
	if c.Link.Gateway != "" {
		httpURL("link.gateway", c.Link.Gateway)
		if c.Link.Node == "" || c.Link.Token.IsZero() {
			bad("link: gateway needs node and token as well")
		}
	}
	for i, u := range c.Recorder.URLs {
		httpURL(fmt.Sprintf("recorder.urls[%d]", i), u)
	}
	c.references(bad)
	for _, check := range []func() error{
		c.WebRTC.Validate, c.RTSP.Validate, c.Access.Validate, c.Pull.Validate, c.Spool.Validate,
		c.Archive.Validate, c.Store.Validate, c.Index.Validate, c.Evidence.Validate, c.District().Check,
	} {
		errs = append(errs, split(check())...)
	}
	return errs
}

// references checks what one section names in another.
func (c *Config) references(bad func(format string, args ...any)) {
	inv := c.District()
	for i, t := range c.Access.Tokens {
		if _, ok := inv.Unit(t.Unit); t.Unit != "" && !ok && len(c.Units) > 0 {
			bad("access.tokens[%d].unit: unknown unit %q", i, t.Unit)
		}
	}
	nodes := map[string]bool{c.Link.Node: true, "": true}
	for _, n := range c.Access.Nodes {
		nodes[n.ID] = true
	}
	if len(c.Access.Nodes) == 0 && c.Link.Node != "" {
		return // an edge's own file: who the other nodes are, the gateway knows
	}
	cameras := func(section string, cams []district.Camera) {
		for i, cam := range cams {
			if !nodes[cam.Edge] && !cam.Pushed() {
				bad("%s[%d].edge: %q: there is no node of that name in access.nodes, nor is it link.node: nobody pulls %s",
					section, i, cam.Edge, cam.ID)
			}
		}
	}
	cameras("cameras", c.Cameras)
	cameras("terminals", c.Terminals)
}

func validPort(port string) bool {
	_, err := strconv.ParseUint(port, 10, 16)
	return err == nil
}

func oneOf(v string, all ...string) bool {
	for _, a := range all {
		if v == a {
			return true
		}
	}
	return false
}

// split takes a joined error apart.
func split(err error) []error {
	if err == nil {
		return nil
	}
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range j.Unwrap() {
			out = append(out, split(e)...)
		}
		return out
	}
	if strings.Contains(err.Error(), "\n") {
		return []error{fmt.Errorf("%s", strings.ReplaceAll(err.Error(), "\n", "; "))}
	}
	return []error{err}
}

// ReloadInterval is how often the inventory's file is looked at for changes.
const ReloadInterval = 2 * time.Second
