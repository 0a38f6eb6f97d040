package main

import (
	"net/http"
	"path/filepath"

	"skein/config"
	"skein/recorder/evidence"
	"skein/recorder/reply"
)

// keyFile is where the key that signs checkpoints is kept.
func keyFile(cfg *config.Config) string { return filepath.Join(cfg.DataDir, "keys", "evidence.key") }

// openEvidence makes the keeper of checkpoints, nil if another recorder writes them, and logs the public key: it
// belongs into other hands before it is needed.
func (r *recorderRole) openEvidence() error {
	cfg := r.p.cfg.Evidence
	if cfg.Off {
		return nil
	}
	key, created, err := evidence.OpenKey(keyFile(r.p.cfg))
	if err != nil {
		return err
	}
	r.key = evidence.Public(key)
	r.p.log.Info("checkpoints are signed", "public_key", r.key, "new", created, "every", cfg.Interval,
		"copy_to", cfg.CopyTo)
	r.evidence = &evidence.Keeper{
		Index: r.index, Manifests: r.store, Docs: r.store, Key: key, Every: cfg.Interval,
		Log: r.p.log.With("role", "recorder"),
	}
	if cfg.CopyTo != "" {
		r.evidence.Copy = evidence.CopyTo(cfg.CopyTo)
	}
	return nil
}

// evidenceKey answers GET /v1/evidence/key.
func (r *recorderRole) evidenceKey(w http.ResponseWriter, _ *http.Request) {
	if r.key == "" {
		reply.Problem(w, http.StatusNotImplemented, "another recorder signs this archive's checkpoints")
		return
	}
	reply.JSON(w, http.StatusOK, struct {
		Algorithm string `json:"algorithm"`
		Key       string `json:"key"`
	}{"Ed25519", r.key})
}
