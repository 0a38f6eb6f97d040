package access

import (
	"encoding/json"
	"fmt"
	"time"

	"skein/internal/ledger"
)

// Act is what an audit row is about.
type Act string

// The audited acts.
const (
	ActLogin      Act = "login"
	ActLogout     Act = "logout"
	ActView       Act = "view"      // a live stream was opened
	ActPublish    Act = "publish"   // a camera's pictures were sent to us
	ActReplay     Act = "replay"    // footage inside the replay window was read
	ActClip       Act = "clip"      // footage was read under a retrieval
	ActRetrieval  Act = "retrieval" // a retrieval was registered
	ActExport     Act = "export"
	ActLock       Act = "lock"
	ActUnlock     Act = "unlock"
	ActPTZ        Act = "ptz"
	ActConfig     Act = "config" // configuration, users or inventory changed
	ActNode       Act = "node"   // a node dialled up or was refused
	ActDiagnostic Act = "diagnostic"
)

// Outcome is how the act ended.
type Outcome string

// The outcomes.
const (
	Done    Outcome = "done"
	Failed  Outcome = "failed"
	Refused Outcome = "refused"
	Limited Outcome = "limited"
)

// Event is the body of one audit row. It never holds a secret.
type Event struct {
	Actor     string    `json:"actor"` // user, token or node; for failed logins the name that was tried
	Kind      Kind      `json:"kind,omitempty"`
	Role      Role      `json:"role,omitempty"`
	Unit      string    `json:"unit,omitempty"` // the actor's scope
	Action    Act       `json:"action"`
	Outcome   Outcome   `json:"outcome"`
	Address   string    `json:"address,omitempty"` // the caller's IP address
	Cameras   []string  `json:"cameras,omitempty"`
	Profile   string    `json:"profile,omitempty"`
	From      time.Time `json:"from,omitzero"`
	To        time.Time `json:"to,omitzero"`
	Retrieval string    `json:"retrieval,omitempty"`
	Detail    string    `json:"detail,omitempty"`
}

// By returns the event with its actor's fields set from p and addr.
func (e Event) By(p Principal, addr string) Event {
	e.Actor, e.Kind, e.Role, e.Unit, e.Address = p.Name, p.Kind, p.Role, p.Unit, addr
	return e
}

// Audit is the append-only, hash-chained log of who did what. See package ledger for its format and promises.
type Audit struct {
	log     *ledger.Ledger
	metrics *metrics
}

func openAudit(dir string, o ledger.Options, m *metrics) (*Audit, error) {
	l, err := ledger.Open(dir, o, nil)
	if err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	return &Audit{log: l, metrics: m}, nil
}

// Append writes one row and returns when it is durable.
func (a *Audit) Append(e Event) error {
	if _, err := a.log.Append(e); err != nil {
		a.metrics.auditFailures.Inc()
		return fmt.Errorf("audit %s: %w", e.Action, err)
	}
	a.metrics.auditRows.Inc()
	return nil
}

// Head returns number and hash of the newest row.
func (a *Audit) Head() ledger.Head { return a.log.Head() }

// Close closes the log. It may be called twice.
func (a *Audit) Close() error {
	if a == nil {
		return nil
	}
	return a.log.Close()
}

// VerifyAudit checks the whole audit log under the data directory's folder dir and calls each with every row.
func VerifyAudit(dir string, each func(ledger.Entry, Event) error) (ledger.Head, error) {
	return ledger.Verify(dir, func(en ledger.Entry) error {
		var e Event
		if err := json.Unmarshal(en.Body, &e); err != nil {
			return fmt.Errorf("is no audit row: %w", err)
		}
		if each == nil {
			return nil
		}
		return each(en, e)
	})
}
