package h264

import "skein/bench/sim/raster"

const (
	frameNumBits = 16
	naluP        = 0x61 // nal_ref_idc 3, non-IDR slice
	naluIDR      = 0x65 // nal_ref_idc 3, IDR slice
	mbPCM        = 25   // mb_type I_PCM of table 7-11
	mbIntraInP   = 5    // offset of the intra types in P slices
)

// PutIDRHeader starts the payload of an IDR picture's only slice. Two IDR pictures in a row need different ids, of
// which there are four here.
func PutIDRHeader(w *raster.Bits, id uint32) {
	w.UE(0) // first_mb_in_slice
	w.UE(7) // all slices are I
	w.UE(0)
	w.Put(0, frameNumBits)
	w.UE(3 + id%4) // always five bits, for SetIDRID
	w.Put(0, 2)    // dec_ref_pic_marking
	putQuant(w)
}

// SetIDRID changes the id in a payload begun by PutIDRHeader.
func SetIDRID(rbsp []byte, id uint32) {
	// The id's two low bits come after first_mb, slice_type, parameter set, frame_num and 001: bits 28 and 29.
	rbsp[3] = rbsp[3]&^0x0c | byte(id%4)<<2
}

// PutPHeader starts the payload of a P picture's only slice, the frameNum-th picture after its IDR picture.
func PutPHeader(w *raster.Bits, frameNum uint32) {
	w.UE(0)
	w.UE(5) // all slices are P
	w.UE(0)
	w.Put(frameNum, frameNumBits)
	w.Put(0, 3) // default reference, sliding window
	putQuant(w)
}

func putQuant(w *raster.Bits) {
	w.SE(0) // slice_qp_delta
	w.UE(1) // disable_deblocking_filter_idc
}

// PutPCMHeaderP writes what precedes the samples of an I_PCM macroblock in a P slice, after skip skipped ones.
func PutPCMHeaderP(w *raster.Bits, skip int) {
	w.UE(uint32(skip))
	w.UE(mbPCM + mbIntraInP)
	w.Align()
}

// AppendNALU wraps a slice payload.
func AppendNALU(dst, rbsp []byte, idr bool) []byte {
	if idr {
		return raster.Escape(append(dst, naluIDR), rbsp)
	}
	return raster.Escape(append(dst, naluP), rbsp)
}

// Coder writes macroblocks and keeps the picture a decoder would have.
type Coder struct {
	Out *raster.Picture // decoded so far; the caller may paint areas that it codes by itself
	pcm []bool          // macroblocks of the current picture sent as samples
	t   *tables
}

// NewCoder returns a Coder for pictures of out's size, starting from out.
func NewCoder(out *raster.Picture) *Coder {
	return &Coder{Out: out, pcm: make([]bool, out.Cols()*out.Rows()), t: newTables()}
}

// Begin starts a new picture.
func (c *Coder) Begin() { clear(c.pcm) }

// CodeI writes macroblock mb of an I slice with the look of src. It returns the offset in w.Buf of the samples if the
// macroblock became I_PCM, else -1: a Flat one does when its contrast is beyond what one level can carry.
func (c *Coder) CodeI(w *raster.Bits, src *raster.Picture, mb int, kind raster.Kind) int {
	return c.code(w, src, mb, kind, 0)
}

// CodeP writes macroblock mb of a P slice after skip skipped ones, like CodeI. Kind is Flat or PCM.
func (c *Coder) CodeP(w *raster.Bits, src *raster.Picture, mb int, kind raster.Kind, skip int) int {
	w.UE(uint32(skip))
	return c.code(w, src, mb, kind, mbIntraInP)
}

func (c *Coder) code(w *raster.Bits, src *raster.Picture, mb int, kind raster.Kind, base uint32) int {
	if kind == raster.Flat && c.codeFlat(w, src, mb, base) {
		return -1
	}
	w.UE(base + mbPCM)
	w.Align()
	at := len(w.Buf)
	w.Buf = src.AppendPCM(w.Buf, mb)
	c.Out.SetPCM(mb, w.Buf[at:])
	c.pcm[mb] = true
	return at
}

// codeFlat writes an Intra_16x16 macroblock whose 4x4 luma and chroma cells are the means of src's.
func (c *Coder) codeFlat(w *raster.Bits, src *raster.Picture, mb int, base uint32) bool {
	cols := c.Out.Cols()
	x, y := mb%cols, mb/cols
	luma := plane{c.Out.Y, src.Y, c.Out.W}.predict(x*16, y*16, 4)
	cb, cr := plane{c.Out.Cb, src.Cb, c.Out.W / 2}, plane{c.Out.Cr, src.Cr, c.Out.W / 2}
	chroma, mode := predictPair(cb, cr, x*8, y*8)
	for _, l := range luma.coefs {
		if max(l, -l) > maxLevel {
			return false
		}
	}
	cbp := uint32(0)
	if chroma[0].any() || chroma[1].any() {
		cbp = 1
	}
	// Modes count from DC here and for chroma (DC, horizontal, vertical); Intra16x16PredMode counts the other way.
	w.UE(base + 1 + [...]uint32{2, 1, 0}[luma.mode] + 4*cbp)
	w.UE(uint32(mode))
	w.SE(0) // mb_qp_delta
	c.t.block(w, luma.scan(), c.context(mb, x, y))
	if cbp == 1 {
		c.t.block(w, chroma[0].coefs[:4], chromaDC)
		c.t.block(w, chroma[1].coefs[:4], chromaDC)
	}
	luma.apply(c.Out.Y, c.Out.W, x*16, y*16)
	chroma[0].apply(c.Out.Cb, c.Out.W/2, x*8, y*8)
	chroma[1].apply(c.Out.Cr, c.Out.W/2, x*8, y*8)
	return true
}

// context returns nC (9.2.1): neighbours have 16 coefficients a block when sent as samples, else none.
func (c *Coder) context(mb, x, y int) int {
	count := func(have bool, i int) int {
		if have && c.pcm[i] {
			return 16
		}
		return 0
	}
	a, b := count(x > 0, mb-1), count(y > 0, mb-c.Out.Cols())
	if x > 0 && y > 0 {
		return (a + b + 1) / 2
	}
	return a + b
}
