package access

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// argonParams are the costs of one Argon2id hash (RFC 9106).
type argonParams struct {
	memory  uint32 // KiB
	time    uint32 // passes
	threads uint8
}

// The hash in use. 19 MiB and two passes on one lane are about 20 ms; the memory of all hashes computed at once is this
// times hashParallel.
func defaultArgon() argonParams { return argonParams{memory: 19 << 10, time: 2, threads: 1} }

const (
	saltBytes    = 16
	keyBytes     = 32
	hashParallel = 2   // hashes computed at the same time
	hashWaiting  = 32  // logins that may wait for their turn
	minPassword  = 10  // characters
	minDifferent = 5   // characters
	maxPassword  = 256 // bytes

	// bounds on parameters read from a file, so that an edited hash cannot exhaust memory.
	maxMemory  = 256 << 10
	maxTime    = 16
	maxThreads = 16
)

// CheckPassword says what is wrong with a new password; its error goes on after "the password". Length is what counts
// (NIST SP 800-63B section 3.1.1.2); beside it stand what guessers try first and what was not meant to be typed.
func CheckPassword(login, password string) error {
	n := utf8.RuneCountInString(password)
	different := map[rune]bool{}
	for _, r := range password {
		different[r] = true
	}
	switch {
	case n < minPassword:
		return fmt.Errorf("has %d characters: want %d or more, such as four words", n, minPassword)
	case len(password) > maxPassword:
		return fmt.Errorf("has %d bytes: want at most %d", len(password), maxPassword)
	case !utf8.ValidString(password) || strings.ContainsFunc(password, unicode.IsControl):
		return errors.New("holds a character that cannot be typed: was more pasted than meant?")
	case strings.TrimSpace(password) != password:
		return errors.New("begins or ends with a blank")
	case behindLogin(strings.ToLower(login), strings.ToLower(password)):
		return errors.New("is the login with something behind it: everybody tries that first")
	case len(different) < minDifferent:
		return fmt.Errorf("has %d different characters: want %d or more", len(different), minDifferent)
	case guessed(strings.ToLower(password)):
		return errors.New("is one that everybody tries first")
	}
	return nil
}

// behindLogin reports whether the password is the login with digits and signs behind it.
func behindLogin(login, password string) bool {
	rest, ok := strings.CutPrefix(password, login)
	return ok && login != "" && strings.Trim(rest, "0123456789!@#$%._-") == ""
}

// guessed reports whether the password, in lower case, is among the best known of ten characters and more.
func guessed(password string) bool {
	for _, known := range []string{
		"1234567890", "0123456789", "0987654321", "123456789a", "a123456789", "1qaz2wsx3edc", "1q2w3e4r5t", "qwertyuiop",
		"asdfghjkl;", "qwerty12345", "qwerty123456", "password123", "password1234", "passw0rd123", "password12",
		"abcdefghij", "abc1234567", "woaini1314520", "admin123456", "administrator", "changeme123",
	} {
		if password == known {
			return true
		}
	}
	return false
}

// randomPassword returns 130 random bits as letters and the digits 2 to 7: easy to type.
func randomPassword() string { return strings.ToLower(rand.Text()) }

// errPHC is returned for a stored hash that is not a PHC string of Argon2id.
var errPHC = errors.New("is not an Argon2id hash of the form $argon2id$v=19$m=…,t=…,p=…$salt$key")

// hasher computes password hashes, a bounded number at a time: logins can be slow, but cannot exhaust memory.
type hasher struct {
	params  argonParams
	slots   chan struct{}
	waiting atomic.Int32
	decoy   string // the hash compared for users that do not exist
}

func newHasher(p argonParams) *hasher {
	h := &hasher{params: p, slots: make(chan struct{}, hashParallel)}
	h.decoy = p.phc(random(saltBytes), random(keyBytes))
	return h
}

// phc returns the PHC string.
func (p argonParams) phc(salt, key []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.time, p.threads,
		b64.EncodeToString(salt), b64.EncodeToString(key))
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails, see crypto/rand
	return b
}

// acquire waits for a turn to hash. It returns ErrBusy when too many wait already.
func (h *hasher) acquire(ctx context.Context) error {
	if h.waiting.Add(1) > hashParallel+hashWaiting {
		h.waiting.Add(-1)
		return ErrBusy
	}
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		h.waiting.Add(-1)
		return ctx.Err()
	}
}

func (h *hasher) release() {
	<-h.slots
	h.waiting.Add(-1)
}

// hash returns the PHC string of the password with a new salt.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	if err := h.acquire(ctx); err != nil {
		return "", err
	}
	defer h.release()
	p, salt := h.params, random(saltBytes)
	return p.phc(salt, argon2.IDKey([]byte(password), salt, p.time, p.memory, p.threads, keyBytes)), nil
}

// verify reports whether password belongs to the PHC string, in a time that does not depend on where they differ. An
// empty phc stands for a user that does not exist: it costs the same and is false.
func (h *hasher) verify(ctx context.Context, phc, password string) (bool, error) {
	exists := phc != ""
	if !exists {
		phc = h.decoy
	}
	p, salt, want, err := parsePHC(phc)
	if err != nil {
		return false, err
	}
	if err := h.acquire(ctx); err != nil {
		return false, err
	}
	defer h.release()
	got := argon2.IDKey([]byte(password), salt, p.time, p.memory, p.threads, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1 && exists, nil
}

// parsePHC reads $argon2id$v=19$m=19456,t=2,p=1$salt$key.
func parsePHC(s string) (p argonParams, salt, key []byte, err error) {
	fail := func() (argonParams, []byte, []byte, error) { return argonParams{}, nil, nil, errPHC }
	f := strings.Split(s, "$")
	if len(f) != 6 || f[0] != "" || f[1] != "argon2id" || f[2] != "v="+strconv.Itoa(argon2.Version) {
		return fail()
	}
	costs := strings.Split(f[3], ",")
	if len(costs) != 3 {
		return fail()
	}
	m, ok1 := cost(costs[0], "m=", maxMemory)
	t, ok2 := cost(costs[1], "t=", maxTime)
	l, ok3 := cost(costs[2], "p=", maxThreads)
	if !ok1 || !ok2 || !ok3 {
		return fail()
	}
	b64 := base64.RawStdEncoding.Strict()
	if salt, err = b64.DecodeString(f[4]); err != nil || len(salt) < 8 || len(salt) > 64 {
		return fail()
	}
	if key, err = b64.DecodeString(f[5]); err != nil || len(key) < 16 || len(key) > 64 {
		return fail()
	}
	return argonParams{memory: m, time: t, threads: uint8(l)}, salt, key, nil
}

func cost(s, prefix string, limit uint64) (uint32, bool) {
	v, ok := strings.CutPrefix(s, prefix)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(v, 10, 32)
	return uint32(n), err == nil && n >= 1 && n <= limit
}
