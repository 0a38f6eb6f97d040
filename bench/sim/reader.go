package sim

import (
	"fmt"
	"image"
	"image/color"
	"time"

	"skein/bench/sim/raster"
	"skein/bench/sim/scene"
	"skein/edge/media"
)

// Reader reads what a camera draws into its pictures, after whatever decoded, scaled or compressed them anew: the proof
// of which picture somebody really sees. It is safe for concurrent use.
type Reader struct {
	video  Video
	layout scene.Layout
	font   *scene.Font
}

// NewReader returns a Reader of one profile of the camera.
func NewReader(cam Camera, profile media.Profile) (*Reader, error) {
	cam, err := cam.withDefaults()
	if err != nil {
		return nil, err
	}
	video, err := cam.video(profile)
	if err != nil {
		return nil, err
	}
	font, err := scene.LoadFont()
	if err != nil {
		return nil, err
	}
	spec := scene.Spec{FPS: video.FPS, Bitrate: video.Bitrate}
	return &Reader{
		video: video, font: font, layout: scene.NewLayout(raster.New(video.Width, video.Height), spec.FrameBytes()),
	}, nil
}

// Size is that of the camera's pictures.
func (r *Reader) Size() (width, height int) { return r.video.Width, r.video.Height }

// Drawn is what is written into a picture.
type Drawn struct {
	// Wall is the camera's own clock, cut to milliseconds. UTC.
	Wall time.Time
	// Counter is the last seven digits of Mark.Frame.
	Counter uint64
}

// CounterWrap is where the drawn frame number begins anew.
const CounterWrap = 10_000_000

// Read returns what is drawn into a picture. Pictures of another size are taken as scaled; what lies below the
// picture's height in proportion to its width, such as a caption, is left alone.
func (r *Reader) Read(m image.Image) (Drawn, error) {
	b := m.Bounds()
	scale := float64(b.Dx()) / float64(r.video.Width)
	wall, counter, err := r.layout.Read(r.font, func(x, y int) float64 {
		x, y = b.Min.X+int((float64(x)+0.5)*scale), b.Min.Y+int((float64(y)+0.5)*scale)
		switch m := m.(type) {
		case *image.Gray:
			return float64(m.GrayAt(x, y).Y)
		case *image.YCbCr:
			return float64(m.YCbCrAt(x, y).Y)
		}
		return float64(color.GrayModel.Convert(m.At(x, y)).(color.Gray).Y) //nolint:forcetypeassert // its documented type
	}, time.FixedZone("CST", 8*3600))
	if err != nil {
		return Drawn{}, fmt.Errorf("picture of %dx%d: %w", b.Dx(), b.Dy(), err)
	}
	return Drawn{Wall: wall.UTC(), Counter: counter}, nil
}
