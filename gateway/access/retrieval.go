package access

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"skein/internal/ledger"
)

// Retrieval is one row of the register the law on public video asks for: who looked at which footage, and why.
// Regulation No. 799 art. 16: reason, content, and unit and name of the person, truthfully.
type Retrieval struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"` // of the principal
	Kind     Kind      `json:"kind"`
	Role     Role      `json:"role"`
	Unit     string    `json:"unit"`
	Reason   string    `json:"reason"`
	Document string    `json:"document,omitempty"` // number of the legal document
	Cameras  []string  `json:"cameras"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires"` // from then on it opens nothing; the row stays
}

// Covers reports whether the retrieval opens [from, to) of camera to p at the time now.
func (r Retrieval) Covers(p Principal, camera string, from, to, now time.Time) bool {
	return r.Name == p.Name && r.Kind == p.Kind && now.Before(r.Expires) &&
		slices.Contains(r.Cameras, camera) && !from.Before(r.From) && !to.After(r.To)
}

// Retrievals is the register. Rows are appended and never changed.
type Retrievals struct {
	log *ledger.Ledger
	ttl time.Duration

	mu   sync.RWMutex // guards the fields below
	byID map[string]Retrieval
}

func openRetrievals(dir string, o ledger.Options, ttl time.Duration) (*Retrievals, error) {
	rs := &Retrievals{ttl: ttl, byID: map[string]Retrieval{}}
	now := time.Now
	if o.Now != nil {
		now = o.Now
	}
	l, err := ledger.Open(dir, o, func(e ledger.Entry) error {
		var r Retrieval
		if err := json.Unmarshal(e.Body, &r); err != nil {
			return fmt.Errorf("is no retrieval: %w", err)
		}
		if now().Before(r.Expires) {
			rs.byID[r.ID] = r
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("register of retrievals: %w", err)
	}
	rs.log = l
	return rs, nil
}

// Register writes r for p and returns it with ID, Name, Created and Expires filled in, once it is durable.
func (rs *Retrievals) Register(p Principal, r Retrieval, now time.Time) (Retrieval, error) {
	r.ID = "r-" + strings.ToLower(rand.Text())
	r.Name, r.Kind, r.Role, r.Unit = p.Name, p.Kind, p.Role, p.Unit
	r.Created = now.UTC().Truncate(time.Millisecond)
	r.Expires = r.Created.Add(rs.ttl)
	r.From, r.To = r.From.UTC(), r.To.UTC()
	if _, err := rs.log.Append(r); err != nil {
		return Retrieval{}, fmt.Errorf("register retrieval: %w", err)
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for id, old := range rs.byID {
		if !now.Before(old.Expires) {
			delete(rs.byID, id)
		}
	}
	rs.byID[r.ID] = r
	return r, nil
}

// Get returns the retrieval if it is registered and has not expired.
func (rs *Retrievals) Get(id string, now time.Time) (Retrieval, error) {
	rs.mu.RLock()
	defer rs.mu.RUnlock()
	r, ok := rs.byID[id]
	if !ok || !now.Before(r.Expires) {
		return Retrieval{}, ErrNoRetrieval
	}
	return r, nil
}

// Head returns number and hash of the newest row.
func (rs *Retrievals) Head() ledger.Head { return rs.log.Head() }

// Close closes the register. It may be called twice.
func (rs *Retrievals) Close() error {
	if rs == nil {
		return nil
	}
	return rs.log.Close()
}
