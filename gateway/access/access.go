package access

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skein/internal/ledger"
)

// Options are what an Access needs besides its configuration.
type Options struct {
	// DataDir is where users, sessions, the audit log and the register of retrievals are kept. It is created if
	// missing.
	DataDir    string
	Logger     *slog.Logger          // nil: discard
	Registerer prometheus.Registerer // nil: not registered
	Now        func() time.Time      // nil: time.Now
}

// Access authenticates callers and records what they do. All methods may be called from any goroutine.
type Access struct {
	cfg     Config
	log     *slog.Logger
	now     func() time.Time
	metrics *metrics

	hasher     *hasher
	users      *Users
	sessions   *sessions
	tokens     tokenTable
	origins    origins
	limits     *limiter
	audit      *Audit
	retrievals *Retrievals

	firstPassword string
}

// New opens the stores under o.DataDir. On the very first start it creates the user "admin" with a random password.
// Close must be called when the Access is no longer used.
func New(cfg Config, o Options) (*Access, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.WithDefaults()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := os.MkdirAll(o.DataDir, 0o750); err != nil {
		return nil, fmt.Errorf("access: data directory: %w", err)
	}
	h := newHasher(defaultArgon())
	a := &Access{
		cfg: cfg, log: o.Logger, now: o.Now, metrics: newMetrics(o.Registerer),
		hasher: h, tokens: newTokenTable(cfg), limits: newLimiter(o.Now),
		origins: newOrigins(cfg.Origins),
	}
	return a, a.open(o.DataDir)
}

func (a *Access) open(dir string) (err error) {
	defer func() {
		if err != nil {
			_ = a.Close() // the first error is the one to report
		}
	}()
	file := a.cfg.UsersFile
	if file == "" {
		file = filepath.Join(dir, "users.json")
	}
	if a.users, err = openUsers(file, a.hasher, a.now); err != nil {
		return err
	}
	if a.sessions, err = openSessions(filepath.Join(dir, "sessions.json"), a.cfg, a.now); err != nil {
		return err
	}
	opts := ledger.Options{Now: a.now}
	if a.audit, err = openAudit(filepath.Join(dir, "audit"), opts, a.metrics); err != nil {
		return err
	}
	if a.retrievals, err = openRetrievals(filepath.Join(dir, "retrievals"), opts, a.cfg.RetrievalTTL); err != nil {
		return err
	}
	a.users.notify = func(what string) {
		a.record(Event{Actor: "skein", Action: ActConfig, Outcome: Done, Detail: what})
	}
	a.firstPassword, err = a.users.createFirst(context.Background())
	return err
}

// FirstPassword returns the password of the user "admin" if this start created that user, else "". It is to be printed
// once and nowhere stored.
func (a *Access) FirstPassword() string { return a.firstPassword }

// Users returns the people who may log in.
func (a *Access) Users() *Users { return a.users }

// Audit returns the log of who did what.
func (a *Access) Audit() *Audit { return a.audit }

// Retrievals returns the register of retrievals.
func (a *Access) Retrievals() *Retrievals { return a.retrievals }

// ReplayWindow returns how far back footage may be replayed without a registered retrieval.
func (a *Access) ReplayWindow() time.Duration { return max(0, a.cfg.ReplayWindow) }

// auditRetry is how often an audit log that could not be written is tried again.
const auditRetry = 2 * time.Second

// Run forgets expired sessions and writes the others' last use to disk, and tries again an audit log that could not be
// written, until ctx ends.
func (a *Access) Run(ctx context.Context) error {
	t := time.NewTicker(time.Minute)
	defer t.Stop()
	retry := time.NewTicker(auditRetry)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return a.sessions.save()
		case <-retry.C:
			if a.audit.retry(a.now()) {
				a.log.Info("the audit log can be written again")
			}
		case <-t.C:
			if err := a.sessions.save(); err != nil {
				a.log.Warn("sessions not saved; they will not survive a restart", "err", err)
			}
		}
	}
}

// Close closes the audit log and the register. It may be called twice.
func (a *Access) Close() error {
	var first error
	for _, c := range []interface{ Close() error }{a.audit, a.retrievals} {
		if err := c.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}
