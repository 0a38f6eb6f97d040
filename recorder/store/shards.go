package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"slices"
	"time"

	"skein/recorder/segment"
)

// Shards spreads segments over S3 buckets. The shard of a camera is chosen by weighted rendezvous hashing: each camera
// has an order of preference over the shards, and adding or draining a shard moves only the cameras that prefer it.
// A segment whose first shard is down goes to the next in that order; its index record names the shard that took it.
type Shards struct {
	all     []*shard
	byName  map[string]*shard
	log     *slog.Logger
	now     func() time.Time
	metrics *metrics
}

// OpenShards prepares the shards. It opens no connection.
func OpenShards(cfg []ShardConfig, o Options) (*Shards, error) {
	s := &Shards{byName: make(map[string]*shard), log: o.Log, now: o.Now}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.metrics = newMetrics(o.Metrics)
	for _, c := range cfg {
		sh, err := newShard(c.withDefaults(), s.metrics, s.now)
		if err != nil {
			return nil, err
		}
		s.all = append(s.all, sh)
		s.byName[c.Name] = sh
	}
	return s, nil
}

// Close implements Archive.
func (s *Shards) Close() error {
	for _, sh := range s.all {
		sh.transport.CloseIdleConnections()
	}
	return nil
}

// Order returns the names of the shards in the camera's order of preference, drained ones last.
func (s *Shards) Order(camera string) []string {
	var names []string
	for _, sh := range s.order(camera) {
		names = append(names, sh.cfg.Name)
	}
	return names
}

// Down returns the names of the shards that failed so recently that others are tried first.
func (s *Shards) Down() []string {
	var names []string
	for _, sh := range s.all {
		if sh.isDown() {
			names = append(names, sh.cfg.Name)
		}
	}
	return names
}

// order sorts the shards by -weight/ln(h), h uniform in (0,1) from camera and shard name: the chance to be first is
// proportional to the weight, and the order among the others does not change when one is added or removed.
func (s *Shards) order(id string) []*shard {
	type ranked struct {
		sh    *shard
		score float64
	}
	list := make([]ranked, 0, len(s.all))
	for _, sh := range s.all {
		sum := sha256.Sum256([]byte(id + "\x00" + sh.cfg.Name))
		h := (float64(binary.BigEndian.Uint64(sum[:8])>>11) + 0.5) / (1 << 53)
		score := -sh.cfg.Weight / math.Log(h)
		if sh.cfg.Drain {
			score -= math.MaxFloat32
		}
		list = append(list, ranked{sh, score})
	}
	slices.SortStableFunc(list, func(a, b ranked) int {
		switch {
		case a.score > b.score:
			return -1
		case a.score < b.score:
			return 1
		}
		return 0
	})
	out := make([]*shard, len(list))
	for i, r := range list {
		out[i] = r.sh
	}
	return out
}

// writable returns the shards that may take something new for id: those that answer first, in order of preference,
// then those that failed a moment ago.
func (s *Shards) writable(id string) []*shard {
	var up, down []*shard
	for _, sh := range s.order(id) {
		switch {
		case sh.cfg.Drain:
		case sh.isDown():
			down = append(down, sh)
		default:
			up = append(up, sh)
		}
	}
	return append(up, down...)
}

// Put implements Store. A source that cannot be rewound is offered to one shard only; the caller's next attempt finds
// that shard marked down and goes to the next.
func (s *Shards) Put(ctx context.Context, m segment.Manifest, src Source) (string, error) {
	key, err := checkManifest(m)
	if err != nil {
		return "", err
	}
	in, closer, err := src.open(m)
	if err != nil {
		return "", fmt.Errorf("put segment %s: %w", key, err)
	}
	defer closer()
	seeker, rewinds := in.(io.Seeker)
	var failed []error
	for i, sh := range s.writable(m.Camera) {
		if i > 0 {
			if !rewinds {
				break
			}
			if _, err := seeker.Seek(0, io.SeekStart); err != nil {
				return "", fmt.Errorf("put segment %s: rewind: %w", key, err)
			}
		}
		err := sh.put(ctx, m, key, in)
		if err == nil {
			if i > 0 {
				s.metrics.spilled.Inc()
				s.log.WarnContext(ctx, "segment went to another shard", "camera", m.Camera, "shard", sh.cfg.Name,
					"why", errors.Join(failed...).Error())
			}
			return sh.cfg.Name, nil
		}
		failed = append(failed, err)
		if ctx.Err() != nil || !errors.Is(err, ErrUnavailable) {
			break
		}
	}
	return "", fmt.Errorf("put segment %s: %w", key, errors.Join(failed...))
}

