package access

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"skein/internal/ledger"
)

// Act is what an audit row is about.
type Act string

// The audited acts.
const (
	ActLogin      Act = "login"
	ActLogout     Act = "logout"
	ActView       Act = "view"      // live pictures were watched
	ActPublish    Act = "publish"   // a camera's pictures were sent to us
	ActReplay     Act = "replay"    // footage inside the replay window was read
	ActClip       Act = "clip"      // footage was read under a retrieval
	ActDownload   Act = "download"  // footage was taken away as a file
	ActRetrieval  Act = "retrieval" // a retrieval was registered
	ActExport     Act = "export"
	ActLock       Act = "lock"
	ActUnlock     Act = "unlock"
	ActPTZ        Act = "ptz"
	ActConfig     Act = "config" // configuration, users or inventory changed
	ActNode       Act = "node"   // a node dialled up or was refused
	ActDiagnostic Act = "diagnostic"
	ActService    Act = "service" // the gateway began or ended: what it let begin ended with it
)

// Outcome is how the act ended.
type Outcome string

// The outcomes. What lasts is two rows: begun, written before it is let happen, and done or failed with the number of
// the first row in Ref.
const (
	Begun   Outcome = "begun"
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
	From      time.Time `json:"from,omitzero"` // of the footage; of the end of a viewing, since when it was watched
	To        time.Time `json:"to,omitzero"`
	Retrieval string    `json:"retrieval,omitempty"`
	Detail    string    `json:"detail,omitempty"`
	Ref       uint64    `json:"ref,omitempty"`    // number of the row about the beginning of what ended
	Bytes     int64     `json:"bytes,omitempty"`  // of footage that were sent
	Status    int       `json:"status,omitempty"` // HTTP status of what failed
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

	mu     sync.Mutex // guards the fields below
	err    error      // of the last row, nil if it was written
	since  time.Time  // of the first row that was not
	missed int        // rows that were not written since
}

func openAudit(dir string, o ledger.Options, m *metrics) (*Audit, error) {
	l, err := ledger.Open(dir, o, nil)
	if err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	return &Audit{log: l, metrics: m}, nil
}

// Append writes one row and returns its number when it is durable. An error means that the row is not there: what it is
// about must not happen.
func (a *Audit) Append(e Event) (row uint64, err error) {
	en, err := a.log.Append(e)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.metrics.auditFailures.Inc()
		if a.err == nil {
			a.since, a.missed = time.Now(), 0
		}
		a.err = err
		a.missed++
		return 0, fmt.Errorf("audit %s: %w", e.Action, err)
	}
	a.err = nil
	a.metrics.auditRows.Inc()
	return en.Seq, nil
}

// Err tells why the log cannot be written, as far as was tried last; nil if it can.
func (a *Audit) Err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

// retry tries whether a log that could not be written can be again, with a row that tells of it, and reports whether
// that changed.
func (a *Audit) retry(now time.Time) (again bool) {
	a.mu.Lock()
	err, since, missed := a.err, a.since, a.missed
	a.mu.Unlock()
	if err == nil {
		return false
	}
	_, err = a.Append(Event{
		Actor: "skein", Action: ActService, Outcome: Failed, From: since.UTC(), To: now.UTC(),
		Detail: fmt.Sprintf("the log could not be written; rows refused: %d", missed),
	})
	if err != nil {
		a.mu.Lock()
		a.missed = missed // this one was only a try
		a.mu.Unlock()
	}
	return err == nil
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
