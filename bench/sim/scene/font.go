package scene

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"skein/bench/sim/raster"
)

// glyphs is a gzip stream of records: set, UTF-16 code unit, then 4 bit coverage, row by row. The sets are 'b' 32x64,
// 'h' 16x32 and 's' 16x16 (ASCII), 'f' 32x32 (Han). See font/README.md for where they come from.
//
//go:embed font/glyphs.gz
var glyphs []byte

// Cell is the size of one character cell in blocks.
type Cell struct{ W, H int }

// small has every character in one block.
func small() Cell { return Cell{1, 1} }

// normal gives Han characters two cells.
func normal() Cell { return Cell{1, 2} }

// big has digits and punctuation only.
func big() Cell { return Cell{2, 4} }

const (
	paper = 36  // luma of the box behind text
	ink   = 235 // luma of text
)

// Font holds the characters as ready-made I_PCM samples. It is safe for concurrent use.
type Font struct {
	mu    sync.Mutex
	cells map[Cell]map[rune][][]byte // by size and character: one or two cells, each Cell.W*Cell.H blocks of samples
	han   map[rune][]byte            // 32x32 coverage
}

// LoadFont reads the built-in characters.
func LoadFont() (*Font, error) {
	z, err := gzip.NewReader(bytes.NewReader(glyphs))
	if err != nil {
		return nil, fmt.Errorf("read built-in glyphs: %w", err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("read built-in glyphs: %w", err)
	}
	f := &Font{cells: map[Cell]map[rune][][]byte{small(): {}, normal(): {}, big(): {}}, han: map[rune][]byte{}}
	for len(data) > 3 {
		set, r := data[0], rune(binary.BigEndian.Uint16(data[1:]))
		w, h, size := 16, 32, normal()
		switch set {
		case 'b':
			w, h, size = 32, 64, big()
		case 's':
			w, h, size = 16, 16, small()
		case 'f':
			w, h = 32, 32
		}
		n := w * h / 2
		if len(data) < 3+n {
			return nil, fmt.Errorf("read built-in glyphs: glyph %q of set %c is cut short", r, set)
		}
		cover := unpack(data[3 : 3+n])
		data = data[3+n:]
		if set == 'f' {
			f.han[r] = cover
			continue
		}
		f.cells[size][r] = [][]byte{samples(cover, w, 0, size)}
	}
	f.cells[big()][' '] = [][]byte{samples(make([]byte, 32*64), 32, 0, big())}
	return f, nil
}

func unpack(packed []byte) []byte {
	out := make([]byte, 0, 2*len(packed))
	for _, b := range packed {
		out = append(out, b>>4, b&15)
	}
	return out
}

// samples turns coverage (w wide, from column x) into the blocks of one cell.
func samples(cover []byte, w, x int, size Cell) []byte {
	var out []byte
	for b := range size.W * size.H {
		bx, by := x+b%size.W*raster.Size, b/size.W*raster.Size
		for r := range raster.Size {
			for c := range raster.Size {
				out = append(out, paper+uint8(int(cover[(by+r)*w+bx+c])*(ink-paper)/15))
			}
		}
		for range raster.PCMBytes - raster.Size*raster.Size {
			out = append(out, 128)
		}
	}
	return out
}

// cell returns the cells of a character: none if the font lacks it, two for a Han character of normal size.
func (f *Font) cell(r rune, size Cell) [][]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, ok := f.cells[size][r]; ok {
		return c
	}
	cover, ok := f.han[r]
	if !ok || size == big() {
		return nil
	}
	var out [][]byte
	if size == small() {
		out = [][]byte{samples(halve(cover), 16, 0, small())}
	} else {
		out = [][]byte{samples(cover, 32, 0, normal()), samples(cover, 32, 16, normal())}
	}
	f.cells[size][r] = out
	return out
}

// halve scales 32x32 coverage to 16x16. The last row and column stay empty, as in every glyph: what borders on text
// must not depend on it.
func halve(cover []byte) []byte {
	out := make([]byte, 16*16)
	for y := range 15 {
		for x := range 15 {
			o := 2*y*32 + 2*x
			sum := int(cover[o]) + int(cover[o+1]) + int(cover[o+32]) + int(cover[o+33])
			out[y*16+x] = uint8(min((sum*5/4+2)/4, 15))
		}
	}
	return out
}
