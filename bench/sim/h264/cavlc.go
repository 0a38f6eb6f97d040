package h264

import "skein/bench/sim/raster"

// code is one variable length code word.
type code struct {
	bits uint16
	n    uint8
}

// parse reads code words written as text, "" meaning impossible.
func parse(words ...string) []code {
	out := make([]code, len(words))
	for i, w := range words {
		for _, c := range w {
			out[i].bits = out[i].bits<<1 | uint16(c-'0')
			out[i].n++
		}
	}
	return out
}

func parseAll(rows ...[]string) [][]code {
	out := make([][]code, len(rows))
	for i, r := range rows {
		out[i] = parse(r...)
	}
	return out
}

// tables are the CAVLC tables of ITU-T H.264 clause 9.2 that DC blocks need.
type tables struct {
	token       [][]code // [trailing ones][total], 0 <= nC < 2
	chromaToken [][]code // [trailing ones][total], nC = -1
	zeros       [][]code // [total-1][total zeros], 16 coefficients
	chromaZeros [][]code // [total-1][total zeros], 4 coefficients
	run         [][]code // [min(zeros left, 7)-1][run before]
}

func newTables() *tables {
	return &tables{
		token: parseAll([]string{
			"1", "000101", "00000111", "000000111", "0000000111", "00000000111", "0000000001111", "0000000001011",
			"0000000001000", "00000000001111", "00000000001011", "000000000001111", "000000000001011",
			"0000000000001111", "0000000000001011", "0000000000000111", "0000000000000100",
		}, []string{
			"", "01", "000100", "00000110", "000000110", "0000000110", "00000000110", "0000000001110",
			"0000000001010", "00000000001110", "00000000001010", "000000000001110", "000000000001010",
			"000000000000001", "0000000000001110", "0000000000001010", "0000000000000110",
		}, []string{
			"", "", "001", "0000101", "00000101", "000000101", "0000000101", "00000000101", "0000000001101",
			"0000000001001", "00000000001101", "00000000001001", "000000000001101", "000000000001001",
			"0000000000001101", "0000000000001001", "0000000000000101",
		}, []string{
			"", "", "", "00011", "000011", "0000100", "00000100", "000000100", "0000000100", "00000000100",
			"0000000001100", "00000000001100", "00000000001000", "000000000001100", "000000000001000",
			"0000000000001100", "0000000000001000",
		}),
		chromaToken: parseAll(
			[]string{"01", "000111", "000100", "000011", "000010"},
			[]string{"", "1", "000110", "0000011", "00000011"},
			[]string{"", "", "001", "0000010", "00000010"},
			[]string{"", "", "", "000101", "0000000"},
		),
		zeros: parseAll(
			[]string{"1", "011", "010", "0011", "0010", "00011", "00010", "000011", "000010", "0000011", "0000010",
				"00000011", "00000010", "000000011", "000000010", "000000001"},
			[]string{"111", "110", "101", "100", "011", "0101", "0100", "0011", "0010", "00011", "00010", "000011",
				"000010", "000001", "000000"},
			[]string{"0101", "111", "110", "101", "0100", "0011", "100", "011", "0010", "00011", "00010", "000001",
				"00001", "000000"},
			[]string{"00011", "111", "0101", "0100", "110", "101", "100", "0011", "011", "0010", "00010", "00001",
				"00000"},
			[]string{"0101", "0100", "0011", "111", "110", "101", "100", "011", "0010", "00001", "0001", "00000"},
			[]string{"000001", "00001", "111", "110", "101", "100", "011", "010", "0001", "001", "000000"},
			[]string{"000001", "00001", "101", "100", "011", "11", "010", "0001", "001", "000000"},
			[]string{"000001", "0001", "00001", "011", "11", "10", "010", "001", "000000"},
			[]string{"000001", "000000", "0001", "11", "10", "001", "01", "00001"},
			[]string{"00001", "00000", "001", "11", "10", "01", "0001"},
			[]string{"0000", "0001", "001", "010", "1", "011"},
			[]string{"0000", "0001", "01", "1", "001"},
			[]string{"000", "001", "1", "01"},
			[]string{"00", "01", "1"},
			[]string{"0", "1"},
		),
		chromaZeros: parseAll([]string{"1", "01", "001", "000"}, []string{"1", "01", "00"}, []string{"1", "0"}),
		run: parseAll(
			[]string{"1", "0"},
			[]string{"1", "01", "00"},
			[]string{"11", "10", "01", "00"},
			[]string{"11", "10", "01", "001", "000"},
			[]string{"11", "10", "011", "010", "001", "000"},
			[]string{"11", "000", "001", "011", "010", "101", "100"},
			[]string{"111", "110", "101", "100", "011", "010", "001", "0001", "00001", "000001", "0000001",
				"00000001", "000000001", "0000000001", "00000000001"},
		),
	}
}

