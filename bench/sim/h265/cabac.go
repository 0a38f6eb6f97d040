package h265

import (
	"math/bits"

	"skein/bench/sim/raster"
)

// context is the state of one adaptive bin: probability index and most probable value.
type context struct{ state, mps uint8 }

// cabac is the arithmetic encoder of ITU-T H.265 clause 9.3.4.
type cabac struct {
	out      raster.Bits
	lps      *[64][4]uint8
	next     *[64]uint8
	low, rng uint32
	free     int // bits of low that are still free
	pending  int // bytes held back because a carry may change them
	held     uint32
}

func (c *cabac) start() { c.low, c.rng, c.free, c.pending, c.held = 0, 510, 23, 0, 0xff }

func (c *cabac) bin(v uint8, x *context) {
	lps := uint32(c.lps[x.state][c.rng>>6&3])
	c.rng -= lps
	n := 1
	if v != x.mps {
		n = bits.LeadingZeros32(lps) - 23
		c.low = (c.low + c.rng) << n
		c.rng = lps << n
		if x.state == 0 {
			x.mps ^= 1
		}
		x.state = c.next[x.state]
	} else {
		if x.state < 62 {
			x.state++
		}
		if c.rng >= 256 {
			return
		}
		c.low <<= 1
		c.rng <<= 1
	}
	c.consume(n)
}

// bypass writes the n low bits of v as equally probable bins.
func (c *cabac) bypass(v uint32, n int) {
	for n--; n >= 0; n-- {
		c.low <<= 1
		if v>>n&1 == 1 {
			c.low += c.rng
		}
		c.consume(1)
	}
}

// terminate writes pcm_flag or end_of_slice_segment_flag.
func (c *cabac) terminate(v bool) {
	c.rng -= 2
	switch {
	case v:
		c.low = (c.low + c.rng) << 7
		c.rng = 2 << 7
		c.consume(7)
	case c.rng < 256:
		c.low <<= 1
		c.rng <<= 1
		c.consume(1)
	}
}

func (c *cabac) consume(n int) {
	c.free -= n
	if c.free < 12 {
		c.flush()
	}
}

func (c *cabac) flush() {
	lead := c.low >> (24 - c.free)
	c.free += 8
	c.low &= 0xffffffff >> c.free
	switch {
	case lead == 0xff:
		c.pending++
	case c.pending > 0:
		carry := lead >> 8
		c.out.Put(c.held+carry, 8)
		c.held = lead & 0xff
		for ; c.pending > 1; c.pending-- {
			c.out.Put(0xff+carry, 8)
		}
	default:
		c.pending, c.held = 1, lead
	}
}

// finish writes what is left after a terminating bin, a one bit and zero bits up to the next byte.
func (c *cabac) finish() {
	fill := uint32(0xff)
	if c.low>>(32-c.free) != 0 {
		c.held++
		c.low -= 1 << (32 - c.free)
		fill = 0
	}
	if c.pending > 0 {
		c.out.Put(c.held, 8)
	}
	for ; c.pending > 1; c.pending-- {
		c.out.Put(fill, 8)
	}
	c.out.Put(c.low>>8, uint(24-c.free))
	c.out.Trail()
}

// Contexts of the syntax elements we write.
const (
	ctxSkip     = 0  // cu_skip_flag, 3
	ctxPredMode = 3  // pred_mode_flag
	ctxPartMode = 4  // part_mode
	ctxLuma     = 5  // prev_intra_luma_pred_flag
	ctxChroma   = 6  // intra_chroma_pred_mode
	ctxSplit    = 7  // split_transform_flag of 16x16
	ctxCbfLuma  = 8  // cbf_luma at depth 1
	ctxCbfC     = 9  // cbf_cb and cbf_cr at depths 0 and 1, 2
	ctxLastX    = 11 // last_sig_coeff_x_prefix: luma 8x8, chroma 4x4
	ctxLastY    = 13
	ctxGreater1 = 15 // coeff_abs_level_greater1_flag: luma, chroma
	ctxGreater2 = 17
	contexts    = 19
)

