package store

import (
	"errors"
	"fmt"
)

// What can go wrong. Errors of this package wrap one of these where the caller may want to branch.
var (
	// ErrNotFound: no shard that answered has the object or document.
	ErrNotFound = errors.New("not in the store")
	// ErrConflict: another object with the same key but a different hash is already stored.
	ErrConflict = errors.New("a different object is stored under this key")
	// ErrHash: the content does not match its manifest.
	ErrHash = errors.New("content does not match its manifest")
	// ErrLocked: the object is under a legal hold.
	ErrLocked = errors.New("object is locked")
	// ErrExists: CreateBlob found the name taken.
	ErrExists = errors.New("document exists")
	// ErrUnavailable: no shard could take or deliver it now; trying again later may work.
	ErrUnavailable = errors.New("store is not available")
	// ErrUnsupported: the shard cannot do this at all.
	ErrUnsupported = errors.New("not supported by this store")
)

// ShardError is a failure of one shard.
type ShardError struct {
	Shard string
	Op    string // "put", "get", "list", …
	Err   error
}

// Error implements error.
func (e *ShardError) Error() string { return fmt.Sprintf("shard %s: %s: %v", e.Shard, e.Op, e.Err) }

// Unwrap returns the cause.
func (e *ShardError) Unwrap() error { return e.Err }
