package access

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"skein/config/secret"
	"skein/internal/caller"
)

// The defaults of Config.
const (
	DefaultSessionTTL   = 12 * time.Hour
	DefaultSessionMax   = 7 * 24 * time.Hour
	DefaultReplayWindow = time.Hour
	DefaultRetrievalTTL = 24 * time.Hour
)

// minToken is the shortest token accepted, in bytes: shorter ones can be guessed over the network.
const minToken = 8

// Config is the `access` section of the configuration.
type Config struct {
	// Tokens are bearer tokens of programs.
	Tokens []TokenConfig `yaml:"tokens,omitempty"`
	// Nodes are the edges, recorders and lower gateways that may dial up.
	Nodes []NodeConfig `yaml:"nodes,omitempty"`
	// Origins are other sites whose pages may call the API with a bearer token, each as a browser sends it, such as
	// https://duty.example. Empty: none.
	Origins []string `yaml:"origins,omitempty"`
	// UsersFile holds users and password hashes; empty: users.json in the data directory.
	UsersFile string `yaml:"users_file,omitempty"`
	// SessionTTL ends a session that was not used for so long.
	SessionTTL time.Duration `yaml:"session_ttl,omitempty"`
	// SessionMax ends a session this long after login, however much it is used.
	SessionMax time.Duration `yaml:"session_max,omitempty"`
	// ReplayWindow is how far back footage may be replayed without a registered retrieval. A negative value asks for a
	// retrieval always.
	ReplayWindow time.Duration `yaml:"replay_window,omitempty"`
	// RetrievalTTL is how long a registered retrieval opens its footage.
	RetrievalTTL time.Duration `yaml:"retrieval_ttl,omitempty"`
}

// TokenConfig is one program's token.
type TokenConfig struct {
	Name  string        `yaml:"name"`
	Token secret.String `yaml:"token"`
	Role  Role          `yaml:"role"`
	Unit  string        `yaml:"unit,omitempty"` // scope: this unit and everything below; empty only for admin
}

// NodeConfig is one node's token.
type NodeConfig struct {
	ID string `yaml:"id"`
	// Kind is what the node is: edge, gateway or recorder. Empty: an edge, which may do least.
	Kind  caller.Kind   `yaml:"kind,omitempty"`
	Token secret.String `yaml:"token"`
}

// Node returns who the node is and as what it is treated.
func (n NodeConfig) Node() caller.Node {
	if n.Kind == "" {
		return caller.Node{ID: n.ID, Kind: caller.Edge}
	}
	return caller.Node{ID: n.ID, Kind: n.Kind}
}

// Warnings returns what is allowed but is to be looked at, one line each, with the path of the key.
func (c Config) Warnings() []string {
	var out []string
	for i, n := range c.Nodes {
		if n.Kind == "" {
			out = append(out, fmt.Sprintf("access.nodes[%d]: node %s has no kind and is treated as an edge, which reads "+
				"nothing; write kind: edge, gateway or recorder", i, n.ID))
		}
	}
	return out
}

// WithDefaults returns the configuration with unset values filled in.
func (c Config) WithDefaults() Config {
	if c.SessionTTL == 0 {
		c.SessionTTL = DefaultSessionTTL
	}
	if c.SessionMax == 0 {
		c.SessionMax = DefaultSessionMax
	}
	if c.ReplayWindow == 0 {
		c.ReplayWindow = DefaultReplayWindow
	}
	if c.RetrievalTTL == 0 {
		c.RetrievalTTL = DefaultRetrievalTTL
	}
	return c
}

// Validate reports every mistake in the configuration, one line each, with the path of the key.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	names := map[string]bool{}
	values := map[string]string{}
	token := func(at, owner string, t secret.String) {
		v := t.Reveal()
		switch {
		case v == "":
			bad("%s.token: is missing", at)
		case len(v) < minToken:
			bad("%s.token: is shorter than %d characters; make one with: openssl rand -hex 32", at, minToken)
		case values[v] != "":
			bad("%s.token: is the same as that of %s; give each its own", at, values[v])
		default:
			values[v] = owner
		}
	}
	for i, t := range c.Tokens {
		at := fmt.Sprintf("access.tokens[%d]", i)
		if !validName(t.Name) {
			bad("%s.name: %q: want 1-64 letters, digits, or any of . _ @ -", at, t.Name)
		} else if names[t.Name] {
			bad("%s.name: %q is used twice", at, t.Name)
		}
		names[t.Name] = true
		if !t.Role.Valid() {
			bad("%s.role: %q: want one of %s", at, t.Role, roleNames())
		} else if t.Unit == "" && t.Role != Admin {
			bad("%s.unit: is missing: only an admin may have the whole district without naming it", at)
		}
		token(at, "token "+t.Name, t.Token)
	}
	nodes := map[string]bool{}
	for i, n := range c.Nodes {
		at := fmt.Sprintf("access.nodes[%d]", i)
		if !validID(n.ID) {
			bad("%s.id: %q: want 1-64 of a-z, 0-9 and -", at, n.ID)
		} else if nodes[n.ID] {
			bad("%s.id: %q is used twice", at, n.ID)
		}
		nodes[n.ID] = true
		if n.Kind != "" && !slices.Contains(caller.Kinds(), n.Kind) {
			bad("%s.kind: %q: want edge, gateway or recorder", at, n.Kind)
		}
		token(at, "node "+n.ID, n.Token)
	}
	origins := map[string]bool{}
	for i, o := range c.Origins {
		if strings.Contains(o, "@") { // what stands before it may be a password
			bad("access.origins[%d]: holds an @: want scheme and host of a page, such as https://duty.example", i)
		} else if err := checkOrigin(o); err != nil {
			bad("access.origins[%d]: %q: %w", i, o, err)
		} else if origins[o] {
			bad("access.origins[%d]: %q is there twice", i, o)
		}
		origins[o] = true
	}
	if c.SessionTTL < 0 || (c.SessionTTL > 0 && c.SessionTTL < time.Minute) {
		bad("access.session_ttl: %v: want at least 1m", c.SessionTTL)
	}
	if c.SessionMax < 0 || (c.SessionMax > 0 && c.SessionMax < c.SessionTTL) {
		bad("access.session_max: %v: want at least session_ttl", c.SessionMax)
	}
	if c.RetrievalTTL < 0 {
		bad("access.retrieval_ttl: %v: want a positive duration", c.RetrievalTTL)
	}
	return errors.Join(errs...)
}

func validName(s string) bool {
	return regexp.MustCompile(`^[\p{L}\p{N}._@-]{1,64}$`).MatchString(s)
}

func validID(s string) bool {
	return regexp.MustCompile(`^[a-z0-9-]{1,64}$`).MatchString(s)
}
