package index

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// ErrUnavailable means that the index server cannot be reached or cannot serve now; trying again later may work.
var ErrUnavailable = errors.New("index is not available")

// quiet stops the client from printing to stderr beside our log: every failure comes back as an error. The client knows
// one logger per process; this package is its only user and sets it before the first client exists.
var quiet = sync.OnceFunc(func() { redis.SetLogger(silence{}) }) //nolint:gochecknoglobals // see above

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// Options are what Open needs besides the configuration. The zero value works.
type Options struct {
	Log     *slog.Logger  // nil: discard
	Timeout time.Duration // of one command, 0: 3 s
}

// Open returns the index that cfg describes. It opens no connection; Ping does.
func Open(cfg Config, o Options) (*Index, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Timeout <= 0 {
		o.Timeout = 3 * time.Second
	}
	quiet()
	x := &Index{log: o.Log, add: redis.NewScript(luaAdd), remove: redis.NewScript(luaRemove)}
	u := &redis.UniversalOptions{
		DialTimeout: o.Timeout, ReadTimeout: o.Timeout, WriteTimeout: o.Timeout, PoolTimeout: o.Timeout,
		ContextTimeoutEnabled: true, MaxRetries: 1, DialerRetries: 1, PipelinePoolSize: -1,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		MasterName:               cfg.Sentinel,
		IsClusterMode:            cfg.Cluster,
	}
	if cfg.Embedded {
		server := miniredis.NewMiniRedis()
		u.Addrs = []string{"embedded"}
		u.Dialer = func(context.Context, string, string) (net.Conn, error) {
			c, err := server.Dial()
			if err != nil {
				return nil, err
			}
			return newQueuedConn(c), nil
		}
		u.PoolSize = 8
		x.c = redis.NewUniversalClient(u)
		x.close = func() error {
			err := x.c.Close()
			server.Close()
			return err
		}
		return x, nil
	}
	if err := address(u, cfg); err != nil {
		return nil, err
	}
	x.c = redis.NewUniversalClient(u)
	x.close = x.c.Close
	return x, nil
}

// address fills in where the servers are and how to log in.
func address(u *redis.UniversalOptions, cfg Config) error {
	for i, raw := range cfg.Redis {
		o, err := redis.ParseURL(raw)
		if err != nil {
			return fmt.Errorf("index: redis[%d]: not a usable URL", i) // the cause may quote the password
		}
		u.Addrs = append(u.Addrs, o.Addr)
		if i == 0 {
			u.DB, u.Username, u.Password, u.TLSConfig = o.DB, o.Username, o.Password, o.TLSConfig
		}
	}
	if cfg.Username != "" {
		u.Username = cfg.Username
	}
	if !cfg.Password.IsZero() {
		u.Password = cfg.Password.Reveal()
	}
	return nil
}

// Ping reports whether the server answers. It warns once per call if the server may evict keys.
func (x *Index) Ping(ctx context.Context) error {
	if err := x.c.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("ping index: %w", serverError(err))
	}
	policy, err := x.c.ConfigGet(ctx, "maxmemory-policy").Result()
	if p := policy["maxmemory-policy"]; err == nil && p != "" && p != "noeviction" {
		x.log.WarnContext(ctx, "the index server may evict records: set maxmemory-policy noeviction", "policy", p)
	}
	return nil
}

// serverError marks failures of the server or the way to it as ErrUnavailable. Errors that concern the request (ours
// to mend) stay as they are.
func serverError(err error) error {
	if err == nil || errors.Is(err, ErrRecord) || errors.Is(err, errDamaged) {
		return err
	}
	var reply redis.Error
	if errors.As(err, &reply) {
		word, _, _ := strings.Cut(reply.Error(), " ")
		switch word {
		case "ERR", "WRONGTYPE", "NOSCRIPT", "CROSSSLOT", "EXECABORT":
			return err
		}
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
