// Package h264 codes pictures made of flat cells, raw samples and unchanged areas as H.264 (ITU-T H.264, High profile,
// CAVLC). It is a bitstream writer, not an encoder: it searches nothing and quantises nothing, so that the decoded
// picture is known exactly and coding costs about as much as copying.
//
// It owns no goroutine; a Coder is used by one goroutine at a time.
package h264

import "skein/bench/sim/raster"

// Params describe a stream: what its parameter sets say.
type Params struct {
	Width, Height int // after cropping
	FPS           int // declared
}

// qp is the luma quantiser at which a luma DC level of 16 is one sample step, chromaOffset makes chroma's 4.
const (
	qp           = 4
	chromaOffset = 6
)

// SPS returns the sequence parameter set (7.3.2.1.1).
func (p Params) SPS() []byte {
	cols, rows := (p.Width+15)/16, (p.Height+15)/16
	var w raster.Bits
	w.Put(100, 8) // High
	w.Put(0, 8)
	w.Put(p.level(cols*rows), 8)
	w.UE(0) // seq_parameter_set_id
	w.UE(1) // chroma_format_idc 4:2:0
	w.UE(0)
	w.UE(0)
	w.Put(0, 2) // no transform bypass, no scaling matrix
	w.UE(frameNumBits - 4)
	w.UE(2) // pic_order_cnt_type: output order is decoding order
	w.UE(1) // max_num_ref_frames
	w.Put(0, 1)
	w.UE(uint32(cols - 1))
	w.UE(uint32(rows - 1))
	w.Put(3, 2) // frame_mbs_only, direct_8x8_inference
	right, bottom := cols*16-p.Width, rows*16-p.Height
	w.Flag(right+bottom > 0)
	if right+bottom > 0 {
		w.UE(0)
		w.UE(uint32(right / 2))
		w.UE(0)
		w.UE(uint32(bottom / 2))
	}
	p.vui(&w)
	w.Trail()
	return raster.Escape([]byte{0x67}, w.Buf)
}

// vui writes timing, colour and the promise that no picture is reordered (annex E).
func (p Params) vui(w *raster.Bits) {
	w.Put(1, 1) // vui_parameters_present
	w.Put(1, 1) // aspect_ratio_info_present
	w.Put(1, 8) // square samples
	w.Put(0, 1) // overscan
	w.Put(1, 1) // video_signal_type_present
	w.Put(5, 3) // unspecified
	w.Put(0, 1) // studio range
	w.Put(1, 1)
	w.Put(1, 8) // BT.709
	w.Put(1, 8)
	w.Put(1, 8)
	w.Put(0, 1) // chroma_loc
	w.Put(1, 1) // timing_info_present
	w.Put(1, 32)
	w.Put(uint32(2*p.FPS), 32)
	w.Put(1, 1) // fixed_frame_rate
	w.Put(0, 3) // no HRD, no pic_struct
	w.Put(1, 1) // bitstream_restriction
	w.Put(1, 1)
	w.UE(0)
	w.UE(0)
	w.UE(16)
	w.UE(16)
	w.UE(0) // max_num_reorder_frames
	w.UE(1) // max_dec_frame_buffering
}

// level returns level_idc for the picture size and rate (table A-1).
func (p Params) level(blocks int) uint32 {
	rate := blocks * p.FPS
	switch {
	case blocks <= 1620 && rate <= 40500:
		return 30
	case blocks <= 3600 && rate <= 108000:
		return 31
	case blocks <= 8192 && rate <= 245760:
		return 40
	case blocks <= 8704 && rate <= 522240:
		return 42
	case blocks <= 36864 && rate <= 983040:
		return 51
	}
	return 52
}

// PPS returns the picture parameter set (7.3.2.2).
func (p Params) PPS() []byte {
	var w raster.Bits
	w.UE(0)
	w.UE(0)
	w.Put(0, 2) // CAVLC, no bottom field order
	w.UE(0)     // one slice group
	w.UE(0)
	w.UE(0)
	w.Put(0, 3) // no weighting
	w.SE(qp - 26)
	w.SE(0)
	w.SE(chromaOffset)
	w.Put(4, 3) // deblocking_filter_control_present, intra prediction from all neighbours, no redundant pictures
	w.Trail()
	return raster.Escape([]byte{0x68}, w.Buf)
}
