package scene

import "skein/bench/sim/raster"

// greens are the colours of leaves.
func greens() []uint32 {
	return []uint32{0x3f6b2f, 0x4d7f37, 0x5c9140, 0x345a2a, 0x6fa34a, 0x47752f}
}

// makeTiles prepares blocks of leaves, sample by sample. No sample is below 16, so that none looks like a start code.
func (s *Scene) makeTiles() {
	var hues []raster.Colour
	for _, g := range greens() {
		hues = append(hues, raster.RGB(g))
	}
	p := raster.New(16, 16)
	for range 64 {
		for y := 0; y < 16; y += 2 {
			for x := 0; x < 16; x += 2 {
				c := hues[s.r.IntN(len(hues))]
				p.Fill(x, y, 2, 2, c)
				p.Y[y*16+x] = uint8(max(16, int(c.Y)-s.r.IntN(24)))
				p.Y[y*16+16+x+1] = c.Y + uint8(s.r.IntN(20))
			}
		}
		s.tile = append(s.tile, p.AppendPCM(nil, 0))
	}
}

// plant draws the trees. Their crowns are whole blocks; as many of them move as the bitrate has room for.
func (s *Scene) plant(st *street) {
	p := s.still
	perFrame := max(0, s.Spec.FrameBytes()*9/10-s.Layout.MovingBytes(s.Spec.FPS)) / (raster.PCMBytes + 2)
	var crown []int
	for i, x := range []int{40, 250, 345, 520, 815, 905} {
		st.rect(x, 470, x+9, roadTop-20, 0x5a4330)
		cx, cy := st.snap(x+4, p.W)/16, st.snap(425+i%2*20, p.H)/16
		rx, ry := max(p.W*34/1000/16, 1), max(p.H*75/1000/16, 1)
		for by := cy - ry; by <= cy+ry; by++ {
			for bx := max(cx-rx, 0); bx <= min(cx+rx, p.Cols()-1); bx++ {
				dx, dy := (bx-cx)*100/(rx+1), (by-cy)*100/(ry+1)
				if dx*dx+dy*dy <= 8600 && by >= s.Layout.Bottom() {
					crown = append(crown, by*p.Cols()+bx)
				}
			}
		}
	}
	s.r.Shuffle(len(crown), func(i, j int) { crown[i], crown[j] = crown[j], crown[i] })
	moving := min(3*perFrame, len(crown))
	hues := greens()
	for i, b := range crown {
		if i < moving {
			p.SetPCM(b, s.tile[s.r.IntN(len(s.tile))])
			continue
		}
		for y := 0; y < 16; y += s.Spec.Cell {
			for x := 0; x < 16; x += s.Spec.Cell {
				p.Fill(b%p.Cols()*16+x, b/p.Cols()*16+y, s.Spec.Cell, s.Spec.Cell, raster.RGB(hues[s.r.IntN(len(hues))]))
			}
		}
	}
	s.leaves = crown[:moving]
}
