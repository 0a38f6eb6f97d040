package sim

import (
	"sync"

	"skein/bench/sim/raster"
	"skein/bench/sim/scene"
	"skein/edge/media"
)

// class is what all streams of one shape share: a street's pictures, coded once for a whole loop. Immutable.
type class struct {
	spec     scene.Spec
	layout   scene.Layout
	declared int
	pictures pictures
}

// pictures is a loop of coded pictures without text, in one codec.
type pictures interface {
	// parameterSets returns the NAL units that precede a key frame.
	parameterSets() [][]byte
	// begin returns the coding state of one stream, which works in mem.
	begin(mem *scratch) pictureWriter
}

// pictureWriter completes pictures with text. It is used by one goroutine.
type pictureWriter interface {
	// appendKey and appendDelta append the slice NAL unit of picture i of the loop with the given text.
	appendKey(dst []byte, i int, text []raster.Patch) []byte
	appendDelta(dst []byte, i int, text []raster.Patch) []byte
}

// library makes classes when they are first needed, and keeps the font. Safe for concurrent use.
type library struct {
	font *scene.Font

	mu      sync.Mutex
	classes map[classKey]*classSlot
}

type classKey struct {
	video   Video
	variant int
}

type classSlot struct {
	once  sync.Once
	class *class
}

func newLibrary() (*library, error) {
	font, err := scene.LoadFont()
	if err != nil {
		return nil, err
	}
	return &library{font: font, classes: map[classKey]*classSlot{}}, nil
}

func (l *library) class(v Video, variant int) *class {
	l.mu.Lock()
	slot := l.classes[classKey{v, variant}]
	if slot == nil {
		slot = &classSlot{}
		l.classes[classKey{v, variant}] = slot
	}
	l.mu.Unlock()
	slot.once.Do(func() { slot.class = newClass(v, variant) })
	return slot.class
}

func newClass(v Video, variant int) *class {
	spec := scene.Spec{
		Width: v.Width, Height: v.Height, FPS: v.FPS, GOP: v.GOP, Cell: 4, Variant: variant, Bitrate: v.Bitrate,
		Hall: v.Hall, Calm: v.Calm,
	}
	if v.Codec == media.H265 {
		spec.Cell = 8
	}
	c := &class{spec: spec, declared: v.DeclaredFPS}
	s := scene.New(spec)
	c.layout = s.Layout
	if v.Codec == media.H265 {
		c.pictures = newPictures265(s, v)
	} else {
		c.pictures = newPictures264(s, v)
	}
	return c
}

// pacer spends a GOP's bytes evenly: what key frame, text and traffic leave over goes into leaves.
type pacer struct {
	spec    scene.Spec
	text    int // per picture
	share   int // per picture after the key frame
	traffic int // of the picture before
}

func (p *pacer) key(size int) {
	if p.spec.GOP > 1 {
		p.share = (p.spec.FrameBytes()*p.spec.GOP - size) / (p.spec.GOP - 1)
	}
}

func (p *pacer) leaves() int { return max(0, p.share-p.text-p.traffic) }

func (p *pacer) coded(size int, kinds []raster.Kind) {
	for _, k := range kinds {
		if k == raster.PCM {
			size -= raster.PCMBytes + 2
		}
	}
	p.traffic = max(size, 0)
}

func newPacer(s *scene.Scene) *pacer {
	return &pacer{spec: s.Spec, text: s.Layout.MovingBytes(s.Spec.FPS) + 100}
}
