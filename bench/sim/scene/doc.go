// Package scene draws what the simulated cameras see: a street by day with moving traffic and rustling trees, and the
// text over it. Everything is drawn on a coarse grid, so that a synthetic coder can send it in few bytes.
//
// It owns no goroutine. A Scene is for one goroutine; a Font may be shared.
package scene
