// Package guard is the door of a recorder: it tells which node asks, lets each kind of node do only what it is there
// for, and keeps the recorder's own audit log.
//
// An edge ships. A gateway ships what was published to it, and reads and locks for a person whom it must name. The row
// about a reading or a lock is durable before the act; where it cannot be written the act is refused, and the recorder
// is not ready. Refused attempts leave rows too, at a bounded rate.
package guard

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skein/internal/caller"
	"skein/internal/ledger"
	"skein/recorder/reply"
)

// Credential is a node and its bearer token.
type Credential struct {
	Node  caller.Node
	Token string
}

// Options configure a Guard.
type Options struct {
	Nodes []Credential
	// Dir is where the audit log is kept. It is created if missing.
	Dir        string
	Log        *slog.Logger          // nil: discard
	Registerer prometheus.Registerer // nil: not registered
	Now        func() time.Time      // nil: time.Now
}

// Guard is the door. Its methods may be called from any goroutine. Close must be called.
type Guard struct {
	nodes []entry
	book  *book
	log   *slog.Logger
}

// entry is a node under the digest of its token.
type entry struct {
	sum  [sha256.Size]byte
	node caller.Node
}

// Open opens the audit log and returns the door.
func Open(o Options) (*Guard, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	rows, err := ledger.Open(o.Dir, ledger.Options{Now: o.Now}, nil)
	if err != nil {
		return nil, fmt.Errorf("audit log of the recorder: %w", err)
	}
	g := &Guard{log: o.Log, book: newBook(rows, o)}
	for _, c := range o.Nodes {
		if c.Token != "" {
			g.nodes = append(g.nodes, entry{sha256.Sum256([]byte(c.Token)), c.Node})
		}
	}
	return g, nil
}

// Close closes the audit log. It may be called twice.
func (g *Guard) Close() error {
	if g == nil {
		return nil
	}
	return g.book.rows.Close()
}

// Ready returns an error while the audit log cannot be written.
func (g *Guard) Ready() error { return g.book.ready() }

// node returns whose bearer token the request carries (RFC 6750 section 2.1). It looks at every token and compares
// whole digests, so its time tells nothing.
func (g *Guard) node(r *http.Request) (caller.Node, bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return caller.Node{}, false
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	found := -1
	for i := range g.nodes {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(g.nodes[i].sum[:], sum[:]), i, found)
	}
	if found < 0 {
		return caller.Node{}, false
	}
	return g.nodes[found].node, true
}

// behind is who stands behind a request that was let in.
type behind struct {
	guard  *Guard
	node   caller.Node
	person caller.Person
	addr   string
}

type behindKey struct{}

func from(ctx context.Context) (behind, bool) {
	b, ok := ctx.Value(behindKey{}).(behind)
	return b, ok
}

// Node returns the node whose request the guard let in; false: the request is from this process.
func Node(ctx context.Context) (caller.Node, bool) {
	b, ok := from(ctx)
	return b.node, ok
}

// Person returns the person for whom a gateway asks; false: there is none, the request is from this process.
func Person(ctx context.Context) (caller.Person, bool) {
	b, ok := from(ctx)
	return b.person, ok && b.person.Name != ""
}

// Ship lets edges and gateways through, which ship.
func (g *Guard) Ship(next http.Handler) http.Handler {
	return g.only(next, false, caller.Edge, caller.Gateway)
}

// Ask lets gateways through, for what shows nothing of anybody: figures and keys.
func (g *Guard) Ask(next http.Handler) http.Handler { return g.only(next, false, caller.Gateway) }

// Act lets gateways through that name the person for whom they ask. What next does is a row of its own: see Record.
func (g *Guard) Act(next http.Handler) http.Handler { return g.only(next, true, caller.Gateway) }

// only lets nodes of the kinds through. A nil guard lets nobody through.
func (g *Guard) only(next http.Handler, person bool, kinds ...caller.Kind) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g == nil {
			unauthorized(w)
			return
		}
		b := behind{guard: g, addr: remoteIP(r)}
		var ok bool
		if b.node, ok = g.node(r); !ok {
			g.refuse(b, request(r), "no node's token")
			unauthorized(w)
			return
		}
		allowed := false
		for _, k := range kinds {
			allowed = allowed || k == b.node.Kind
		}
		if !allowed {
			why := fmt.Sprintf("node %s is of kind %s, which may not do this: %s only", b.node.ID, b.node.Kind, kindNames(kinds))
			g.refuse(b, request(r), why)
			reply.Problem(w, http.StatusForbidden, why)
			return
		}
		if person {
			p, err := caller.Parse(r.Header.Get(caller.Header))
			if err != nil {
				g.refuse(b, request(r), err.Error())
				reply.Problem(w, http.StatusForbidden, err.Error())
				return
			}
			b.person = p
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), behindKey{}, b)))
	})
}

func kindNames(kinds []caller.Kind) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = string(k)
	}
	return strings.Join(names, ", ")
}

func unauthorized(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="skein"`)
	reply.Problem(w, http.StatusUnauthorized, "a node's bearer token is needed")
}

// ErrNotRecorded: the audit log cannot be written, so the act is not done.
var ErrNotRecorded = errors.New("the audit log cannot be written; nothing is read or locked without it")

// Record writes the row of an act that is about to be done for the person behind ctx. It returns ErrNotRecorded if that
// fails. A request of this process has its row already, at the gateway beside it.
func Record(ctx context.Context, row Row) error {
	b, ok := from(ctx)
	if !ok {
		return nil
	}
	row.Outcome = OutcomeDone
	if err := b.guard.book.write(b.sign(row)); err != nil {
		b.guard.log.Error("audit row lost, act not done", "action", row.Action, "actor", b.person.Name, "node", b.node.ID,
			"error", err)
		return ErrNotRecorded
	}
	return nil
}

// Refused writes the row of an attempt of the node behind ctx that is not allowed, at a bounded rate.
func Refused(ctx context.Context, row Row, why string) {
	if b, ok := from(ctx); ok {
		b.guard.refuse(b, row, why)
	}
}

func (g *Guard) refuse(b behind, row Row, why string) {
	if row.Detail != "" {
		why = row.Detail + ": " + why
	}
	row.Outcome, row.Detail = OutcomeRefused, why
	g.book.refused(b.sign(row))
}

// sign fills in who is behind the row.
func (b behind) sign(row Row) Row {
	p := b.person
	row.Node, row.NodeKind = b.node.ID, b.node.Kind
	row.Actor, row.Kind, row.Role, row.Unit, row.Address = p.Name, p.Kind, p.Role, p.Unit, p.Address
	if p.Name == "" {
		row.Actor, row.Kind, row.Address = b.node.ID, "node", b.addr
	}
	if row.Retrieval == "" {
		row.Retrieval = p.Retrieval
	}
	if row.Detail == "" {
		row.Detail = p.Reason
	}
	return row
}
