package link

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/coder/websocket"
)

// writeTimeout bounds one write: a peer that takes nothing for so long is gone.
const writeTimeout = 10 * time.Second

// liveness is how a side finds out that the other is gone.
type liveness struct {
	every  time.Duration // between pings
	within time.Duration // the pong must come
}

func (l liveness) withDefaults() liveness {
	if l.every <= 0 {
		l.every = 5 * time.Second
	}
	if l.within <= 0 {
		l.within = 10 * time.Second
	}
	return l
}

// run pings until ctx ends or a pong does not come in time. Somebody must be reading from c.
func (l liveness) run(ctx context.Context, c *websocket.Conn) error {
	t := time.NewTicker(l.every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
		pctx, cancel := context.WithTimeout(ctx, l.within)
		err := c.Ping(pctx)
		cancel()
		if err != nil {
			return fmt.Errorf("no pong within %v: %w", l.within, err)
		}
	}
}

// send writes one message within the write timeout.
func send(ctx context.Context, c *websocket.Conn, m Message) error {
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("link: marshal %s: %w", m.Type, err)
	}
	if len(b) > MaxMessage {
		return fmt.Errorf("link: %s message of %d bytes is too long: the limit is %d", m.Type, len(b), MaxMessage)
	}
	wctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := c.Write(wctx, websocket.MessageText, b); err != nil {
		return fmt.Errorf("link: send %s: %w", m.Type, err)
	}
	return nil
}

// receive reads one message. Its size is bounded by the connection's read limit.
func receive(ctx context.Context, c *websocket.Conn) (Message, error) {
	typ, b, err := c.Read(ctx)
	if err != nil {
		return Message{}, fmt.Errorf("link: receive: %w", err)
	}
	if typ != websocket.MessageText {
		return Message{}, fmt.Errorf("%w: is binary", errMessage)
	}
	return Parse(b)
}

// closeWith ends the connection and tells the other side why, if that can be told at once.
func closeWith(c *websocket.Conn, err error) {
	code, reason := websocket.StatusNormalClosure, "bye"
	var ce websocket.CloseError
	switch {
	case errors.As(err, &ce): // the other side closed
		_ = c.CloseNow() // there is nothing left to lose
		return
	case errors.Is(err, errMessage):
		code, reason = websocket.StatusPolicyViolation, "bad message"
	case errors.Is(err, errRefused):
		code, reason = websocket.StatusPolicyViolation, errRefused.Error()
	case err != nil && !errors.Is(err, context.Canceled):
		_ = c.CloseNow() // the connection is broken already
		return
	}
	_ = c.Close(code, reason) // best effort: the connection ends either way
}

// errRefused is the reason a gateway gives for refusing a hello.
var errRefused = errors.New("refused")
