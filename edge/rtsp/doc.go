// Package rtsp speaks RTSP for Skein: it pulls cameras (Pull), publishes a stream to a gateway (Publish), and serves
// both directions (Server). It is the only importer of gortsplib; nobody else sees a type of it.
//
// All inbound paths share one depacketiser: RTP of a camera, of one of our edges and of a stranger such as ffmpeg
// becomes the same media.AccessUnit. The package decodes no picture, never retries (the caller supervises), and keeps
// credentials out of every error and log line.
//
// Locks: ingest.mu and feed.mu never nest with each other or with a lock of another package.
package rtsp
