package h265

import "skein/bench/sim/raster"

// Block is one coded 16x16 block.
type Block struct {
	Index int // raster order
	// PCM holds the samples (raster.PCMBytes) of a raw block, nil for one of flat cells.
	PCM []byte
	// Levels are the DC levels of flat cells: four 8x8 of luma, four 4x4 of Cb, four of Cr.
	Levels [12]int16
}

// Coder plans blocks and keeps the picture a decoder would have.
type Coder struct {
	Out *raster.Picture // decoded so far
}

// NewCoder returns a Coder for pictures of out's size, starting from out.
func NewCoder(out *raster.Picture) *Coder { return &Coder{Out: out} }

// Plan decides how to code block i with the look of src. Kind is Flat or PCM.
func (c *Coder) Plan(src *raster.Picture, i int, kind raster.Kind) Block {
	b := Block{Index: i}
	if kind == raster.PCM {
		b.PCM = src.AppendPCM(nil, i)
		c.Out.SetPCM(i, b.PCM)
		return b
	}
	x, y := i%src.Cols()*16, i/src.Cols()*16
	for k := range 4 {
		cx, cy := k%2, k/2
		b.Levels[k] = cell(c.Out.Y, src.Y, src.W, x+cx*8, y+cy*8, 8)
		b.Levels[4+k] = cell(c.Out.Cb, src.Cb, src.W/2, x/2+cx*4, y/2+cy*4, 4)
		b.Levels[8+k] = cell(c.Out.Cr, src.Cr, src.W/2, x/2+cx*4, y/2+cy*4, 4)
	}
	return b
}

// cell predicts one transform block in DC mode (8.4.4.2.5), returns the residual that gives it the mean of src, and
// paints it. Luma blocks (size 8) have their upper and left edge smoothed.
func cell(out, src []byte, stride, x, y, size int) int16 {
	var left, top [8]int
	neighbours(out, stride, x, y, left[:size], top[:size])
	dc := size
	for i := range size {
		dc += left[i] + top[i]
	}
	dc /= 2 * size
	var pred [8][8]int
	total := 0
	for r := range size {
		for i := range size {
			v := dc
			switch {
			case size != 8:
			case r == 0 && i == 0:
				v = (left[0] + 2*dc + top[0] + 2) >> 2
			case r == 0:
				v = (top[i] + 3*dc + 2) >> 2
			case i == 0:
				v = (left[r] + 3*dc + 2) >> 2
			}
			pred[r][i] = v
			total += v
		}
	}
	level := raster.Mean(src, stride, x, y, size, size) - (total+size*size/2)/(size*size)
	for r := range size {
		for i := range size {
			out[(y+r)*stride+x+i] = raster.Clip8(pred[r][i] + level)
		}
	}
	return int16(level)
}

// neighbours fills in the samples left of and above a block, with the substitution of 8.4.4.2.2.
func neighbours(out []byte, stride, x, y int, left, top []int) {
	for i := range left {
		left[i], top[i] = 128, 128
		if x > 0 {
			left[i] = int(out[(y+i)*stride+x-1])
		}
		if y > 0 {
			top[i] = int(out[(y-1)*stride+x+i])
		}
	}
	for i := range left {
		if x == 0 && y > 0 {
			left[i] = top[0]
		}
		if x > 0 && y == 0 {
			top[i] = left[0]
		}
	}
}
