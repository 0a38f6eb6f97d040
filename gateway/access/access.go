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
}

// New opens the stores under o.DataDir. It creates no user; see [Users.CreateFirst].
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
	if a.users, err = openUsers(UsersFile(dir, a.cfg.UsersFile), a.hasher, a.now); err != nil {
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
	a.users.record(a.changed)
	return nil
}

// changed writes the row of a change of the users. While the log cannot be written, the change waits in the users file.
func (a *Access) changed(c Change) error {
	if err := a.audit.Err(); err != nil {
		return err
	}
	_, err := a.audit.Append(c.event(a.now()))
	if err != nil {
		a.log.Error("the row of a changed user waits for the audit log", "user", c.User, "by", c.By.Name, "err", err)
	}
	return err
}

// UsersFile returns where the users are kept: configured as access.users_file, or in the data directory.
func UsersFile(dataDir, configured string) string {
	if configured != "" {
		return configured
	}
	return filepath.Join(dataDir, "users.json")
}

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

// Run forgets expired sessions and writes the others' last use to disk, takes over what the command line changes of the
// users, and tries an audit log that could not be written again, until ctx ends.
func (a *Access) Run(ctx context.Context) error {
	t := time.NewTicker(time.Minute)
	defer t.Stop()
	retry := time.NewTicker(auditRetry)
	defer retry.Stop()
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return a.sessions.save()
		case <-retry.C:
			if a.audit.retry(a.now()) {
				a.log.Info("the audit log can be written again")
			}
		case <-look.C:
			a.users.look()
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
