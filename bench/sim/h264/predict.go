package h264

import "skein/bench/sim/raster"

// plane is one colour plane: what is decoded, what is wanted, and their common stride.
type plane struct {
	out, src []byte
	stride   int
}

// Prediction modes, numbered as intra_chroma_pred_mode.
const (
	modeDC = iota
	modeHorizontal
	modeVertical
)

// choice is one way to predict a macroblock's n x n cells of 4x4 samples, and the residual that corrects it.
type choice struct {
	mode, n, cost int
	ok            bool
	value         [16]int // the cells' values after correction
	coefs         [16]int // Hadamard coefficients of the residual, raster order
}

func (c *choice) any() bool {
	for _, v := range c.coefs {
		if v != 0 {
			return true
		}
	}
	return false
}

// scan returns the luma coefficients in zig-zag order (8.5.6).
func (c *choice) scan() []int {
	order := [16]int{0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15}
	out := make([]int, 16)
	for i, o := range order {
		out[i] = c.coefs[o]
	}
	return out
}

// apply paints the cells into the decoded plane.
func (c *choice) apply(out []byte, stride, x, y int) {
	for i := range c.n * c.n {
		v := raster.Clip8(c.value[i])
		for r := range 4 {
			o := (y+i/c.n*4+r)*stride + x + i%c.n*4
			for k := range 4 {
				out[o+k] = v
			}
		}
	}
}

// means returns what n x n cells should look like.
func (p plane) means(x, y, n int) (out [16]int) {
	for i := range n * n {
		out[i] = raster.Mean(p.src, p.stride, x+i%n*4, y+i/n*4, 4, 4)
	}
	return out
}

// predict returns the cheapest of the modes.
func (p plane) predict(x, y, n int) choice {
	want := p.means(x, y, n)
	best := p.predictMode(&want, x, y, n, modeDC)
	for _, m := range []int{modeHorizontal, modeVertical} {
		if best.cost == 0 {
			break
		}
		if alt := p.predictMode(&want, x, y, n, m); alt.ok && alt.cost < best.cost {
			best = alt
		}
	}
	return best
}

// predictPair returns the mode that is cheapest for both chroma planes.
func predictPair(cb, cr plane, x, y int) (best [2]choice, mode int) {
	wantB, wantR := cb.means(x, y, 2), cr.means(x, y, 2)
	cost := -1
	for m := range 3 {
		b := cb.predictMode(&wantB, x, y, 2, m)
		r := cr.predictMode(&wantR, x, y, 2, m)
		if b.ok && r.ok && (cost < 0 || b.cost+r.cost < cost) {
			best, mode, cost = [2]choice{b, r}, m, b.cost+r.cost
		}
		if cost == 0 {
			break
		}
	}
	return best, mode
}

// predictMode predicts cells of wanted values in one mode. It is not ok when neighbours are missing or would not
// predict every cell as one flat value.
func (p plane) predictMode(want *[16]int, x, y, n, mode int) choice {
	ch := choice{mode: mode, n: n, value: *want}
	var pred [16]int
	switch mode {
	case modeHorizontal:
		ch.ok = p.edge(pred[:], x, y, n, true)
	case modeVertical:
		ch.ok = p.edge(pred[:], x, y, n, false)
	case modeDC:
		ch.ok = true
		p.dc(pred[:], x, y, n)
	}
	if !ch.ok {
		return ch
	}
	var w [16]int
	for i := range n * n {
		w[i] = want[i] - pred[i]
	}
	ch.coefs = hadamard(w, n)
	for _, v := range ch.coefs {
		if v != 0 {
			ch.cost += 2
			for v = max(v, -v); v > 0; v >>= 1 {
				ch.cost++
			}
		}
	}
	return ch
}

// edge predicts every cell from the column left of it or the row above it.
func (p plane) edge(pred []int, x, y, n int, left bool) bool {
	if left && x == 0 || !left && y == 0 {
		return false
	}
	for i := range n {
		first := 0
		for k := range 4 {
			o := (y-1)*p.stride + x + i*4 + k
			if left {
				o = (y+i*4+k)*p.stride + x - 1
			}
			v := int(p.out[o])
			if k == 0 {
				first = v
			} else if v != first {
				return false
			}
		}
		for j := range n {
			if left {
				pred[i*n+j] = first
			} else {
				pred[j*n+i] = first
			}
		}
	}
	return true
}

// dc predicts from means: one for a luma macroblock (8.3.3.3), one per cell for chroma (8.3.4).
func (p plane) dc(pred []int, x, y, n int) {
	if n == 4 {
		v := p.mean(x, y, 16, y > 0, x > 0, 0, 0)
		for i := range 16 {
			pred[i] = v
		}
		return
	}
	top, left := y > 0, x > 0
	pred[0] = p.mean(x, y, 4, top, left, 0, 0)
	pred[1] = p.mean(x, y, 4, top, left && !top, 4, 0)
	pred[2] = p.mean(x, y, 4, top && !left, left, 0, 4)
	pred[3] = p.mean(x, y, 4, top, left, 4, 4)
}

// mean averages size samples above (at dx) and left (at dy) of the macroblock at x, y; 128 without any.
func (p plane) mean(x, y, size int, top, left bool, dx, dy int) int {
	sum, n := 0, 0
	if top {
		for _, v := range p.out[(y-1)*p.stride+x+dx:][:size] {
			sum += int(v)
		}
		n += size
	}
	if left {
		for r := range size {
			sum += int(p.out[(y+dy+r)*p.stride+x-1])
		}
		n += size
	}
	if n == 0 {
		return 128
	}
	return (sum + n/2) / n
}

// hadamard transforms n x n residuals (n is 2 or 4) so that the decoder's inverse transform gives them back exactly.
func hadamard(w [16]int, n int) [16]int {
	if n == 2 {
		a, b, c, d := w[0], w[1], w[2], w[3]
		return [16]int{a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d}
	}
	for _, pass := range [2]struct{ step, stride int }{{1, 4}, {4, 1}} {
		for i := range 4 {
			o := i * pass.stride
			k := pass.step
			a, b, c, d := w[o], w[o+k], w[o+2*k], w[o+3*k]
			w[o], w[o+k], w[o+2*k], w[o+3*k] = a+b+c+d, a+b-c-d, a-b-c+d, a-b+c-d
		}
	}
	return w
}
