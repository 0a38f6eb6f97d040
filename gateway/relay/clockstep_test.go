package relay

import (
	"net"
	"testing"
	"time"
	"unsafe"

	"skein/edge/media"
	"skein/edge/status"
)

// stepped returns t as the machine would have read it after its wall clock was set d further: the monotonic reading is
// the same.
func stepped(t time.Time, d time.Duration) time.Time {
	const secondsAt = 30 // package time: the wall seconds lie above 30 bits of nanoseconds
	wall := (*uint64)(unsafe.Pointer(&t))
	*wall += uint64(int64(d/time.Second)) << secondsAt
	return t
}

// A camera that stopped is not live again because the gateway's clock is set back, nor frozen because it is set.
func TestWallClockStepsDoNotChangeWhatATileSays(t *testing.T) {
	t.Parallel()
	desc := &media.Description{Tracks: []media.Track{{Codec: media.H264, ClockRate: videoRate}}}
	for _, step := range []time.Duration{-time.Hour, time.Hour} {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		out := newOutlet(conn)
		r := &Relay{outlet: out}
		f := &feed{relay: r, video: newLine(media.H264, videoRate), pack: packetizer{max: 1200}, times: map[*line]*unroll{}}
		if age := f.age(time.Now()); age < frozenAge {
			t.Errorf("a stream without a picture: newest is %v old", age)
		}
		at := time.Now()
		f.unit(newBatch(out), &media.AccessUnit{
			Desc: desc, Arrival: at, Wall: at.UTC(), Key: true, NALUs: [][]byte{{0x65, 0x88, 0x84, 0}},
		})
		for age, want := range map[time.Duration]status.State{time.Second: status.Live, time.Minute: status.NoSignal} {
			if got, _ := stateOf(f.age(stepped(at.Add(age), step))); got != want {
				t.Errorf("clock set by %v, newest picture %v old: %s, want %s", step, age, got, want)
			}
		}
	}
}
