package rtsp

import (
	"errors"
	"testing"
	"time"

	"skein/edge/media"
)

func TestAccessOfH264(t *testing.T) {
	t.Parallel()
	var (
		sps, pps = []byte{0x67, 0x42}, []byte{0x68, 0xce}
		idr      = []byte{0x65, 0x88, 0x84}
		p        = []byte{0x61, 0x9a, 0x00} // first_mb 0, slice_type 5
		i        = []byte{0x61, 0x88, 0x84} // slice_type 7
		spare    = []byte{0x01, 0x88, 0x84} // the same, nothing refers to it
		exact    = []byte{6, 6, 1, 0xc4, 0x80}
		gradual  = []byte{6, 5, 2, 1, 2, 6, 2, 0x17, 0x10, 0x80} // behind user data; 10 pictures
		endless  = []byte{6, 6, 4, 0x00, 0x00, 0x10, 0x00, 0x80} // recovery in millions of pictures
	)
	for _, c := range []struct {
		name  string
		nalus [][]byte
		want  access
	}{
		{"IDR", [][]byte{sps, pps, idr}, access{key: true}},
		{"IDR with a recovery point", [][]byte{sps, pps, exact, idr}, access{key: true}},
		{"P", [][]byte{p}, access{}},
		{"recovery point", [][]byte{exact, i}, access{key: true, open: true}},
		{"gradual refresh", [][]byte{sps, pps, gradual, p}, access{key: true, open: true, recovery: 10}},
		{"recovery point that never is", [][]byte{endless, p}, access{}},
		{"recovery point without a picture", [][]byte{exact}, access{}},
		{"I slices with parameter sets", [][]byte{sps, pps, i, i}, access{key: true, open: true, inferred: true}},
		{"I and P slices with parameter sets", [][]byte{sps, pps, i, p}, access{}},
		{"I slices alone", [][]byte{i, i}, access{}},
		{"I slices to which nothing refers", [][]byte{sps, pps, spare}, access{}},
		{"torn", [][]byte{{6}, {6, 6}, {6, 255}, {6, 6, 9, 1}, {1}}, access{}},
	} {
		if got := accessH264(c.nalus); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestAccessOfH265(t *testing.T) {
	t.Parallel()
	nal := func(typ byte, more ...byte) []byte { return append([]byte{typ << 1, 1}, more...) }
	for _, c := range []struct {
		name  string
		nalus [][]byte
		want  access
	}{
		{"IDR", [][]byte{nal(19, 0x80)}, access{key: true}},
		{"CRA", [][]byte{nal(32), nal(21, 0x80)}, access{key: true, open: true}},
		{"RASL", [][]byte{nal(8, 0x80)}, access{leading: true}},
		{"RADL", [][]byte{nal(7, 0x80)}, access{}},
		{"trailing", [][]byte{nal(1, 0x80)}, access{}},
		{"recovery point 2 pictures on", [][]byte{nal(39, 6, 1, 0x20, 0x80), nal(1, 0x80)},
			access{key: true, open: true, recovery: 2}},
		{"recovery point behind", [][]byte{nal(39, 6, 1, 0x28, 0x80), nal(1, 0x80)}, access{key: true, open: true}},
		{"torn", [][]byte{nal(39), nal(39, 6), nal(39, 6, 200, 1)}, access{}},
	} {
		if got := accessH265(c.nalus); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// Some encoders say with each picture when the ones after it are whole, and some send IDR pictures beside I pictures with
// parameter sets: not every one of those is a key.
func TestNotEveryRecoveryPointIsAKey(t *testing.T) {
	t.Parallel()
	start := time.Now()
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	idr, gradual, inferred := access{key: true}, access{key: true, open: true, recovery: 9},
		access{key: true, open: true, inferred: true}
	for _, c := range []struct {
		name  string
		steps []access
		every float64
		keys  int
		noIDR bool
	}{
		{"recovery point with each picture", []access{gradual, gradual, gradual, gradual, gradual, gradual}, 0.3, 2, true},
		{"I pictures between IDR pictures", []access{idr, inferred, inferred, idr}, 2, 2, false},
		{"I pictures, the IDR picture long ago", []access{idr, inferred, inferred, inferred, inferred}, 4, 3, false},
		{"I pictures, the IDR picture very long ago", []access{idr, inferred, inferred, inferred, inferred}, 20, 5, true},
		{"IDR pictures far apart", []access{idr, idr, inferred, inferred}, 55, 4, false},
	} {
		var g group
		track := media.Track{Codec: media.H264}
		keys := 0
		for i, a := range c.steps {
			if g.admit(a, at(float64(i)*c.every), &track).key {
				keys++
			}
		}
		if keys != c.keys || track.NoIDR != c.noIDR {
			t.Errorf("%s: %d keys, no IDR %v, want %d, %v", c.name, keys, track.NoIDR, c.keys, c.noIDR)
		}
	}
}

func FuzzRecoveryPoint(f *testing.F) {
	f.Add([]byte{6, 1, 0xc4, 0x80}, false)
	f.Add([]byte{5, 255, 1, 0, 0, 3, 1}, true)
	f.Fuzz(func(t *testing.T, b []byte, signed bool) {
		n, ok := recoveryPoint(b, signed)
		if n < 0 || ok && n > maxRecovery {
			t.Errorf("%d pictures", n)
		}
		accessH264([][]byte{append([]byte{6}, b...), append([]byte{1}, b...)})
	})
}

// How far apart key frames are is the camera's business; what never begins, or stops, is not.
func TestThirdClock(t *testing.T) {
	t.Parallel()
	to := Timeouts{KeyFrame: 20 * time.Second}.withDefaults()
	for _, c := range []struct {
		name              string
		frame, whole, key int // seconds ago; key 0: none yet
		playing           int
		want              error
	}{
		{"key frame every 120 s", 0, 0, 119, 1000, nil},
		{"no key frame but the first", 0, 0, 1700, 1699, nil},
		{"no key frame for half an hour", 0, 0, 1801, 1900, errRenew},
		{"first key frame not there yet", 0, 0, 0, 179, nil},
		{"no first key frame", 0, 0, 0, 181, errNoFirstKey},
		{"pictures stopped", 21, 21, 40, 100, errNoKeyFrame},
		{"no picture at all", 21, 21, 0, 21, errNoKeyFrame},
		{"all pictures damaged", 0, 21, 40, 100, errNoKeyFrame},
	} {
		s := func(n int) time.Duration { return time.Duration(n) * time.Second }
		k := clocks{video: true, to: to}
		if got := k.pictures(s(c.frame), s(c.whole), s(c.key), c.key > 0, s(c.playing)); !errors.Is(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
