package main

import (
	"context"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"skein/config"
	"skein/config/district"
)

// inventory is the district's inventory in force. It is read again on SIGHUP and when its files change; a file with a
// mistake is refused as a whole and the old inventory stays.
type inventory struct {
	p       *process
	now     atomic.Pointer[district.Inventory]
	apply   []func(*district.Inventory)
	changed []func(district.Change) // told of every reload
	stamp   time.Time
}

func newInventory(p *process) *inventory {
	v := &inventory{p: p}
	v.now.Store(p.cfg.District())
	v.stamp = newest(p.cfg)
	return v
}

// current returns the inventory in force; it must not be changed.
func (v *inventory) current() *district.Inventory { return v.now.Load() }

// watch has f called with the cameras that mine chooses, now and after each change.
func (v *inventory) watch(mine owned, f func([]district.Camera)) {
	apply := func(inv *district.Inventory) { f(mine(inv)) }
	v.apply = append(v.apply, apply)
	apply(v.now.Load())
}

// run looks for changes until ctx ends.
func (v *inventory) run(ctx context.Context) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	tick := time.NewTicker(config.ReloadInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
			v.reload("SIGHUP")
		case <-tick.C:
			if t := newest(v.p.cfg); !t.Equal(v.stamp) {
				v.stamp = t
				v.reload("file changed")
			}
		}
	}
}

func (v *inventory) reload(why string) {
	if v.p.cfg.Path() == "" {
		return // made by the program, not read from a file
	}
	cfg, err := config.Load(v.p.cfg.Path())
	if err != nil {
		v.p.log.Error("inventory not reloaded, the old one stays", "why", why, "error", err)
		return
	}
	old, next := v.now.Load(), cfg.District()
	change := district.Diff(old, next)
	v.now.Store(next)
	v.p.log.Info("inventory reloaded", "why", why, "added", len(change.Added), "edited", len(change.Edited),
		"removed", len(change.Removed))
	for _, f := range v.apply {
		f(next)
	}
	for _, f := range v.changed {
		f(change)
	}
}

// newest returns when the configuration's files were last changed.
func newest(cfg *config.Config) time.Time {
	var t time.Time
	if cfg.Path() == "" {
		return t
	}
	for _, f := range cfg.Files() {
		if st, err := os.Stat(f); err == nil && st.ModTime().After(t) {
			t = st.ModTime()
		}
	}
	return t
}
