package scene

import (
	"math/rand/v2"

	"skein/bench/sim/raster"
)

// Spec describes a scene. Equal specs give equal pictures.
type Spec struct {
	Width, Height int
	FPS, GOP      int  // pictures
	Cell          int  // side of the finest flat cell the coder has: 4 or 8 samples
	Variant       int  // 0 to Variants-1
	Bitrate       int  // bit/s to fill with moving leaves
	Hall          bool // the hall of a community instead of a street
	Calm          bool // little moves: a clock of whole seconds, no frame number, hardly any traffic
}

// FrameBytes is the mean size of a picture at the bitrate.
func (s Spec) FrameBytes() int { return s.Bitrate / 8 / s.FPS }

// Loop returns after how many pictures a scene repeats: whole GOPs, about 8 s.
func (s Spec) Loop() int { return s.GOP * max(1, 8*s.FPS/s.GOP) }

// Scene is a moving picture of Spec.Loop pictures, seen one after the other. Text areas are left blank.
type Scene struct {
	Spec    Spec
	Layout  Layout
	Picture *raster.Picture // the current picture; read only
	Kinds   []raster.Kind   // how its blocks changed, or how they look if it is a key frame

	still  *raster.Picture // without traffic
	lanes  []lane
	leaves []int // blocks of moving leaves
	texts  []bool
	r      *rand.Rand
	tile   [][]byte // samples of leaves
	frame  int
	turn   int // next of leaves to move
}

// New draws the first picture of a scene.
func New(spec Spec) *Scene {
	s := &Scene{Spec: spec, still: raster.New(spec.Width, spec.Height), r: rand.New(rand.NewPCG(uint64(spec.Variant), 7))}
	s.Layout = NewLayout(s.still, spec.FrameBytes())
	s.Layout.calm = spec.Calm
	s.Kinds = make([]raster.Kind, s.still.Cols()*s.still.Rows())
	s.texts = make([]bool, len(s.Kinds))
	st := &street{p: s.still, g: spec.Cell, r: s.r, look: palettes()[spec.Variant%Variants]}
	s.makeTiles()
	if spec.Hall {
		st.hall()
	} else {
		st.draw()
		s.plant(st)
	}
	s.Layout.mark(func(b int) {
		s.texts[b] = true
		s.still.Fill(b%s.still.Cols()*16, b/s.still.Cols()*16, 16, 16, raster.Colour{Y: paper, Cb: 128, Cr: 128})
	})
	switch {
	case spec.Hall:
		s.lanes = walkers(st, spec.Loop())
	default:
		s.lanes = lanes(st, spec.Loop(), spec.Calm)
	}
	s.Picture = s.still.Clone()
	s.traffic(0)
	s.Refresh()
	return s
}

// IsText tells whether block b belongs to the text area.
func (s *Scene) IsText(b int) bool { return s.texts[b] }

// Refresh sets Kinds for coding the current picture as a key frame.
func (s *Scene) Refresh() {
	for i := range s.Kinds {
		s.Kinds[i] = raster.Flat
		if s.texts[i] {
			s.Kinds[i] = raster.PCM
		}
	}
	for _, b := range s.leaves {
		s.Kinds[b] = raster.PCM
	}
}

// Advance draws the next picture and sets Kinds to what changed; up to budget bytes go into leaves.
func (s *Scene) Advance(budget int) {
	clear(s.Kinds)
	for _, l := range s.lanes {
		l.visit(s.frame, s.Picture.W, func(c car, x int) { s.restore(x, l.y, c.w, l.height) })
	}
	s.frame = (s.frame + 1) % s.Spec.Loop()
	s.traffic(s.frame)
	for range min(budget/(raster.PCMBytes+2), len(s.leaves)) {
		b := s.leaves[s.turn%len(s.leaves)]
		s.turn++
		s.Picture.SetPCM(b, s.tile[s.r.IntN(len(s.tile))])
		s.Kinds[b] = raster.PCM
	}
}

func (s *Scene) traffic(i int) {
	for _, l := range s.lanes {
		l.visit(i, s.Picture.W, func(c car, x int) {
			l.draw(s.Picture, s.Spec.Cell, c, x)
			s.touch(x, l.y, c.w, l.height)
		})
	}
}

// touch marks the blocks of a rectangle as changed, with one cell of margin.
func (s *Scene) touch(x, y, w, h int) (x0, y0, x1, y1 int) {
	const g = raster.Size
	x0, y0 = max(x, 0)/g, y/g
	x1, y1 = min((x+w+s.Spec.Cell-1)/g, s.Picture.Cols()-1), min((y+h+s.Spec.Cell-1)/g, s.Picture.Rows()-1)
	for by := y0; by <= y1; by++ {
		for bx := x0; bx <= x1; bx++ {
			s.Kinds[by*s.Picture.Cols()+bx] = raster.Flat
		}
	}
	return x0, y0, x1, y1
}

// restore takes the blocks of a rectangle back from the still picture.
func (s *Scene) restore(x, y, w, h int) {
	x0, y0, x1, y1 := s.touch(x, y, w, h)
	var buf [raster.PCMBytes]byte
	for by := y0; by <= y1; by++ {
		for bx := x0; bx <= x1; bx++ {
			b := by*s.Picture.Cols() + bx
			s.Picture.SetPCM(b, s.still.AppendPCM(buf[:0], b))
		}
	}
}
