package relay

import (
	"testing"
	"time"
)

func TestAllowanceOfKeyFrames(t *testing.T) {
	t.Parallel()
	var a allowance
	at := time.Unix(1e9, 0)
	granted := 0
	for i := range 600 { // a minute of somebody who asks ten times a second
		if a.take(at.Add(time.Duration(i) * 100 * time.Millisecond)) {
			granted++
		}
	}
	if granted < 30 || granted > 30+keyBurst {
		t.Errorf("%d granted in a minute", granted)
	}
	at, granted = at.Add(time.Hour), 0
	for range 10 {
		if a.take(at) {
			granted++
		}
	}
	if granted != keyBurst {
		t.Errorf("after a rest %d are granted at once, want %d", granted, keyBurst)
	}
}