// initial returns the contexts at the start of a slice (tables 9-5 to 9-37), for I or P slices.
func initial(p bool) [contexts]context {
	values := [contexts]int{
		154, 154, 154, 154, 184, 184, 63, 138, 111, 94, 138, 125, 108, 125, 108, 92, 179, 138, 152,
	}
	if p {
		values = [contexts]int{
			197, 185, 201, 149, 154, 154, 152, 138, 153, 149, 107, 110, 108, 110, 108, 196, 194, 107, 107,
		}
	}
	var out [contexts]context
	for i, v := range values {
		m, n := v>>4*5-45, v&15<<3-16
		pre := min(max(m*qp>>4+n, 1), 126)
		if pre <= 63 {
			out[i] = context{uint8(63 - pre), 0}
		} else {
			out[i] = context{uint8(pre - 64), 1}
		}
	}
	return out
}

func rangeTable() *[64][4]uint8 {
	return &[64][4]uint8{
		{128, 176, 208, 240}, {128, 167, 197, 227}, {128, 158, 187, 216}, {123, 150, 178, 205},
		{116, 142, 169, 195}, {111, 135, 160, 185}, {105, 128, 152, 175}, {100, 122, 144, 166},
		{95, 116, 137, 158}, {90, 110, 130, 150}, {85, 104, 123, 142}, {81, 99, 117, 135},
		{77, 94, 111, 128}, {73, 89, 105, 122}, {69, 85, 100, 116}, {66, 80, 95, 110},
		{62, 76, 90, 104}, {59, 72, 86, 99}, {56, 69, 81, 94}, {53, 65, 77, 89},
		{51, 62, 73, 85}, {48, 59, 69, 80}, {46, 56, 66, 76}, {43, 53, 63, 72},
		{41, 50, 59, 69}, {39, 48, 56, 65}, {37, 45, 54, 62}, {35, 43, 51, 59},
		{33, 41, 48, 56}, {32, 39, 46, 53}, {30, 37, 43, 50}, {29, 35, 41, 48},
		{27, 33, 39, 45}, {26, 31, 37, 43}, {24, 30, 35, 41}, {23, 28, 33, 39},
		{22, 27, 32, 37}, {21, 26, 30, 35}, {20, 24, 29, 33}, {19, 23, 27, 31},
		{18, 22, 26, 30}, {17, 21, 25, 28}, {16, 20, 23, 27}, {15, 19, 22, 25},
		{14, 18, 21, 24}, {14, 17, 20, 23}, {13, 16, 19, 22}, {12, 15, 18, 21},
		{12, 14, 17, 20}, {11, 14, 16, 19}, {11, 13, 15, 18}, {10, 12, 15, 17},
		{10, 12, 14, 16}, {9, 11, 13, 15}, {9, 11, 12, 14}, {8, 10, 12, 14},
		{8, 9, 11, 13}, {7, 9, 11, 12}, {7, 9, 10, 12}, {7, 8, 10, 11},
		{6, 8, 9, 11}, {6, 7, 9, 10}, {6, 7, 8, 9}, {2, 2, 2, 2},
	}
}

func lpsTransitions() *[64]uint8 {
	return &[64]uint8{
		0, 0, 1, 2, 2, 4, 4, 5, 6, 7, 8, 9, 9, 11, 11, 12, 13, 13, 15, 15, 16, 16, 18, 18, 19, 19, 21, 21, 22, 22, 23, 24,
		24, 25, 26, 26, 27, 27, 28, 29, 29, 30, 30, 30, 31, 32, 32, 33, 33, 33, 34, 34, 35, 35, 35, 36, 36, 36, 37, 37, 37,
		38, 38, 63,
	}
}
