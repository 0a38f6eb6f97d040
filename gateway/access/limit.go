package access

import (
	"net/netip"
	"sync"
	"time"
)

// The limits on login attempts. The first attempts are free, then each one doubles the wait. A user's wait is short, so
// that nobody can lock a user out for long from elsewhere; an address's is long.
const (
	freeUser, freeAddress = 5, 20
	firstWait             = time.Second
	maxWaitUser           = 30 * time.Second
	maxWaitAddress        = 15 * time.Minute
	forgetAfter           = time.Hour // without attempts
	maxLimited            = 20000     // entries kept; beyond it the oldest go
)

// limiter delays login attempts per user and per address. An attempt counts as failed from its beginning, so attempts
// made at the same time are counted too.
type limiter struct {
	now func() time.Time

	mu        sync.Mutex // guards the fields below
	users     map[string]*attempts
	addresses map[string]*attempts
}

type attempts struct {
	failed int
	last   time.Time
	until  time.Time // no attempt before this
}

func newLimiter(now func() time.Time) *limiter {
	return &limiter{now: now, users: map[string]*attempts{}, addresses: map[string]*attempts{}}
}

// begin counts an attempt. If it has to wait, nothing is counted and how long is returned.
func (l *limiter) begin(user, addr string) time.Duration {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	u, a := touch(l.users, user, now), touch(l.addresses, network(addr), now)
	if wait := max(u.until.Sub(now), a.until.Sub(now)); wait > 0 {
		return wait
	}
	u.fail(now, freeUser, maxWaitUser)
	a.fail(now, freeAddress, maxWaitAddress)
	return 0
}

// succeed takes back the attempt of a login that went well, and forgives the user's failures.
func (l *limiter) succeed(user, addr string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.users, user)
	l.forgive(addr)
}

// cancel takes back an attempt whose password was never looked at.
func (l *limiter) cancel(user, addr string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if u := l.users[user]; u != nil && u.failed > 0 {
		u.failed--
		u.until = time.Time{}
	}
	l.forgive(addr)
}

func (l *limiter) forgive(addr string) {
	if a := l.addresses[network(addr)]; a != nil && a.failed > 0 {
		a.failed--
		a.until = time.Time{}
	}
}

func (a *attempts) fail(now time.Time, free int, longest time.Duration) {
	a.failed++
	a.last = now
	if n := a.failed - free; n >= 0 {
		a.until = now.Add(min(longest, firstWait<<min(n, 20)))
	}
}

// touch returns the entry of key, a new one if there is none or it is forgotten.
func touch(m map[string]*attempts, key string, now time.Time) *attempts {
	if a := m[key]; a != nil {
		if now.Sub(a.last) > forgetAfter {
			*a = attempts{last: now}
		}
		return a
	}
	if len(m) >= maxLimited {
		shrink(m, now)
	}
	a := &attempts{last: now}
	m[key] = a
	return a
}

// shrink removes what is forgotten; if that is not enough, the entry without an attempt for longest.
func shrink(m map[string]*attempts, now time.Time) {
	var oldest string
	first := true
	for k, a := range m {
		if now.Sub(a.last) > forgetAfter {
			delete(m, k)
		} else if first || a.last.Before(m[oldest].last) {
			oldest, first = k, false
		}
	}
	if len(m) >= maxLimited {
		delete(m, oldest)
	}
}

// network returns what counts as one address: an IPv4 address, or the /64 an IPv6 address is in, which is what one
// customer has.
func network(addr string) string {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return addr
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	p, err := ip.Prefix(64)
	if err != nil {
		return ip.String()
	}
	return p.String()
}
