package index

import (
	"net"
	"sync"
	"time"
)

// queuedConn lets the client write without waiting for the server to read, as a socket would: both ends of a net.Pipe
// would wait for each other when a pipeline's answers begin before its commands end.
type queuedConn struct {
	net.Conn
	done chan struct{} // closed when the flusher has ended

	mu     sync.Mutex // guards the fields below
	more   *sync.Cond
	queue  []byte
	closed bool
	err    error // why nothing can be written any more
}

func newQueuedConn(c net.Conn) *queuedConn {
	q := &queuedConn{Conn: c, done: make(chan struct{})}
	q.more = sync.NewCond(&q.mu)
	go q.flush()
	return q
}

// Write implements net.Conn. It never blocks; a failure shows at the next call.
func (q *queuedConn) Write(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil && q.closed {
		q.err = net.ErrClosed
	}
	if q.err != nil {
		return 0, q.err
	}
	q.queue = append(q.queue, p...)
	q.more.Signal()
	return len(p), nil
}

func (q *queuedConn) flush() {
	defer close(q.done)
	for {
		q.mu.Lock()
		for len(q.queue) == 0 && !q.closed {
			q.more.Wait()
		}
		p := q.queue
		q.queue = nil
		q.mu.Unlock()
		if len(p) == 0 {
			return
		}
		if _, err := q.Conn.Write(p); err != nil {
			q.mu.Lock()
			q.err = err
			q.mu.Unlock()
			return
		}
	}
}

// Close implements net.Conn and returns after the flusher has ended.
func (q *queuedConn) Close() error {
	err := q.Conn.Close()
	q.mu.Lock()
	q.closed = true
	q.more.Signal()
	q.mu.Unlock()
	<-q.done
	return err
}

// SetDeadline implements net.Conn: only reads can take long.
func (q *queuedConn) SetDeadline(t time.Time) error { return q.SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn.
func (q *queuedConn) SetWriteDeadline(time.Time) error { return nil }
