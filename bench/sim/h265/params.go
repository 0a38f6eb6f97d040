// Package h265 codes pictures made of flat cells, raw samples and unchanged areas as H.265 (ITU-T H.265, Main profile).
// Like its sibling h264 it is a bitstream writer and no encoder. Blocks are planned once, by a Coder, and written as
// often as wanted, by a Writer: arithmetic coding leaves no byte boundaries to splice at.
//
// It owns no goroutine; Coder and Writer are used by one goroutine at a time.
package h265

import "skein/bench/sim/raster"

// Params describe a stream: what its parameter sets say.
type Params struct {
	Width, Height int // after cropping
	FPS           int // declared
}

// qp is the quantiser at which a DC level of an 8x8 luma block is one sample step; chromaOffset makes it so for 4x4
// chroma blocks.
const (
	qp           = 22
	chromaOffset = -6
	pocBits      = 8
)

// VPS returns the video parameter set (7.3.2.1).
func (p Params) VPS() []byte {
	var w raster.Bits
	w.Put(3, 6) // id 0, base layer present
	w.Put(0, 9)
	w.Put(1, 1)
	w.Put(0xffff, 16)
	p.profile(&w)
	p.ordering(&w)
	w.Put(0, 6)
	w.UE(0)
	w.Put(0, 2) // no timing, no extension
	w.Trail()
	return raster.Escape([]byte{32 << 1, 1}, w.Buf)
}

// profile writes profile_tier_level: Main profile and tier.
func (p Params) profile(w *raster.Bits) {
	w.Put(1, 8)
	w.Put(0x60000000, 32)
	w.Put(9, 4) // progressive, frames only
	w.Put(0, 32)
	w.Put(0, 12)
	w.Put(p.level(), 8)
}

// ordering announces one reference picture and no reordering.
func (p Params) ordering(w *raster.Bits) {
	w.Put(1, 1)
	w.UE(1)
	w.UE(0)
	w.UE(0)
}

// level returns general_level_idc for the picture size and rate (table A.8).
func (p Params) level() uint32 {
	size := (p.Width + 15) / 16 * 16 * ((p.Height + 15) / 16 * 16)
	rate := size * p.FPS
	switch {
	case size <= 552960 && rate <= 16588800:
		return 90
	case size <= 983040 && rate <= 33177600:
		return 93
	case size <= 2228224 && rate <= 66846720:
		return 120
	case size <= 2228224 && rate <= 133693440:
		return 123
	}
	return 153
}

// SPS returns the sequence parameter set (7.3.2.2): blocks of 16x16, transforms of 4x4 to 16x16, PCM blocks of 16x16.
func (p Params) SPS() []byte {
	w16, h16 := (p.Width+15)/16*16, (p.Height+15)/16*16
	var w raster.Bits
	w.Put(0, 7)
	w.Put(1, 1)
	p.profile(&w)
	w.UE(0)
	w.UE(1) // 4:2:0
	w.UE(uint32(w16))
	w.UE(uint32(h16))
	w.Put(1, 1)
	w.UE(0)
	w.UE(uint32(w16-p.Width) / 2)
	w.UE(0)
	w.UE(uint32(h16-p.Height) / 2)
	w.UE(0)
	w.UE(0)
	w.UE(pocBits - 4)
	p.ordering(&w)
	w.UE(1) // coding blocks from 16x16
	w.UE(0) // to 16x16
	w.UE(0) // transforms from 4x4
	w.UE(2) // to 16x16
	w.UE(0)
	w.UE(1)       // intra blocks may split their transform once
	w.Put(1, 4)   // no scaling lists, no AMP, no SAO; PCM enabled
	w.Put(119, 8) // 8 bit
	w.UE(1)
	w.UE(0)
	w.Put(1, 1) // the loop filter leaves PCM alone
	w.UE(1)     // one reference picture set: the previous picture
	w.UE(1)
	w.UE(0)
	w.UE(0)
	w.Put(1, 1)
	w.Put(0, 3) // no long term pictures, no temporal vectors, no smoothing
	p.vui(&w)
	w.Put(0, 1)
	w.Trail()
	return raster.Escape([]byte{33 << 1, 1}, w.Buf)
}

// vui writes colour and timing (annex E).
func (p Params) vui(w *raster.Bits) {
	w.Put(1, 1)
	w.Put(1, 1)
	w.Put(1, 8) // square samples
	w.Put(0, 1)
	w.Put(1, 1)
	w.Put(5<<2|1, 5) // unspecified format, studio range, colour described
	w.Put(1, 8)      // BT.709
	w.Put(1, 8)
	w.Put(1, 8)
	w.Put(0, 5)
	w.Put(1, 1)
	w.Put(1, 32)
	w.Put(uint32(p.FPS), 32)
	w.Put(0, 3)
}

// PPS returns the picture parameter set (7.3.2.3).
func (p Params) PPS() []byte {
	var w raster.Bits
	w.UE(0)
	w.UE(0)
	w.Put(0, 7)
	w.UE(0)
	w.UE(0)
	w.SE(qp - 26)
	w.Put(0, 3)
	w.SE(chromaOffset)
	w.SE(chromaOffset)
	w.Put(0, 7)
	w.Put(5, 3) // deblocking_filter_control_present, no override, disabled
	w.Put(0, 2)
	w.UE(0)
	w.Put(0, 2)
	w.Trail()
	return raster.Escape([]byte{34 << 1, 1}, w.Buf)
}
