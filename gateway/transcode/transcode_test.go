package transcode

import (
	"bytes"
	"image"
	"image/jpeg"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"skein/bench/sim"
	"skein/edge/media"
	"skein/edge/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Pictures of an H.265 camera, and of one whose H.264 browsers cannot begin with, come out as H.264 of 640x360, each once,
// with the time it was taken, soon.
func TestH264(t *testing.T) {
	t.Parallel()
	for _, codec := range []media.Codec{media.H265, media.H264} {
		t.Run(codec.String(), func(t *testing.T) {
			t.Parallel()
			testH264(t, codec)
		})
	}
}

func testH264(t *testing.T, codec media.Codec) {
	t.Helper()
	ff := installed(t)
	src, err := sim.NewSource(sim.Camera{ID: "gate", Video: sim.Video{Codec: codec, Width: 1280, Height: 720, GOP: 25}},
		media.Main, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	sets := src.ParameterSets()
	picture := media.Track{Codec: codec, ClockRate: 90000, SPS: sets[len(sets)-2], PPS: sets[len(sets)-1]}
	if codec == media.H265 {
		picture.VPS = sets[0]
	}
	desc := &media.Description{Tracks: []media.Track{picture, {Codec: media.G711A, ClockRate: 8000, Channels: 1}}}
	in := stream.New(stream.Options{})
	publish := func() {
		u := src.Next()
		now := time.Now()
		in.Publish(&media.AccessUnit{Desc: desc, Key: u.Key, NALUs: u.NALUs, Wall: now, Arrival: now, PTS: u.PTS})
		in.Publish(&media.AccessUnit{Desc: desc, Track: 1, Epoch: 2, NALUs: [][]byte{{7}}, Wall: now, Arrival: now, PTS: u.PTS})
	}
	publish()
	out, stop, err := ff.H264(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	r := out.Subscribe(stream.ReaderOptions{Name: "test", History: true})
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(40 * time.Millisecond)
		defer tick.Stop()
		for range 100 {
			<-tick.C
			publish()
		}
	}()
	var late []time.Duration
	var walls []time.Time
	sounds := 0
	for i := 0; i < 100; {
		u, err := r.Next(t.Context())
		if err != nil {
			t.Fatalf("after %d pictures: %v", i, err)
		}
		if !u.IsVideo() {
			if tr := u.Desc.Tracks[u.Track]; tr.Codec != media.G711A || u.Epoch != 2 || u.NALUs[0][0] != 7 {
				t.Errorf("sound: %+v of %+v", u, tr)
			}
			sounds++
			continue
		}
		if tr := u.Desc.Tracks[0]; tr.Codec != media.H264 || len(tr.SPS) == 0 || (i == 0) != u.Key && i%50 != 0 {
			t.Errorf("picture %d: key %v, %+v", i, u.Key, tr)
		}
		late, walls = append(late, u.Arrival.Sub(u.Wall)), append(walls, u.Wall)
		i++
	}
	if sounds < 50 {
		t.Errorf("%d sounds beside 100 pictures", sounds)
	}
	<-done
	stop()
	r.Close()
	if !slices.IsSortedFunc(walls, time.Time.Compare) || len(slices.Compact(walls)) != 100 {
		t.Error("the capture times are not those of 100 pictures")
	}
	late = late[25:]
	slices.Sort(late)
	t.Logf("added delay: median %v, worst %v", late[len(late)/2].Round(time.Millisecond), late[len(late)-1].Round(time.Millisecond))
	if late[len(late)/2] > 500*time.Millisecond {
		t.Errorf("median delay %v", late[len(late)/2])
	}
}

// So do the pictures of a camera that sends JPEG, none of which waits for the next.
func TestH264OfJPEG(t *testing.T) {
	t.Parallel()
	ff := installed(t)
	desc := &media.Description{Tracks: []media.Track{{Codec: media.MJPEG, ClockRate: 90000}}}
	in := stream.New(stream.Options{})
	walls := map[time.Time]bool{}
	var mu sync.Mutex
	n := 0
	publish := func() {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		walls[now] = true
		in.Publish(&media.AccessUnit{Desc: desc, Key: true, NALUs: [][]byte{jpegPicture(n)}, Wall: now, Arrival: now, PTS: int64(n)})
		n++
	}
	publish()
	out, stop, err := ff.H264(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	r := out.Subscribe(stream.ReaderOptions{Name: "test", History: true})
	defer r.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 30 {
			time.Sleep(100 * time.Millisecond)
			publish()
		}
	}()
	for i := range 30 { // the last is not pushed by another
		u, err := r.Next(t.Context())
		if err != nil {
			t.Fatalf("after %d pictures: %v", i, err)
		}
		mu.Lock()
		if tr := u.Desc.Tracks[0]; tr.Codec != media.H264 || len(tr.SPS) == 0 || !walls[u.Wall] {
			t.Errorf("picture %d: %+v, taken at %v", i, tr, u.Wall)
		}
		mu.Unlock()
	}
	<-done
}

func jpegPicture(n int) []byte {
	img := image.NewYCbCr(image.Rect(0, 0, 320, 240), image.YCbCrSubsampleRatio420)
	for i := range img.Y {
		img.Y[i] = byte(i>>5*9 + n)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func FuzzFLV(f *testing.F) {
	tag := func(kind byte, body ...byte) []byte {
		b := append([]byte{9, 0, 0, byte(len(body) + 5), 0, 0, 40, 0, 0, 0, 0, 0x17, kind, 0, 0, 0}, body...)
		return append(b, 0, 0, 0, 0)
	}
	f.Add(slices.Concat([]byte("FLV\x01\x01\x00\x00\x00\x09\x00\x00\x00\x00"),
		tag(0, 1, 66, 0, 31, 0xff, 0xe1, 0, 2, 0x67, 1, 1, 0, 1, 0x68), tag(1, 0, 0, 0, 2, 0x65, 1)))
	f.Fuzz(func(_ *testing.T, b []byte) {
		v := flv{r: bytes.NewReader(b)}
		for {
			if _, err := v.next(); err != nil {
				return
			}
		}
	})
}
