package scene

import (
	"time"

	"skein/bench/sim/raster"
)

// line is a row of character cells at a place of the picture, in blocks.
type line struct {
	col, row, cells int
	size            Cell
}

// wholeSeconds is the clock's format as far as a calm picture shows it.
const wholeSeconds = "2006-01-02 15:04:05"

const (
	clockCells   = 23 // 2006-01-02 15:04:05.000
	counterCells = 8  // # and the frame number's last seven digits
)

// Layout is where the text is: the clock, and below it name and frame number.
type Layout struct {
	clock, label line
	cols         int
	calm         bool // no thousandths and no frame number
}

// NewLayout chooses the text's size for a picture. frameBytes is the target size of a picture between key frames.
func NewLayout(p *raster.Picture, frameBytes int) Layout {
	l := Layout{cols: p.Cols()}
	switch {
	case p.H >= 1000 && frameBytes >= 12000:
		l.clock = line{1, 1, clockCells, big()}
		l.label = line{1, 5, 46, normal()}
	case p.H >= 700:
		l.clock = line{1, 1, clockCells, normal()}
		l.label = line{1, 3, 34, normal()}
	default:
		l.clock = line{1, 1, clockCells, small()}
		l.label = line{1, 2, clockCells, small()}
	}
	return l
}

// Bottom is the first row of blocks below all text.
func (l Layout) Bottom() int { return l.label.row + l.label.size.H }

// Last is the last block of text in raster order; it changes in every picture.
func (l Layout) Last() int {
	return (l.Bottom()-1)*l.cols + l.label.col + l.label.cells*l.label.size.W - 1
}

// MovingBytes is about what the changing digits of one picture cost, on average, at a picture rate.
func (l Layout) MovingBytes(fps int) int {
	if l.calm {
		blocks := 1.1 / float64(fps) * float64(l.clock.size.W*l.clock.size.H) // seconds, and the last block
		return int((blocks + 1) * (raster.PCMBytes + 2))
	}
	digits := float64(fps + min(fps, 10) + 1) // hundredths, tenths, seconds
	if 1000%fps != 0 || 1000/fps%10 != 0 {
		digits += float64(fps) // thousandths
	}
	blocks := digits/float64(fps)*float64(l.clock.size.W*l.clock.size.H) + 1.1*float64(l.label.size.W*l.label.size.H)
	return int(blocks * (raster.PCMBytes + 2))
}

// Text is the text of one camera at one moment.
type Text struct {
	layout  Layout
	font    *Font
	clock   [][]byte // cells
	label   [][]byte
	shown   [2][][]byte // what the decoder shows, by line
	scratch []byte
}

// NewText returns the text of a camera. Characters the font lacks are left out; what does not fit is cut.
func NewText(l Layout, f *Font, name string) *Text {
	t := &Text{layout: l, font: f}
	blank := f.cell(' ', l.label.size)[0]
	room := l.label.cells - counterCells - 1
	for _, r := range name {
		if c := f.cell(r, l.label.size); len(t.label)+len(c) <= room {
			t.label = append(t.label, c...)
		}
	}
	for len(t.label) < l.label.cells {
		t.label = append(t.label, blank)
	}
	t.clock = make([][]byte, l.clock.cells)
	t.shown = [2][][]byte{make([][]byte, l.clock.cells), make([][]byte, l.label.cells)}
	return t
}

// Set makes the text show a time (in its own zone) and a frame number.
func (t *Text) Set(wall time.Time, frame uint64) {
	t.scratch = wall.AppendFormat(t.scratch[:0], "2006-01-02 15:04:05.000")
	if t.layout.calm {
		copy(t.scratch[len(wholeSeconds):], "    ")
	}
	for i, c := range t.scratch[:len(t.clock)] {
		t.clock[i] = t.font.cell(rune(c), t.layout.clock.size)[0]
	}
	if t.layout.calm {
		return
	}
	counter := t.label[len(t.label)-counterCells:]
	counter[0] = t.font.cell('#', t.layout.label.size)[0]
	for i := counterCells - 1; i > 0; i-- {
		counter[i] = t.font.cell(rune('0'+frame%10), t.layout.label.size)[0]
		frame /= 10
	}
}

// Append appends the blocks that differ from what was appended before (all of them if all is set, else at least the
// last one) in raster order.
func (t *Text) Append(dst []raster.Patch, all bool) []raster.Patch {
	dst = t.appendLine(dst, t.layout.clock, t.clock, t.shown[0], all, false)
	return t.appendLine(dst, t.layout.label, t.label, t.shown[1], all, true)
}

func (t *Text) appendLine(dst []raster.Patch, l line, cells, shown [][]byte, all, last bool) []raster.Patch {
	for y := range l.size.H {
		for i, c := range cells {
			if !all && &c[0] == first(shown[i]) && !(last && i == len(cells)-1) {
				continue
			}
			for x := range l.size.W {
				dst = append(dst, raster.Patch{
					Index:   (l.row+y)*t.layout.cols + l.col + i*l.size.W + x,
					Samples: c[(y*l.size.W+x)*raster.PCMBytes:][:raster.PCMBytes],
				})
			}
		}
	}
	copy(shown, cells)
	return dst
}

func first(b []byte) *byte {
	if len(b) == 0 {
		return nil
	}
	return &b[0]
}

// mark calls f for every block of text.
func (l Layout) mark(f func(block int)) {
	for _, n := range []line{l.clock, l.label} {
		for y := range n.size.H {
			for x := range n.cells * n.size.W {
				f((n.row+y)*l.cols + n.col + x)
			}
		}
	}
}
