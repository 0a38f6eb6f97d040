// Package fmp4 writes and reads the archive's segments: self-contained fragmented MP4 objects (ISO/IEC 14496-12),
// written once, front to back.
//
// # Layout
//
//	ftyp moov (prft moof mdat)* mfra
//
// One fragment holds one group of pictures, or at most two seconds of it. Every fragment is whole by itself: a file
// cut after any mdat plays. The mfra at the end is written when the segment is sealed; it holds, beside the usual
// tfra, a copy of moov and of every prft and moof (a uuid box), so a reader learns where every sample lies with one
// ranged read of the object's tail.
//
// # Key frames
//
// A segment begins with a key frame, and a key frame begins a fragment. One that is no IDR picture may be followed by
// samples that lead its group (flag is_leading), which nothing that begins there can decode; those of gradual refresh
// carry the number of samples until pictures are whole in their degradation priority.
//
// # Time
//
// Sample times are wall time: a sample presented at t ticks of its track was captured at the segment's start plus t.
// Decode time begins at 0. Each prft repeats that mapping, so a file alone is enough to know it. Frames are not
// evenly re-spaced; the edge's mapping of media time to wall time (corrected by at most 500 ppm) is what is stored.
//
// # Payload
//
// Passthrough: NAL units, SEI and in-band parameter sets are kept, nothing is re-encoded. Sample entries: avc1, hvc1,
// mp4v (MJPEG, object type 0x6C), mp4a (AAC), Opus, alaw, ulaw.
package fmp4
