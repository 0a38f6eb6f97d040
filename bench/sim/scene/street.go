package scene

import (
	"math/rand/v2"

	"skein/bench/sim/raster"
)

// palette is the light and the colours of one street.
type palette struct {
	zenith, horizon, far uint32
	walls                [6]uint32
}

func palettes() []palette {
	return []palette{
		{0x5b9bd5, 0xcfe4f3, 0x9db4c8, [6]uint32{0xc9a27e, 0xb5651d, 0xd8cfc0, 0x8c6f5a, 0xa9b7a0, 0xcdb38b}},
		{0x6aa6c8, 0xf3e3c3, 0xb3aba0, [6]uint32{0xb7c4c9, 0x9a5a48, 0xe0d3b8, 0x7a8796, 0xc08a6a, 0xd6d1c4}},
		{0x8fa3b5, 0xd9dee2, 0xa8b0b8, [6]uint32{0x8f8a86, 0xa57c65, 0xc4c0b6, 0x6f7d86, 0xb59a7a, 0x99a59a}},
		{0x4f8fd0, 0xe6eef5, 0x8fa9c4, [6]uint32{0xe2c9a6, 0x7f9aa8, 0xc46b4e, 0xd9d9d2, 0x8a9b72, 0xb98f74}},
	}
}

// Variants is the number of different streets.
const Variants = 4

// street draws on a grid of g samples.
type street struct {
	p    *raster.Picture
	g    int
	r    *rand.Rand
	look palette
}

// snap converts thousandths of a length to samples on the grid.
func (s *street) snap(thousandths, length int) int {
	return (thousandths*length/1000 + s.g/2) / s.g * s.g
}

// rect fills a rectangle given in thousandths of the picture, at least one cell in size.
func (s *street) rect(x0, y0, x1, y1 int, rgb uint32) {
	ax, ay, bx, by := s.snap(x0, s.p.W), s.snap(y0, s.p.H), s.snap(x1, s.p.W), s.snap(y1, s.p.H)
	s.p.Fill(ax, ay, max(bx-ax, s.g), max(by-ay, s.g), raster.RGB(rgb))
}

func mix(a, b uint32, num, den int) uint32 {
	out := uint32(0)
	for shift := 0; shift < 24; shift += 8 {
		x, y := int(a>>shift&255), int(b>>shift&255)
		out |= uint32(x+(y-x)*num/den) << shift
	}
	return out
}

// The street's horizontals, in thousandths of the height.
const (
	groundLine = 580 // foot of the buildings
	roadTop    = 640
	laneLine   = 775
	roadBottom = 915
)

func (s *street) draw() {
	s.sky()
	s.skyline()
	s.houses()
	s.road()
	s.furniture()
}

func (s *street) sky() {
	const bands = 18
	for i := range bands {
		y := i * groundLine / bands
		s.rect(0, y, 1000, y+groundLine/bands+2, mix(s.look.zenith, s.look.horizon, i, bands-1))
	}
	for range 5 {
		x, y, w := 480+s.r.IntN(480), 40+s.r.IntN(170), 60+s.r.IntN(90)
		white := mix(s.look.horizon, 0xffffff, 3, 4)
		s.rect(x, y, x+w, y+14, white)
		s.rect(x+w/5, y-12, x+w*7/10, y, white)
		s.rect(x+w/3, y+14, x+w*9/10, y+24, white)
	}
}

func (s *street) skyline() {
	for x := -20; x < 1000; {
		w, h := 35+s.r.IntN(60), 120+s.r.IntN(170)
		s.rect(x, groundLine-h, x+w, groundLine, mix(s.look.far, s.look.horizon, s.r.IntN(40), 100))
		x += w + s.r.IntN(12)
	}
}

func (s *street) houses() {
	for i, x := 0, 0; x < 1000; i++ {
		w, h := 105+s.r.IntN(95), 190+s.r.IntN(190)
		wall := s.look.walls[(i+s.r.IntN(2))%len(s.look.walls)]
		top := groundLine - h
		s.rect(x, top, x+w, groundLine, wall)
		s.rect(x, top, x+w, top+14, mix(wall, 0x302820, 1, 2)) // cornice
		s.rect(x+w-8, top, x+w, groundLine, mix(wall, 0x000000, 1, 4))
		for y := top + 36; y < groundLine-90; y += 52 {
			for wx := x + 14; wx+16 < x+w-12; wx += 29 {
				glass := mix(0x34485a, 0x6d8aa0, s.r.IntN(8), 8)
				if s.r.IntN(9) == 0 {
					glass = 0xf2dfa0
				}
				s.rect(wx, y, wx+16, y+28, glass)
				s.rect(wx, y+28, wx+16, y+34, mix(wall, 0xffffff, 1, 2))
			}
		}
		s.shop(x, w)
		x += w
	}
}

func (s *street) shop(x, w int) {
	signs := []uint32{0xa83232, 0x2f6f4f, 0x2c5a9a, 0xc98a1b, 0x6d3f7c}
	sign := signs[s.r.IntN(len(signs))]
	s.rect(x+6, groundLine-80, x+w-8, groundLine-58, sign)
	s.rect(x+6, groundLine-58, x+w-8, groundLine, 0x3a4650)
	for wx := x + 14; wx+26 < x+w-8; wx += 36 {
		s.rect(wx, groundLine-50, wx+26, groundLine-8, mix(0x9fb6c3, 0xf5e6b8, s.r.IntN(6), 8))
	}
	for wx := x + 10; wx+9 < x+w-12; wx += 18 {
		s.rect(wx, groundLine-76, wx+9, groundLine-64, mix(sign, 0xffffff, 2, 3))
	}
}

func (s *street) road() {
	s.rect(0, groundLine, 1000, roadTop, 0xb4b0a8)
	s.rect(0, roadTop-12, 1000, roadTop, 0x8b8781)
	s.rect(0, roadTop, 1000, roadBottom, 0x55585c)
	s.rect(0, roadTop+10, 1000, roadTop+16, 0xc9c9c4)
	for x := 20; x < 1000; x += 80 {
		s.rect(x, laneLine-4, x+42, laneLine+4, 0xe2c044)
	}
	for y := roadTop + 24; y < roadBottom-20; y += 34 {
		s.rect(560, y, 640, y+17, 0xd9d9d4)
	}
	s.rect(0, roadBottom, 1000, roadBottom+12, 0x8b8781)
	s.rect(0, roadBottom+12, 1000, 1000, 0xa8a399)
	for x := 0; x < 1000; x += 50 {
		s.rect(x, roadBottom+12, x+2, 1000, 0x989388)
	}
}

func (s *street) furniture() {
	for _, x := range []int{130, 430, 730, 985} {
		s.rect(x, 300, x+4, roadTop-12, 0x4a4f55)
		s.rect(x-26, 296, x+4, 304, 0x4a4f55)
		s.rect(x-30, 304, x-16, 312, 0xf6f1d8)
	}
	s.rect(654, 470, 658, roadTop-10, 0x3a3f44)
	s.rect(648, 430, 664, 500, 0x2a2d30)
	s.rect(652, 438, 660, 454, 0x8a2020)
	s.rect(652, 458, 660, 474, 0x8a7420)
	s.rect(652, 478, 660, 494, 0x35c060)
}
