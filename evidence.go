package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"

	"skein/config"
	"skein/recorder/evidence"
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
		archiveProblem(w, http.StatusNotImplemented, "another recorder signs this archive's checkpoints")
		return
	}
	archiveJSON(w, http.StatusOK, struct {
		Algorithm string `json:"algorithm"`
		Key       string `json:"key"`
	}{"Ed25519", r.key})
}

func archiveJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that left needs no answer
}

// archiveProblem answers in the form of RFC 9457.
func archiveProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{"about:blank", http.StatusText(status), status, detail})
}
