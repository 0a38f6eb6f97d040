// Package clip reads the archive: coverage, one MP4 of an exact range, and the same as HLS.
//
// # MP4
//
// A clip is a progressive MP4, not a fragmented one: ftyp, moov with complete sample tables, one mdat. Sizes of all
// samples are known from the segments' indexes (one small ranged read each), so the layout is fixed before the first
// media byte is fetched: the length is exact, any byte range can be served alone, and players seek. An edit list
// hides the frames between the key frame and the asked one; players honour edit lists in progressive files, not
// reliably in fragmented ones. Nothing is re-encoded.
//
// Time inside a clip is wall time: t seconds after its first frame is the picture that was in force t seconds after
// that frame was captured. The first frame is the one in force at the range's start, or the first after it where there
// is no footage at that moment; the header Skein-Clip-From tells which. In a gap the last picture before it stands
// still (its duration covers the gap). The clip's Timeline (the same range as .json) tells where gaps are and why, also
// those at the range's ends, which the MP4 does not have: with it a player knows of every picture when it was captured.
//
// Where codec parameters change, the track has several sample entries. Another video codec is another track, which
// begins with an empty edit at its time. Segments that overlap are cut at the start of the later one, so that no
// moment is shown twice.
//
// # Sound
//
// AAC and Opus pass through. Browsers play no G.711 in MP4, and some refuse the whole file for it, so clips carry
// it as FLAC: lossless, played by all current browsers, and of a size known beforehand (verbatim subframes,
// 128 kbit/s).
// Gaps in the sound are filled with silence, because players clock themselves by the sound.
//
// With sound=original an MP4 has the sound as it was recorded instead: the same bytes in the same codec, each packet at
// its own time, and nothing where there was nothing. That is for evidence and for programs; not all players play it.
//
// # HLS
//
// A playlist points at parts of at least four seconds, each cut on demand from one segment, with decode times on one
// timeline per playlist. Gaps and codec changes are discontinuities, each followed by an EXT-X-PROGRAM-DATE-TIME: a
// picture's time is the date of its part plus how far into the part it is shown.
package clip
