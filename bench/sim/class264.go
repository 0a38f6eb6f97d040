package sim

import (
	"bytes"

	"skein/bench/sim/h264"
	"skein/bench/sim/raster"
	"skein/bench/sim/scene"
)

// pictures264 is a loop of H.264 pictures: whole payloads with room for text for key frames, and for the others what
// follows the last block of text, which is always sent and byte aligned.
type pictures264 struct {
	sets   [][]byte
	last   int // the last text block
	bodies [][]byte
	holes  map[int][]int // by key picture: where the text blocks' samples go
}

func newPictures264(s *scene.Scene, v Video) *pictures264 {
	params := h264.Params{Width: v.Width, Height: v.Height, FPS: v.DeclaredFPS}
	p := &pictures264{
		sets:  [][]byte{params.SPS(), params.PPS()},
		last:  s.Layout.Last(),
		holes: map[int][]int{},
	}
	coder := h264.NewCoder(s.Picture.Clone())
	pace := newPacer(s)
	for i := range s.Spec.Loop() {
		if i > 0 {
			s.Advance(pace.leaves())
		}
		if i%s.Spec.GOP == 0 {
			s.Refresh()
			p.addKey(s, coder, i)
			pace.key(len(p.bodies[i]))
		} else {
			p.addDelta(s, coder)
			pace.coded(len(p.bodies[i]), s.Kinds)
		}
	}
	return p
}

func (p *pictures264) addKey(s *scene.Scene, coder *h264.Coder, i int) {
	var w raster.Bits
	coder.Begin()
	h264.PutIDRHeader(&w, 0)
	for b, kind := range s.Kinds {
		if at := coder.CodeI(&w, s.Picture, b, kind); s.IsText(b) {
			p.holes[i] = append(p.holes[i], at)
		}
	}
	w.Trail()
	p.bodies = append(p.bodies, bytes.Clone(w.Buf))
}

func (p *pictures264) addDelta(s *scene.Scene, coder *h264.Coder) {
	var w raster.Bits
	coder.Begin()
	skip := 0
	for b := p.last + 1; b < len(s.Kinds); b++ {
		if s.Kinds[b] == raster.Skip {
			skip++
			continue
		}
		coder.CodeP(&w, s.Picture, b, s.Kinds[b], skip)
		skip = 0
	}
	if skip > 0 {
		w.UE(uint32(skip))
	}
	w.Trail()
	p.bodies = append(p.bodies, bytes.Clone(w.Buf))
}

func (p *pictures264) parameterSets() [][]byte { return p.sets }

func (p *pictures264) begin(mem *scratch) pictureWriter { return &writer264{loop: p, bits: &mem.bits} }

type writer264 struct {
	loop     *pictures264
	idr      uint32
	frameNum uint32
	bits     *raster.Bits
}

func (w *writer264) appendKey(dst []byte, i int, text []raster.Patch) []byte {
	w.frameNum = 0
	w.idr++
	w.bits.Reset(w.bits.Buf)
	body := append(w.bits.Buf, w.loop.bodies[i]...)
	w.bits.Reset(body)
	h264.SetIDRID(body, w.idr)
	for k, at := range w.loop.holes[i] {
		copy(body[at:], text[k].Samples)
	}
	return h264.AppendNALU(dst, body, true)
}

func (w *writer264) appendDelta(dst []byte, i int, text []raster.Patch) []byte {
	w.frameNum++
	w.bits.Reset(w.bits.Buf)
	h264.PutPHeader(w.bits, w.frameNum)
	at := 0
	for _, b := range text {
		h264.PutPCMHeaderP(w.bits, b.Index-at)
		w.bits.Buf = append(w.bits.Buf, b.Samples...)
		at = b.Index + 1
	}
	w.bits.Buf = append(w.bits.Buf, w.loop.bodies[i]...)
	return h264.AppendNALU(dst, w.bits.Buf, false)
}
