// Package repeats thins out a log: what is told again and again is told once in a while, with how often it happened.
//
// A fault that lasts, such as a full disk under many cameras, makes every attempt of every camera fail. The operator
// needs one line for each kind of fault and what it is about, not one for each attempt.
package repeats

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Every is how often a repeated line is written.
const Every = time.Minute

// remembered bounds the kinds of lines that are known. Beyond it lines are written as they come.
const remembered = 4096

// thinner is what all handlers made of one share.
type thinner struct {
	now func() time.Time

	mu    sync.Mutex // guards kinds
	kinds map[string]*kind
}

// kind is a line that was written and may be repeated.
type kind struct {
	at     time.Time // when it was written last
	hidden int       // times since then
}

// handler is a slog.Handler that thins out.
type handler struct {
	slog.Handler
	t     *thinner
	about string // what With has added to the key
	group string
}

// Thin returns a handler that passes on to h what is below slog.LevelWarn, and of warnings and errors the first of
// each kind at once and then one every Every, with the attribute repeats: how many were left out before it. Lines are
// of one kind if they have the same level, message and words: attributes that are texts, such as camera or node,
// unless they name files. Numbers, times and errors make no difference. Lines about a disk that is full are of one
// kind whatever they are about.
func Thin(h slog.Handler) slog.Handler { return thin(h, time.Now) }

func thin(h slog.Handler, now func() time.Time) slog.Handler {
	return &handler{Handler: h, t: &thinner{now: now, kinds: map[string]*kind{}}}
}

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		return h.Handler.Handle(ctx, r)
	}
	hidden, show := h.t.take(h.key(r))
	if !show {
		return nil
	}
	if hidden > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("repeats", hidden))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	b.WriteString(h.about)
	for _, a := range attrs {
		addWord(&b, h.group, a)
	}
	return &handler{Handler: h.Handler.WithAttrs(attrs), t: h.t, about: b.String(), group: h.group}
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{Handler: h.Handler.WithGroup(name), t: h.t, about: h.about, group: h.group + name + "."}
}

// key names the kind of a line.
func (h *handler) key(r slog.Record) string {
	var b strings.Builder
	b.WriteString(r.Level.String() + "\x00" + r.Message)
	full := false
	r.Attrs(func(a slog.Attr) bool {
		err, ok := a.Value.Any().(error)
		full = full || ok && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT))
		return !full
	})
	if full {
		return b.String()
	}
	b.WriteString(h.about)
	r.Attrs(func(a slog.Attr) bool {
		addWord(&b, h.group, a)
		return true
	})
	return b.String()
}

// addWord adds an attribute to a key if it tells what a line is about.
func addWord(b *strings.Builder, group string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindString && a.Key != "file" && a.Key != "path" {
		b.WriteString("\x00" + group + a.Key + "=" + v.String())
	}
}

// take reports whether a line of the kind is to be written now, and how many were left out since the last one.
func (t *thinner) take(key string) (hidden int, show bool) {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.kinds[key]
	switch {
	case k == nil:
		if len(t.kinds) >= remembered {
			t.forget(now)
		}
		if len(t.kinds) < remembered {
			t.kinds[key] = &kind{at: now}
		}
		return 0, true
	case now.Sub(k.at) < Every && !now.Before(k.at):
		k.hidden++
		return 0, false
	}
	hidden = k.hidden
	*k = kind{at: now}
	return hidden, true
}

// forget drops kinds that were not repeated for a while. t.mu is held.
func (t *thinner) forget(now time.Time) {
	for key, k := range t.kinds {
		if k.hidden == 0 && now.Sub(k.at) >= Every {
			delete(t.kinds, key)
		}
	}
}
