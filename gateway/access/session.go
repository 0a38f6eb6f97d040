package access

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"
)

// maxSessions bounds the table; beyond it the session unused for longest ends. maxUserSessions bounds one user's.
const (
	maxSessions     = 10000
	maxUserSessions = 100
)

// session is what is kept of a login. The token itself is not.
type session struct {
	User    string    `json:"user"`
	Created time.Time `json:"created"`
	Used    time.Time `json:"used"`
}

// sessions is the table of logins, kept in a file so that a restart logs nobody out.
type sessions struct {
	path      string
	ttl, span time.Duration
	now       func() time.Time

	saving sync.Mutex // held while the file is written; taken before mu

	mu      sync.Mutex // guards the fields below
	byToken map[digest]session
	dirty   bool
}

func openSessions(path string, c Config, now func() time.Time) (*sessions, error) {
	s := &sessions{path: path, ttl: c.SessionTTL, span: c.SessionMax, now: now, byToken: map[digest]session{}}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("sessions: %w", err)
	}
	if s.byToken, err = parseSessions(b); err != nil {
		return nil, fmt.Errorf("sessions file %s: %w; delete it to log everybody out", path, err)
	}
	return s, nil
}

func parseSessions(b []byte) (map[digest]session, error) {
	var m map[string]session
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, err
	}
	out := make(map[digest]session, len(m))
	for k, v := range m {
		var d digest
		if len(k) != 2*len(d) {
			return nil, fmt.Errorf("key %q: want %d hexadecimal digits", k, 2*len(d))
		}
		if _, err := hex.Decode(d[:], []byte(k)); err != nil {
			return nil, fmt.Errorf("key %q: %w", k, err)
		}
		out[d] = v
	}
	return out, nil
}

// expires returns when x ends if it is not used again.
func (s *sessions) expires(x session) time.Time {
	idle, end := x.Used.Add(s.ttl), x.Created.Add(s.span)
	if idle.Before(end) {
		return idle
	}
	return end
}

// start opens a session and returns its token, which is nowhere kept.
func (s *sessions) start(user string) (token string, expires time.Time, err error) {
	token = newSessionToken()
	now := s.now().UTC()
	x := session{User: user, Created: now, Used: now}
	s.mu.Lock()
	s.sweep(now)
	s.evict(user)
	s.byToken[digestOf(token)] = x
	s.dirty = true
	s.mu.Unlock()
	return token, s.expires(x), s.save()
}

// use returns the session of the token and counts as a use of it.
func (s *sessions) use(d digest) (session, time.Time, bool) {
	now := s.now().UTC()
	s.mu.Lock()
	defer s.mu.Unlock()
	x, ok := s.byToken[d]
	if !ok {
		return session{}, time.Time{}, false
	}
	if !now.Before(s.expires(x)) || now.Before(x.Created.Add(-time.Hour)) {
		delete(s.byToken, d)
		s.dirty = true
		return session{}, time.Time{}, false
	}
	if now.After(x.Used) {
		x.Used = now
		s.byToken[d] = x
		s.dirty = true
	}
	return x, s.expires(x), true
}

// look returns the session without using it.
func (s *sessions) look(d digest) (session, time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, ok := s.byToken[d]
	if !ok || !s.now().Before(s.expires(x)) {
		return session{}, time.Time{}, false
	}
	return x, s.expires(x), true
}

// end closes the session and reports whether there was one.
func (s *sessions) end(d digest) error {
	s.mu.Lock()
	delete(s.byToken, d)
	s.dirty = true
	s.mu.Unlock()
	return s.save()
}

// sweep removes what has expired. The caller holds mu.
func (s *sessions) sweep(now time.Time) {
	for d, x := range s.byToken {
		if !now.Before(s.expires(x)) {
			delete(s.byToken, d)
			s.dirty = true
		}
	}
}

// evict makes room for one more session of the user. The caller holds mu.
func (s *sessions) evict(user string) {
	var mine, all struct {
		n      int
		d      digest
		oldest time.Time
	}
	for d, x := range s.byToken {
		if all.n++; all.n == 1 || x.Used.Before(all.oldest) {
			all.d, all.oldest = d, x.Used
		}
		if x.User != user {
			continue
		}
		if mine.n++; mine.n == 1 || x.Used.Before(mine.oldest) {
			mine.d, mine.oldest = d, x.Used
		}
	}
	if mine.n >= maxUserSessions {
		delete(s.byToken, mine.d)
	} else if all.n >= maxSessions {
		delete(s.byToken, all.d)
	}
}

// save writes the table if it changed.
func (s *sessions) save() error {
	s.saving.Lock()
	defer s.saving.Unlock()
	s.mu.Lock()
	s.sweep(s.now().UTC())
	if !s.dirty {
		s.mu.Unlock()
		return nil
	}
	m := make(map[string]session, len(s.byToken))
	for d, x := range s.byToken {
		m[hex.EncodeToString(d[:])] = x
	}
	s.dirty = false
	s.mu.Unlock()
	b, err := json.Marshal(m)
	if err == nil {
		err = writeFile(s.path, append(b, '\n'))
	}
	if err != nil {
		s.mu.Lock()
		s.dirty = true
		s.mu.Unlock()
		return fmt.Errorf("sessions: %w", err)
	}
	return nil
}
