// Package raster holds uncompressed 4:2:0 pictures as the synthetic coders see them: 16x16 blocks, each of which is
// either left as in the picture before, painted in flat cells, or sent sample by sample.
//
// It owns no goroutine and knows no codec.
package raster

// Size is the side of a block in luma samples: a macroblock of H.264, a coding tree block of our H.265.
const Size = 16

// PCMBytes is the size of one block's samples: 16x16 luma, then 8x8 of each chroma plane.
const PCMBytes = Size*Size + 2*(Size/2)*(Size/2)

// Kind tells how a block of a picture is coded.
type Kind uint8

// The kinds of blocks.
const (
	Skip Kind = iota // as in the previous picture
	Flat             // cells of one colour each, predicted from the neighbours
	PCM              // raw samples
)

// Patch is one block given sample by sample.
type Patch struct {
	Index   int    // in raster order of the picture
	Samples []byte // PCMBytes of them; shared, not to be written to
}

// Picture is an 8 bit 4:2:0 picture whose sides are multiples of Size.
type Picture struct {
	W, H      int // luma samples
	Y, Cb, Cr []byte
}

// New returns a picture of at least w x h luma samples, rounded up to whole blocks, all samples zero.
func New(w, h int) *Picture {
	w, h = (w+Size-1)/Size*Size, (h+Size-1)/Size*Size
	return &Picture{W: w, H: h, Y: make([]byte, w*h), Cb: make([]byte, w*h/4), Cr: make([]byte, w*h/4)}
}

// Clone returns a deep copy.
func (p *Picture) Clone() *Picture {
	q := New(p.W, p.H)
	q.CopyFrom(p)
	return q
}

// CopyFrom copies the samples of src, which has the same size.
func (p *Picture) CopyFrom(src *Picture) {
	copy(p.Y, src.Y)
	copy(p.Cb, src.Cb)
	copy(p.Cr, src.Cr)
}

// Cols and Rows are the picture's size in blocks.
func (p *Picture) Cols() int { return p.W / Size }

// Rows is the picture's height in blocks.
func (p *Picture) Rows() int { return p.H / Size }

// Colour is a point of the YCbCr space (BT.709, studio range).
type Colour struct{ Y, Cb, Cr uint8 }

// RGB converts a full range sRGB colour.
func RGB(rgb uint32) Colour {
	r, g, b := float64(rgb>>16&255), float64(rgb>>8&255), float64(rgb&255)
	y := 0.2126*r + 0.7152*g + 0.0722*b
	return Colour{
		Y:  uint8(16.5 + y*219/255),
		Cb: uint8(128.5 + (b-y)/1.8556*224/255),
		Cr: uint8(128.5 + (r-y)/1.5748*224/255),
	}
}

// Fill paints the rectangle, clipped to the picture. Odd edges take the chroma of the samples they share.
func (p *Picture) Fill(x, y, w, h int, c Colour) {
	x1, y1 := min(x+w, p.W), min(y+h, p.H)
	x, y = max(x, 0), max(y, 0)
	for r := y; r < y1; r++ {
		row := p.Y[r*p.W:]
		for i := x; i < x1; i++ {
			row[i] = c.Y
		}
	}
	cw := p.W / 2
	for r := y / 2; r < (y1+1)/2; r++ {
		for i := x / 2; i < (x1+1)/2; i++ {
			p.Cb[r*cw+i], p.Cr[r*cw+i] = c.Cb, c.Cr
		}
	}
}

// AppendPCM appends the samples of block b (raster order) to dst: PCMBytes bytes.
func (p *Picture) AppendPCM(dst []byte, b int) []byte {
	x, y := b%p.Cols()*Size, b/p.Cols()*Size
	for r := range Size {
		o := (y+r)*p.W + x
		dst = append(dst, p.Y[o:o+Size]...)
	}
	for _, plane := range [][]byte{p.Cb, p.Cr} {
		for r := range Size / 2 {
			o := (y/2+r)*p.W/2 + x/2
			dst = append(dst, plane[o:o+Size/2]...)
		}
	}
	return dst
}

// SetPCM puts PCMBytes samples into block b.
func (p *Picture) SetPCM(b int, pcm []byte) {
	x, y := b%p.Cols()*Size, b/p.Cols()*Size
	for r := range Size {
		copy(p.Y[(y+r)*p.W+x:], pcm[r*Size:(r+1)*Size])
	}
	pcm = pcm[Size*Size:]
	for _, plane := range [][]byte{p.Cb, p.Cr} {
		for r := range Size / 2 {
			copy(plane[(y/2+r)*p.W/2+x/2:], pcm[r*Size/2:(r+1)*Size/2])
		}
		pcm = pcm[Size*Size/4:]
	}
}

// Mean returns the rounded mean of a w x h area of a plane with the given stride.
func Mean(plane []byte, stride, x, y, w, h int) int {
	sum := 0
	for r := y; r < y+h; r++ {
		for _, v := range plane[r*stride+x : r*stride+x+w] {
			sum += int(v)
		}
	}
	return (sum + w*h/2) / (w * h)
}

// Clip8 limits v to a sample's range.
func Clip8(v int) uint8 { return uint8(min(max(v, 0), 255)) }
