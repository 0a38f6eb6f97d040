package h265

import "skein/bench/sim/raster"

const (
	naluTrail = 1  // TRAIL_R
	naluIDR   = 19 // IDR_W_RADL
)

// Writer writes pictures of one size.
type Writer struct {
	cols, rows int
	c          cabac
	ctx        [contexts]context
	coded      []bool // blocks of this picture that are not skipped
}

// NewWriter returns a Writer for pictures of w x h luma samples.
func NewWriter(w, h int) *Writer {
	cols, rows := (w+15)/16, (h+15)/16
	return &Writer{
		cols: cols, rows: rows, coded: make([]bool, cols*rows),
		c: cabac{lps: rangeTable(), next: lpsTransitions()},
	}
}

// Append appends a picture's slice NAL unit to dst. Number counts the pictures since the IDR picture, which has number
// 0 and all blocks; later pictures have only those that changed. Blocks come in the order of their index; text replaces
// the blocks of the same index and comes in between.
func (w *Writer) Append(dst []byte, number uint32, blocks []Block, text []raster.Patch) []byte {
	idr := number == 0
	w.c.out.Reset(w.c.out.Buf)
	w.header(number)
	w.ctx = initial(!idr)
	w.c.start()
	clear(w.coded)
	next, x := 0, -1
	for i := range w.coded {
		if x++; x == w.cols {
			x = 0
		}
		var b *Block
		if next < len(blocks) && blocks[next].Index == i {
			b = &blocks[next]
			next++
		}
		var pcm []byte
		switch {
		case len(text) > 0 && text[0].Index == i:
			pcm = text[0].Samples
			text = text[1:]
		case b != nil:
			pcm = b.PCM
		}
		w.coded[i] = b != nil || pcm != nil
		if !idr {
			w.skip(i, x, !w.coded[i])
		}
		if w.coded[i] {
			w.block(b, pcm, idr)
		}
		w.c.terminate(i == len(w.coded)-1)
	}
	w.c.finish()
	if idr {
		return raster.Escape(append(dst, naluIDR<<1, 1), w.c.out.Buf)
	}
	return raster.Escape(append(dst, naluTrail<<1, 1), w.c.out.Buf)
}

// header writes slice_segment_header (7.3.6.1).
func (w *Writer) header(number uint32) {
	o := &w.c.out
	o.Put(1, 1) // first in picture
	if number == 0 {
		o.Put(0, 1)
		o.UE(0)
		o.UE(2) // I
	} else {
		o.UE(0)
		o.UE(1) // P
		o.Put(number, pocBits)
		o.Put(1, 1) // the set of the SPS
		o.Put(0, 1)
		o.UE(4) // one merge candidate
	}
	o.SE(0)
	o.Trail() // byte_alignment
}

func (w *Writer) skip(i, x int, skipped bool) {
	inc := 0
	if x > 0 && !w.coded[i-1] {
		inc++
	}
	if i >= w.cols && !w.coded[i-w.cols] {
		inc++
	}
	v := uint8(0)
	if skipped {
		v = 1
	}
	w.c.bin(v, &w.ctx[ctxSkip+inc])
}

func (w *Writer) block(b *Block, pcm []byte, idr bool) {
	if !idr {
		w.c.bin(1, &w.ctx[ctxPredMode])
	}
	w.c.bin(1, &w.ctx[ctxPartMode])
	w.c.terminate(pcm != nil)
	if pcm != nil {
		w.c.finish()
		w.c.out.Buf = append(w.c.out.Buf, pcm...)
		w.c.start()
		return
	}
	w.c.bin(1, &w.ctx[ctxLuma]) // DC is the second of the most probable modes, always
	w.c.bypass(2, 2)
	w.c.bin(0, &w.ctx[ctxChroma])
	w.c.bin(1, &w.ctx[ctxSplit])
	cb := w.flag(any4(b.Levels[4:8]), ctxCbfC)
	cr := w.flag(any4(b.Levels[8:12]), ctxCbfC)
	for k := range 4 {
		l, u, v := b.Levels[k], b.Levels[4+k], b.Levels[8+k]
		if cb {
			w.flag(u != 0, ctxCbfC+1)
		}
		if cr {
			w.flag(v != 0, ctxCbfC+1)
		}
		w.flag(l != 0, ctxCbfLuma)
		w.level(int(l), 0)
		w.level(int(u), 1)
		w.level(int(v), 1)
	}
}

func (w *Writer) flag(v bool, ctx int) bool {
	b := uint8(0)
	if v {
		b = 1
	}
	w.c.bin(b, &w.ctx[ctx])
	return v
}

func any4(l []int16) bool { return l[0]|l[1]|l[2]|l[3] != 0 }

// level writes residual_coding (7.3.8.11) of a block with only a DC coefficient; nothing for 0.
func (w *Writer) level(v, chroma int) {
	if v == 0 {
		return
	}
	w.c.bin(0, &w.ctx[ctxLastX+chroma])
	w.c.bin(0, &w.ctx[ctxLastY+chroma])
	sign, abs := uint32(0), v
	if v < 0 {
		sign, abs = 1, -v
	}
	if w.flag(abs > 1, ctxGreater1+chroma) {
		w.flag(abs > 2, ctxGreater2+chroma)
	}
	w.c.bypass(sign, 1)
	if abs <= 2 {
		return
	}
	rest := uint32(abs - 3)
	if rest < 4 {
		w.c.bypass(1<<(rest+1)-2, int(rest)+1)
		return
	}
	rest -= 4 // four ones, then first order Exp-Golomb with a prefix of ones
	w.c.bypass(15, 4)
	k := 1
	for ; rest >= 1<<k; k++ {
		rest -= 1 << k
		w.c.bypass(1, 1)
	}
	w.c.bypass(0, 1)
	w.c.bypass(rest, k)
}
