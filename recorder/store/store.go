// Package store keeps the archive's objects: sealed segments with their manifests, and small named documents.
//
// Two implementations stand behind the same interfaces and the same conformance suite (storetest): Dir, a directory
// tree, and Shards, any number of S3 buckets. The package is the only importer of minio-go; no type of it escapes.
//
// The buckets are the truth of the archive. An object's key and its metadata are enough to rebuild everything else.
package store

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skein/recorder/segment"
)

// Store keeps sealed segments. All methods may be called concurrently; ctx bounds each request.
//
// Errors wrap the sentinels of this package: ErrNotFound, ErrConflict, ErrHash, ErrLocked, ErrUnavailable.
type Store interface {
	// Put stores the sealed segment that m describes and returns the shard that took it. It is idempotent: the same
	// key with the same hash is a success. The content is checked against m.Bytes and m.SHA256 on its way; a
	// mismatch is ErrHash and leaves no object behind. The object is durable when Put returns.
	Put(ctx context.Context, m segment.Manifest, src Source) (shard string, err error)
	// Open prepares ranged reads of an object. ctx bounds all reads of the Object, which the caller closes.
	// If the named shard does not have the object, the other shards are asked.
	Open(ctx context.Context, shard, key string) (Object, error)
	// Delete removes an object and its manifest; a missing object is no error. Held objects give ErrLocked.
	Delete(ctx context.Context, shard, key string) error
	// List yields the segments whose key begins with prefix, in ascending order of key over all shards. An error that
	// concerns one shard is yielded as a *ShardError and the other shards go on; any other error ends the list.
	List(ctx context.Context, prefix string) iter.Seq2[Entry, error]
	// Manifest returns what was stored beside the object.
	Manifest(ctx context.Context, shard, key string) (segment.Manifest, error)
}

// Blobs keeps small named documents (registers, locks, checkpoints) beside the segments, in every shard that can be
// reached, so that they survive the loss of one. Names are slash-separated, e.g. "locks/4711.json".
type Blobs interface {
	// PutBlob stores data under name, replacing what was there. At most MaxBlob bytes.
	PutBlob(ctx context.Context, name string, data []byte) error
	// CreateBlob is PutBlob that fails with ErrExists if the name is taken.
	CreateBlob(ctx context.Context, name string, data []byte) error
	// GetBlob returns the newest version of the document, or ErrNotFound.
	GetBlob(ctx context.Context, name string) ([]byte, error)
	// DeleteBlob removes the document; a missing one is no error.
	DeleteBlob(ctx context.Context, name string) error
	// ListBlobs yields the names that begin with prefix, ascending, each once.
	ListBlobs(ctx context.Context, prefix string) iter.Seq2[string, error]
}

// Archive is everything a store offers. Users declare the smaller interface they need.
type Archive interface {
	Store
	Blobs
	// ListAfter is List that begins behind the key after: a listing that was cut short resumes with it.
	ListAfter(ctx context.Context, prefix, after string) iter.Seq2[Entry, error]
	// Cameras returns the cameras that have at least one segment key, ascending.
	Cameras(ctx context.Context) ([]string, error)
	// Hold sets or lifts a legal hold on an object: while held, Delete gives ErrLocked. ErrUnsupported if the
	// shard cannot hold objects.
	Hold(ctx context.Context, shard, key string, on bool) error
	// Probe runs the conformance test against every shard (creating missing buckets) and reports what each lacks.
	// The error is non-nil if a shard lacks something that the archive cannot do without.
	Probe(ctx context.Context) (Report, error)
	// Close releases connections. No other method may be called afterwards.
	Close() error
}

// Source is the content of a sealed segment: a local file, or a reader with its size.
type Source struct {
	// Path names a sealed local file. The directory store links it when it is on the same file system; the file
	// must not be written to afterwards. The caller may remove its own name for it once Put returned.
	Path string
	// Reader delivers exactly Size bytes when Path is empty. If it also is an io.Seeker, Put may rewind it to try
	// another shard.
	Reader io.Reader
	Size   int64
}

// Object is an open segment. ReadAt may be called concurrently and fetches what is asked, or for reads shorter than
// a few KB at most that much more.
type Object interface {
	io.ReaderAt
	io.Closer
	// Size returns the length of the object in bytes.
	Size() int64
	// Stream returns a reader of n bytes from off that delivers while it fetches. The caller closes it.
	Stream(off, n int64) (io.ReadCloser, error)
}

// Entry is one listed segment.
type Entry struct {
	Shard    string
	Key      string
	Size     int64
	Modified time.Time // when the store received it
}

// MaxBlob is the largest document Blobs accepts, in bytes.
const MaxBlob = 8 << 20

// LocalShard is the name the directory store gives to itself.
const LocalShard = "local"

// Options are what Open needs besides the configuration. The zero value works.
type Options struct {
	Log     *slog.Logger          // nil: discard
	Metrics prometheus.Registerer // nil: not registered
	Now     func() time.Time      // nil: time.Now
}

// Open returns the archive that cfg describes. It opens no connection; Probe does.
func Open(cfg Config, o Options) (Archive, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if cfg.Dir != "" {
		return OpenDir(cfg.Dir)
	}
	return OpenShards(cfg.Shards, o)
}

// checkKey refuses keys that could name anything but an object below a root.
func checkKey(key string) error {
	if len(key) == 0 || len(key) > 900 {
		return fmt.Errorf("object key of %d bytes: want 1 to 900", len(key))
	}
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || part == "." || part == ".." || part[0] == '.' {
			return fmt.Errorf("object key %q: empty or dotted element", key)
		}
	}
	for i := range len(key) {
		if c := key[i]; c <= ' ' || c >= 0x7f || c == '\\' {
			return fmt.Errorf("object key %q: character %q is not allowed", key, c)
		}
	}
	return nil
}

// checkManifest refuses a manifest whose key would not lead back to it.
func checkManifest(m segment.Manifest) (key string, err error) {
	key = m.Key()
	if err := checkKey(key); err != nil {
		return "", err
	}
	if _, _, err := segment.ParseKey(key); err != nil {
		return "", err
	}
	if m.SHA256.IsZero() || m.Bytes <= 0 {
		return "", fmt.Errorf("manifest of %s: hash and size must be set", key)
	}
	return key, nil
}
