package scene

import "skein/bench/sim/raster"

// lane is a row of vehicles that all move with one speed; the row repeats after period samples.
type lane struct {
	y, height     int
	speed, period int // samples a picture (negative: to the left), and the row's length
	cars          []car
	people        bool // instead of vehicles
}

type car struct {
	at, w  int
	colour uint32
	bus    bool
}

// lanes makes traffic that returns to its start after loop pictures.
func lanes(s *street, loop int, calm bool) []lane {
	colours := []uint32{0xb3262c, 0xf0f0ee, 0x24324a, 0x2e6da4, 0xd9a520, 0x8d9499, 0x1f1f22, 0x3d7a4a}
	step := 8
	far := lane{y: s.snap(670, s.p.H), height: s.snap(76, s.p.H), speed: -step, period: step * loop}
	near := lane{y: s.snap(805, s.p.H), height: s.snap(88, s.p.H), speed: step, period: step * loop}
	if s.p.W >= 1200 {
		near.speed, near.period = 2*step, 2*step*loop
	}
	for i, l := range []*lane{&far, &near} {
		n := max(1, l.period/max(s.p.W*3/5, 640))
		if calm {
			n = 1
		}
		for k := range n {
			c := car{at: k*l.period/n + s.r.IntN(l.period/n/4+1), w: l.height * 9 / 4, colour: colours[s.r.IntN(len(colours))]}
			if k%3 == 2 {
				c.bus, c.w = true, l.height*4
			}
			c.at, c.w = c.at/8*8, c.w/8*8+i*8
			l.cars = append(l.cars, c)
		}
	}
	return []lane{far, near}
}

// visit calls f with every vehicle that may be visible at picture i, and where it is.
func (l lane) visit(i, width int, f func(c car, x int)) {
	for _, c := range l.cars {
		x := (c.at + l.speed*i) % l.period
		if x < 0 {
			x += l.period
		}
		for x -= l.period; x < width; x += l.period {
			if x+c.w > 0 {
				f(c, x)
			}
		}
	}
}

func (l lane) draw(p *raster.Picture, g int, c car, x int) {
	h := l.height / g // in cells
	box := func(x0, y0, x1, y1 int, rgb uint32) {
		ax := x + c.w*x0/100/g*g
		bx := x + (c.w*x1/100+g-1)/g*g
		ay, by := l.y+h*y0/100*g, l.y+max(h*y1/100, h*y0/100+1)*g
		p.Fill(ax, ay, bx-ax, by-ay, raster.RGB(rgb))
	}
	if l.people {
		person(c, box)
		return
	}
	glass, shade := uint32(0x9cc3d8), mix(c.colour, 0, 1, 3)
	if c.bus {
		box(0, 0, 99, 84, c.colour)
		box(0, 66, 99, 72, 0xf4f4f0)
		for w := 5; w < 92; w += 15 {
			box(w, 16, w+9, 48, glass)
		}
	} else {
		box(20, 0, 76, 45, shade)
		box(26, 12, 46, 42, glass)
		box(52, 12, 70, 42, glass)
		box(0, 42, 99, 84, c.colour)
		box(0, 72, 99, 84, shade)
	}
	front, back := 94, 0
	if l.speed < 0 {
		front, back = 0, 94
	}
	box(front, 50, front+5, 62, 0xfff3c0)
	box(back, 50, back+5, 62, 0xe03030)
	for _, w := range []int{14, 70} {
		box(w, 72, w+15, 100, 0x18181a)
		box(w+5, 80, w+9, 92, 0x9a9a9a)
	}
}
