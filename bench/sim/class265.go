package sim

import (
	"skein/bench/sim/h265"
	"skein/bench/sim/raster"
	"skein/bench/sim/scene"
)

// pictures265 is a loop of H.265 pictures as planned blocks: arithmetic coding depends on everything before, so a
// picture is written anew for each stream.
type pictures265 struct {
	video  Video
	sets   [][]byte
	blocks [][]h265.Block // by picture; text blocks of key pictures are blank
}

func newPictures265(s *scene.Scene, v Video) *pictures265 {
	params := h265.Params{Width: v.Width, Height: v.Height, FPS: v.DeclaredFPS}
	p := &pictures265{video: v, sets: [][]byte{params.VPS(), params.SPS(), params.PPS()}}
	coder, trial := h265.NewCoder(s.Picture.Clone()), h265.NewWriter(v.Width, v.Height)
	pace := newPacer(s)
	var buf []byte
	for i := range s.Spec.Loop() {
		if i > 0 {
			s.Advance(pace.leaves())
		}
		key := i%s.Spec.GOP == 0
		if key {
			s.Refresh()
		}
		var blocks []h265.Block
		for b, kind := range s.Kinds {
			if kind != raster.Skip {
				blocks = append(blocks, coder.Plan(s.Picture, b, kind))
			}
		}
		p.blocks = append(p.blocks, blocks)
		buf = trial.Append(buf[:0], uint32(i%s.Spec.GOP), blocks, nil)
		if key {
			pace.key(len(buf))
		} else {
			pace.coded(len(buf), s.Kinds)
		}
	}
	return p
}

func (p *pictures265) parameterSets() [][]byte { return p.sets }

func (p *pictures265) begin(*scratch) pictureWriter {
	return &writer265{loop: p, writer: h265.NewWriter(p.video.Width, p.video.Height)}
}

type writer265 struct {
	loop   *pictures265
	writer *h265.Writer
	number uint32 // of the picture since the key frame
}

func (w *writer265) appendKey(dst []byte, i int, text []raster.Patch) []byte {
	w.number = 0
	return w.writer.Append(dst, 0, w.loop.blocks[i], text)
}

func (w *writer265) appendDelta(dst []byte, i int, text []raster.Patch) []byte {
	w.number++
	return w.writer.Append(dst, w.number, w.loop.blocks[i], text)
}
