package sim

import (
	"time"

	"skein/bench/sim/raster"
	"skein/bench/sim/scene"
	"skein/edge/media"
)

// encoder makes one stream's access units. It is used by one goroutine.
type encoder struct {
	video  Video
	hash   uint64
	zone   *time.Location
	class  *class
	writer pictureWriter
	text   *scene.Text
	offset uint64 // shifts key frames and scenery against other cameras'

	jumped  bool   // a forced key frame is out: pictures count from it until the next regular one
	jumpAt  uint64 // its frame
	jumpPos uint64 // its place in the loop

	*scratch
}

// scratch is memory for coding one picture, shared by the encoders that one goroutine uses.
type scratch struct {
	blocks []raster.Patch
	sei    []byte
	fill   []byte
	slice  []byte
	nalus  [][]byte
	bits   raster.Bits
}

// newEncoder makes its class if nobody has before, which takes a noticeable part of a second.
func newEncoder(l *library, mem *scratch, cam Camera, v Video) *encoder {
	hash := CameraHash(cam.ID)
	c := l.class(v, int(hash%scene.Variants))
	return &encoder{
		video: v, hash: hash, class: c, writer: c.pictures.begin(mem), scratch: mem,
		text:   scene.NewText(c.layout, l.font, cam.Name),
		zone:   time.FixedZone("CST", 8*3600), // Asia/Shanghai: no daylight saving
		offset: hash >> 8 % uint64(c.spec.Loop()),
	}
}

// regular reports whether the frame is a key frame by its number alone.
func (e *encoder) regular(frame uint64) bool { return (frame+e.offset)%uint64(e.video.GOP) == 0 }

// encode returns the NAL units of a frame and whether it is a key frame. They are valid until the next call. wall is
// what the camera takes for the time; force asks for a key frame.
func (e *encoder) encode(frame uint64, wall time.Time, force bool) ([][]byte, bool) {
	loop, gop := uint64(e.class.spec.Loop()), uint64(e.video.GOP)
	pos := (frame + e.offset) % loop
	key := pos%gop == 0 || force
	switch {
	case pos%gop == 0:
		e.jumped = false
	case force:
		e.jumped, e.jumpAt, e.jumpPos = true, frame, pos/gop*gop
		pos = e.jumpPos
	case e.jumped:
		pos = (e.jumpPos + (frame-e.jumpAt)%gop) % loop
		if pos%gop == 0 { // only after a gap in numbers
			pos++
		}
	}
	e.text.Set(wall.In(e.zone), frame)
	e.blocks = e.text.Append(e.blocks[:0], key)
	e.nalus = e.nalus[:0]
	e.slice = e.slice[:0]
	if key {
		e.nalus = append(e.nalus, e.class.pictures.parameterSets()...)
		e.slice = e.writer.appendKey(e.slice, int(pos), e.blocks)
	} else {
		e.slice = e.writer.appendDelta(e.slice, int(pos), e.blocks)
	}
	e.sei = Mark{Frame: frame, Camera: e.hash, Wall: wall}.AppendSEI(e.sei[:0], e.codec())
	e.nalus = append(e.nalus, e.sei)
	if short := e.video.KeyBytes - len(e.slice); key && short > 0 {
		e.fill = appendFill(e.fill[:0], short, e.codec())
		e.nalus = append(e.nalus, e.fill)
	}
	e.nalus = append(e.nalus, e.slice)
	return e.nalus, key
}

func (e *encoder) codec() media.Codec { return e.video.Codec }
