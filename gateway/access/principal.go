package access

import (
	"context"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"skein/internal/caller"
)

// Role is what a principal does for a living.
type Role string

// The roles of people and programs.
const (
	Admin        Role = "admin"        // sets up
	Officer      Role = "officer"      // 值班员: watches live and replays the last hour
	Investigator Role = "investigator" // 调查员: finds and takes recorded footage
	Operator     Role = "operator"     // 运维员: keeps cameras, recording and clocks healthy
	Auditor      Role = "auditor"      // reads who did what
)

// Action is one kind of thing a principal may do.
type Action string

// The actions the API distinguishes.
const (
	SeeInventory Action = "inventory" // units, cameras and their states
	SeeHealth    Action = "health"    // figures for operators
	WatchLive    Action = "live"
	PushMedia    Action = "push"     // publish a camera's stream to us
	Replay       Action = "replay"   // footage younger than the replay window
	Retrieve     Action = "retrieve" // register a retrieval and see older footage
	Download     Action = "download" // take footage away as a file, under a retrieval
	ReadAudit    Action = "audit"
	Debug        Action = "debug"   // pprof
	Metrics      Action = "metrics" // Prometheus
	NodeLink     Action = "link"    // dial the control link
	NodeIngest   Action = "ingest"  // ship segments
)

// Valid reports whether r is a role of people or programs.
func (r Role) Valid() bool { return actionsOf(r) != nil }

// May reports whether the role allows the action.
func (r Role) May(a Action) bool {
	for _, b := range actionsOf(r) {
		if a == b {
			return true
		}
	}
	return false
}

func actionsOf(r Role) []Action {
	switch r {
	case Admin:
		return []Action{SeeInventory, SeeHealth, WatchLive, PushMedia, Replay, Retrieve, Download, ReadAudit,
			Debug, Metrics}
	case Officer:
		return []Action{SeeInventory, SeeHealth, WatchLive, Replay}
	case Investigator:
		return []Action{SeeInventory, WatchLive, Replay, Retrieve, Download}
	case Operator:
		return []Action{SeeInventory, SeeHealth, WatchLive, PushMedia, Replay, Metrics}
	case Auditor:
		return []Action{SeeInventory, SeeHealth, ReadAudit}
	}
	return nil
}

func roleNames() string {
	all := []Role{Admin, Officer, Investigator, Operator, Auditor}
	names := make([]string, len(all))
	for i, r := range all {
		names[i] = string(r)
	}
	return strings.Join(names, ", ")
}

// Kind tells how a principal proved who it is.
type Kind string

// The kinds of principal.
const (
	User  Kind = "user"  // a person with a session
	Token Kind = "token" // a program with a token from the configuration
	Node  Kind = "node"  // an edge, recorder or gateway
	Host  Kind = "host"  // an account of the operating system, at the command line
)

// Principal is an authenticated caller. It is a value: later changes of the user are seen by the next request.
type Principal struct {
	Name    string
	Role    Role // empty for nodes
	Unit    string
	Kind    Kind
	Node    caller.Kind // what a node is; empty for others
	Expires time.Time   // when the session ends if it is not used again; zero for tokens and nodes

	session  digest // of a user
	byCookie bool
}

// May reports whether the principal may do a at all; whether a camera is in its scope is another question.
func (p Principal) May(a Action) bool {
	return slices.Contains(p.Actions(), a)
}

// Actions lists what the principal may do at all. It is the caller's.
func (p Principal) Actions() []Action {
	if p.Kind == Node {
		if p.Node == caller.Edge || p.Node == caller.Gateway {
			return []Action{NodeLink, NodeIngest}
		}
		return nil
	}
	return actionsOf(p.Role)
}

// Key is the same for all requests of one login, token or node, and tells nothing of the secret.
func (p Principal) Key() string {
	if p.Kind == User {
		d := digestOf("key of " + hex.EncodeToString(p.session[:]))
		return string(User) + ":" + hex.EncodeToString(d[:16])
	}
	return string(p.Kind) + ":" + p.Name
}

// Everywhere reports whether the principal's scope is the whole inventory.
func (p Principal) Everywhere() bool { return p.Kind != Node && p.Unit == "" && p.Role == Admin }

type principalKey struct{}

// WithPrincipal returns a context that carries p.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// FromContext returns the principal the middleware authenticated.
func FromContext(ctx context.Context) (Principal, bool) {
	p, ok := ctx.Value(principalKey{}).(Principal)
	return p, ok
}
