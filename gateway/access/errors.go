package access

import (
	"errors"
	"fmt"
	"time"
)

// What authentication and login may answer.
var (
	// ErrNoCredential means that the request carries neither a bearer token nor a session cookie.
	ErrNoCredential = errors.New("no credential: log in, or send a bearer token")
	// ErrBadCredential means that the token or session is unknown or has expired.
	ErrBadCredential = errors.New("the credential is unknown or has expired: log in again")
	// ErrLogin means wrong user or password; which of them is not told.
	ErrLogin = errors.New("wrong user or password")
	// ErrBusy means that too many logins wait for their password to be checked.
	ErrBusy = errors.New("too many logins at once: try again in a moment")
	// ErrCrossOrigin means that a browser sent the request on behalf of another site.
	ErrCrossOrigin = errors.New("the request comes from another site")
	// ErrNoRetrieval means that no registered retrieval covers what was asked.
	ErrNoRetrieval = errors.New("no registered retrieval covers this")
)

// What a change of the users may answer.
var (
	// ErrUserExists means that the name is taken.
	ErrUserExists = errors.New("exists already")
	// ErrUnknownUser means that nobody has the name.
	ErrUnknownUser = errors.New("is not known")
	// ErrLastAdmin means that nobody could set up anything any more.
	ErrLastAdmin = errors.New("is the last admin who may log in")
)

// LimitError tells that a login was refused without looking at the password.
type LimitError struct {
	// Wait is how long to wait before the next attempt.
	Wait time.Duration
}

// Error implements error.
func (e *LimitError) Error() string {
	return fmt.Sprintf("too many failed logins: try again in %v", e.Wait.Round(time.Second))
}
