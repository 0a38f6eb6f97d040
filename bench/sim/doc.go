// Package sim simulates cameras and terminals: an RTSP server whose streams are made by a small synthetic coder of our
// own instead of a real encoder, so that a whole district of cameras costs a few percent of a core.
//
// Every picture shows a street, the camera's name, a running clock and the frame's number; every coded picture carries
// the same facts in a user_data_unregistered SEI message (see Mark), so tests, benchmarks and viewers can count frames
// and measure latency exactly. Frame numbers are a function of the clock, so a reader that comes back after a break
// sees them go on where they would have been.
//
// A stream without a reader costs nothing. All streams of a Server are produced by one scheduling goroutine.
package sim
