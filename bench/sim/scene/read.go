package scene

import (
	"errors"
	"math"
	"time"

	"skein/bench/sim/raster"
)

// Luma returns a sample of a picture of the layout's size; any linear range of values will do.
type Luma func(x, y int) float64

// ErrNoText tells that there is no clock where it should be drawn.
var ErrNoText = errors.New("no clock is drawn in the picture")

// legible is the least correlation of a drawn character with the one it is taken for.
const legible = 0.7

// Read returns what Text.Set drew: the time, in zone, and the last seven digits of the frame number. It stands lossy
// compression and other sizes that were scaled back.
func (l Layout) Read(f *Font, luma Luma, zone *time.Location) (wall time.Time, counter uint64, err error) {
	format := []byte("2006-01-02 15:04:05.000")
	for i, c := range format {
		if c < '0' || c > '9' {
			continue
		}
		d, ok := l.digit(f, luma, l.clock, i)
		if !ok {
			return time.Time{}, 0, ErrNoText
		}
		format[i] = '0' + byte(d)
	}
	for i := l.label.cells - counterCells + 1; i < l.label.cells; i++ {
		d, ok := l.digit(f, luma, l.label, i)
		if !ok {
			return time.Time{}, 0, ErrNoText
		}
		counter = 10*counter + uint64(d)
	}
	wall, err = time.ParseInLocation("2006-01-02 15:04:05.000", string(format), zone)
	return wall, counter, err
}

// digit returns which digit is drawn in cell i of a line, and whether any is.
func (l Layout) digit(f *Font, luma Luma, n line, i int) (best int, ok bool) {
	x0, y0 := (n.col+i*n.size.W)*raster.Size, n.row*raster.Size
	w, h := n.size.W*raster.Size, n.size.H*raster.Size
	seen := make([]float64, 0, w*h) // in the order of a cell's samples
	for b := range n.size.W * n.size.H {
		for k := range raster.Size * raster.Size {
			x, y := b%n.size.W*raster.Size+k%raster.Size, b/n.size.W*raster.Size+k/raster.Size
			seen = append(seen, luma(x0+x, y0+y))
		}
	}
	most := legible
	for d := range 10 {
		if c := correlation(seen, f.cell(rune('0'+d), n.size)[0]); c > most {
			best, most, ok = d, c, true
		}
	}
	return best, ok
}

// correlation compares the luma of seen blocks with that of a cell.
func correlation(seen []float64, cell []byte) float64 {
	const luma = raster.Size * raster.Size
	var sumA, sumB, squaresA, squaresB, both float64
	for i, a := range seen {
		b := float64(cell[i/luma*raster.PCMBytes+i%luma])
		sumA, sumB = sumA+a, sumB+b
		squaresA, squaresB, both = squaresA+a*a, squaresB+b*b, both+a*b
	}
	n := float64(len(seen))
	spread := math.Sqrt((squaresA - sumA*sumA/n) * (squaresB - sumB*sumB/n))
	if spread == 0 {
		return 0
	}
	return (both - sumA*sumB/n) / spread
}
