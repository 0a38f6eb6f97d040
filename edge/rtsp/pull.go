package rtsp

import "context"

// Pull connects, plays and publishes into sink until ctx ends or something fails. It never retries. The error is ctx's, or
// an *Error.
func Pull(ctx context.Context, cfg PullConfig, sink Sink) error { return nil }