// open returns the content of the source.
func (src Source) open(m segment.Manifest) (io.Reader, func(), error) {
	if src.Path == "" {
		if src.Size != m.Bytes {
			return nil, nil, fmt.Errorf("%w: source of %d bytes, manifest says %d", ErrHash, src.Size, m.Bytes)
		}
		return src.Reader, func() {}, nil
	}
	f, err := os.Open(src.Path)
	if err != nil {
		return nil, nil, err
	}
	return f, func() { _ = f.Close() }, nil
}

// find asks the named shard first, then the others in the camera's order, and returns the first that has the object.
// Not found by all that exist is ErrNotFound; not found by some while others do not answer is ErrUnavailable.
func find[T any](s *Shards, name, key string, ask func(*shard) (T, error)) (T, error) {
	camera, _, err := segment.ParseKey(key)
	var zero T
	if err != nil {
		return zero, err
	}
	list := s.order(camera)
	if sh, ok := s.byName[name]; ok {
		list = append([]*shard{sh}, slices.DeleteFunc(list, func(o *shard) bool { return o == sh })...)
	}
	var failed []error
	for _, sh := range list {
		v, err := ask(sh)
		if err == nil {
			return v, nil
		}
		if !errors.Is(err, ErrNotFound) {
			failed = append(failed, err)
		}
	}
	if len(failed) > 0 {
		return zero, errors.Join(failed...)
	}
	return zero, ErrNotFound
}

// Open implements Store.
func (s *Shards) Open(ctx context.Context, shardName, key string) (Object, error) {
	o, err := find(s, shardName, key, func(sh *shard) (*s3Object, error) { return sh.open(ctx, key) })
	if err != nil {
		return nil, fmt.Errorf("open segment %s: %w", key, err)
	}
	return o, nil
}

// Manifest implements Store.
func (s *Shards) Manifest(ctx context.Context, shardName, key string) (segment.Manifest, error) {
	m, err := find(s, shardName, key, func(sh *shard) (segment.Manifest, error) { return sh.manifest(ctx, key) })
	if err != nil {
		return m, fmt.Errorf("read manifest of %s: %w", key, err)
	}
	return m, nil
}

// Delete implements Store. It touches the named shard only; an empty name (the index no longer knows) means all.
func (s *Shards) Delete(ctx context.Context, shardName, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if shardName == "" {
		var failed []error
		for _, sh := range s.all {
			failed = append(failed, sh.delete(ctx, key))
		}
		if err := errors.Join(failed...); err != nil {
			return fmt.Errorf("delete segment %s: %w", key, err)
		}
		return nil
	}
	sh, ok := s.byName[shardName]
	if !ok {
		return fmt.Errorf("delete segment %s: shard %q is not configured: %w", key, shardName, ErrUnavailable)
	}
	if err := sh.delete(ctx, key); err != nil {
		return fmt.Errorf("delete segment %s: %w", key, err)
	}
	return nil
}

// Hold implements Archive with the endpoint's legal hold.
func (s *Shards) Hold(ctx context.Context, shardName, key string, on bool) error {
	if err := checkKey(key); err != nil {
		return err
	}
	sh, ok := s.byName[shardName]
	if !ok {
		return fmt.Errorf("hold segment %s: shard %q is not configured: %w", key, shardName, ErrUnavailable)
	}
	if err := sh.hold(ctx, key, on); err != nil {
		return fmt.Errorf("hold segment %s: %w", key, err)
	}
	return nil
}
