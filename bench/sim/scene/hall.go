package scene

// The hall's horizontals, in thousandths of the height.
const (
	hallCeiling = 130
	hallCounter = 520
	hallFloor   = 660
)

// hall draws what a governance terminal sees: the service hall of a community, with its counter, the screen that calls
// the next number, the notice board, a bench, plants and the door.
func (s *street) hall() {
	wall := mix(s.look.horizon, 0xe8e2d4, 2, 3)
	s.rect(0, 0, 1000, hallCeiling, mix(wall, 0xffffff, 1, 2))
	for x := 60; x < 1000; x += 230 { // lamps
		s.rect(x, 86, x+150, 100, 0xfffbe6)
	}
	s.rect(0, hallCeiling, 1000, hallFloor, wall)
	s.rect(0, hallFloor-14, 1000, hallFloor, mix(wall, 0x302820, 1, 2)) // skirting
	s.hallFloor()
	s.hallCounter(wall)
	s.hallWall()
}

func (s *street) hallFloor() {
	tile := uint32(0xb9b2a4)
	s.rect(0, hallFloor, 1000, 1000, tile)
	for i, y := 0, hallFloor; y < 1000; i, y = i+1, y+48+10*i {
		s.rect(0, y, 1000, y+4, mix(tile, 0, 1, 8))
	}
	for x := 40; x < 1000; x += 120 {
		s.rect(x, hallFloor, x+3, 1000, mix(tile, 0, 1, 10))
	}
}

// hallCounter draws the counter with its windows and their signs.
func (s *street) hallCounter(wall uint32) {
	signs := s.look.walls
	s.rect(60, 180, 640, 236, 0x8a1f1f)
	for x := 90; x < 600; x += 44 { // what is written above: strokes, no letters
		s.rect(x, 194, x+24, 222, 0xf2d27a)
	}
	for i := range 3 {
		x := 80 + i*186
		s.rect(x, 270, x+160, hallCounter, mix(wall, 0x9fc3d6, 1, 2)) // glass
		s.rect(x+6, 276, x+154, 312, mix(signs[i%len(signs)], 0xffffff, 1, 5))
		s.rect(x+56, 360, x+104, 420, 0xd9b08c) // the clerk behind
		s.rect(x+62, 330, x+98, 366, 0x2a2522)
		s.rect(x+30, 420, x+130, hallCounter, []uint32{0x3d5a80, 0x4d6b45, 0x6a4a5e}[(i+s.r.IntN(3))%3])
	}
	s.rect(40, hallCounter, 660, hallCounter+30, 0xcbb28a)
	s.rect(50, hallCounter+30, 650, hallFloor+20, 0x9c7b52)
	for x := 70; x < 640; x += 92 {
		s.rect(x, hallCounter+44, x+76, hallFloor+6, 0x8b6c46)
	}
}

// hallWall draws what hangs and stands at the wall to the right.
func (s *street) hallWall() {
	s.rect(690, 190, 860, 330, 0x1c232b) // the screen
	s.rect(700, 204, 850, 230, 0xd04a3a)
	for y := 244; y < 316; y += 24 {
		s.rect(704, y, 780+s.r.IntN(60), y+12, 0x63d08a)
	}
	s.rect(884, 230, 990, hallFloor, 0x7d8894) // the door
	s.rect(894, 244, 936, hallFloor-14, 0xbfd6e2)
	s.rect(940, 244, 982, hallFloor-14, 0xbfd6e2)
	s.rect(690, 360, 860, 470, 0xb98a4a) // the notice board
	for x := 702; x < 840; x += 40 {
		s.rect(x, 374, x+28, 374+40+s.r.IntN(40), []uint32{0xf7f3e3, 0xf6d9d5, 0xdce9f7}[s.r.IntN(3)])
	}
	s.rect(680, 560, 870, 590, 0x5e7f92) // the bench
	for _, x := range []int{690, 852} {
		s.rect(x, 590, x+10, hallFloor+16, 0x3f4a52)
	}
	for _, x := range []int{8, 866} { // plants
		s.rect(x+6, 590, x+30, hallFloor, 0x9a5b3c)
		s.rect(x, 470, x+36, 590, 0x4d7f37)
		s.rect(x+8, 430, x+28, 480, 0x6fa34a)
	}
}

// walkers makes people who cross the hall and return to their start after loop pictures. They are made of a few flat
// shapes: nobody could be told from another.
func walkers(s *street, loop int) []lane {
	coats := []uint32{0x24324a, 0xb3262c, 0x3d7a4a, 0x8d9499, 0x6d3f7c}
	const step = 8
	period := step * loop
	l := lane{y: s.snap(560, s.p.H), height: s.snap(300, s.p.H), speed: step, period: period, people: true}
	w := l.height / 3 / 8 * 8
	for k := range max(1, period/max(s.p.W, 320)) {
		l.cars = append(l.cars, car{
			at: (k*period + s.r.IntN(period/2)) / 8 * 8 % period, w: w, colour: coats[s.r.IntN(len(coats))],
		})
	}
	return []lane{l}
}

// person draws one of them; box takes percents of its width and height.
func person(c car, box func(x0, y0, x1, y1 int, rgb uint32)) {
	box(30, 0, 70, 18, 0x2a2522)
	box(34, 8, 66, 22, 0xd9b08c)
	box(10, 22, 90, 62, c.colour)
	box(0, 26, 14, 58, mix(c.colour, 0, 1, 4))
	box(86, 26, 99, 58, mix(c.colour, 0, 1, 4))
	box(20, 62, 46, 96, 0x30343a)
	box(54, 62, 80, 96, 0x30343a)
	box(14, 94, 48, 100, 0x18181a)
	box(54, 94, 88, 100, 0x18181a)
}
