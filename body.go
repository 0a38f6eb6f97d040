package main

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// bodyWithin is how long a request's body may take to come. Handlers that take long ones set deadlines of their own.
const bodyWithin = 30 * time.Second

// withBodies bounds the time that bodies take, also those no handler reads: the server reads them to their end before
// it answers, so that anybody without a credential could hold a connection for as long as they like.
func withBodies(within time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			c := http.NewResponseController(w)
			if c.SetReadDeadline(time.Now().Add(within)) == nil { // not every server can
				r.Body = &boundedBody{r.Body, c}
			}
		}
		next.ServeHTTP(w, r)
	})
}

// boundedBody lifts the deadline at the body's end: what the server reads next only tells it that the client has left.
type boundedBody struct {
	io.ReadCloser
	conn *http.ResponseController
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.conn.SetReadDeadline(time.Time{}) // as when it was set
	}
	return n, err
}
