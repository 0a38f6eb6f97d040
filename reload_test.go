package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	who "skein/gateway/access"
	audited "skein/internal/ledger"
)

// TestReloadIsARow proves that a changed inventory stands in the audit log: it decides what is recorded and seen.
func TestReloadIsARow(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"all", "gateway"} {
		n := newNode(t, role)
		text := oneUnit + access + "cameras:\n  - {id: gate, name: A, unit: yf, main: push}\n"
		n.configure(t, text)
		n.start(t)
		file, err := os.ReadFile(n.file)
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.Replace(string(file), "id: gate,", "id: yard,", 1)
		if err := os.WriteFile(n.file, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		poll(t, role+": a row about the reload", 20*time.Second, func() error {
			found := errors.New("there is none")
			_, err := who.VerifyAudit(filepath.Join(n.dir, "data", "audit"), func(_ audited.Entry, e who.Event) error {
				if e.Action == who.ActConfig && slices.Equal(e.Cameras, []string{"yard", "gate"}) &&
					strings.Contains(e.Detail, "1 cameras added, 0 edited, 1 removed") {
					found = nil
				}
				return nil
			})
			return errors.Join(err, found)
		})
		n.stop()
	}
}