func put(w *raster.Bits, c code) { w.Put(uint32(c.bits), uint(c.n)) }

// chromaDC as nC selects the tables of a chroma DC block.
const chromaDC = -1

// block writes the coefficients (in scan order: 16 luma DC, or 4 chroma DC when nC is chromaDC).
func (t *tables) block(w *raster.Bits, coefs []int, nC int) {
	var levels, runs [16]int // from the highest frequency down
	total, zeros, run := 0, 0, 0
	last := len(coefs) - 1
	for last >= 0 && coefs[last] == 0 {
		last--
	}
	for i := last; i >= 0; i-- {
		if coefs[i] == 0 {
			run++
			zeros++
			continue
		}
		if total > 0 {
			runs[total-1] = run
		}
		run = 0
		levels[total] = coefs[i]
		total++
	}
	ones := 0
	for ones < min(total, 3) && (levels[ones] == 1 || levels[ones] == -1) {
		ones++
	}
	t.putToken(w, nC, ones, total)
	if total == 0 {
		return
	}
	for _, l := range levels[:ones] {
		w.Flag(l < 0)
	}
	putLevels(w, levels[ones:total], ones, total)
	if total < len(coefs) {
		table := t.zeros
		if nC == chromaDC {
			table = t.chromaZeros
		}
		put(w, table[total-1][zeros])
	}
	for i := 0; i < total-1 && zeros > 0; i++ {
		put(w, t.run[min(zeros, 7)-1][runs[i]])
		zeros -= runs[i]
	}
}

func (t *tables) putToken(w *raster.Bits, nC, ones, total int) {
	switch {
	case nC == chromaDC:
		put(w, t.chromaToken[ones][total])
	case nC < 2:
		put(w, t.token[ones][total])
	case total == 0: // nC >= 8: our neighbours have 0 or 16 coefficients, so nC is 0, 8 or 16
		w.Put(3, 6)
	default:
		w.Put(uint32((total-1)<<2|ones), 6)
	}
}

// maxLevel is the largest coefficient the 12 bit escape can carry in every state.
const maxLevel = 2048

func putLevels(w *raster.Bits, levels []int, ones, total int) {
	suffix := uint(0)
	if total > 10 && ones < 3 {
		suffix = 1
	}
	for i, l := range levels {
		v := 2*l - 2
		if l < 0 {
			v = -2*l - 1
		}
		if i == 0 && ones < 3 {
			v -= 2
		}
		switch {
		case suffix == 0 && v < 14:
			w.Put(1, uint(v)+1)
		case suffix == 0 && v < 30:
			w.Put(1, 15)
			w.Put(uint32(v-14), 4)
		case suffix == 0:
			w.Put(1, 16)
			w.Put(uint32(v-30), 12)
		case v < 15<<suffix:
			w.Put(1, uint(v>>suffix)+1)
			w.Put(uint32(v), suffix)
		default:
			w.Put(1, 16)
			w.Put(uint32(v-15<<suffix), 12)
		}
		if suffix == 0 {
			suffix = 1
		}
		if max(l, -l) > 3<<(suffix-1) && suffix < 6 {
			suffix++
		}
	}
}
