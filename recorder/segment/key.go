package segment

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// KeyPrefix is the first element of every segment's object key.
const KeyPrefix = "v1/"

// Key returns the object key of the record for camera:
//
//	v1/<camera>/<yyyy>/<mm>/<dd>/<hh>/<start_ms>-<dur_ms>-<seq>-<hash12>.mp4
func (r Record) Key(camera string) string {
	s := r.Start.UTC()
	return fmt.Sprintf("%s%s/%s/%d-%d-%d-%s.mp4", KeyPrefix, camera, s.Format("2006/01/02/15"),
		s.UnixMilli(), r.Duration.Milliseconds(), r.Seq, hex.EncodeToString(r.Hash[:]))
}

// HourPrefix returns the key prefix of the camera's segments that start in the hour of t.
func HourPrefix(camera string, t time.Time) string {
	return KeyPrefix + camera + "/" + t.UTC().Format("2006/01/02/15") + "/"
}

// ParseKey is the inverse of Record.Key. Shard, Bytes and Gap are not part of a key and stay zero.
func ParseKey(key string) (camera string, r Record, err error) {
	bad := func(why string) (string, Record, error) {
		return "", Record{}, fmt.Errorf("object key %q: %s", key, why)
	}
	rest, ok := strings.CutPrefix(key, KeyPrefix)
	if !ok {
		return bad("does not begin with " + KeyPrefix)
	}
	parts := strings.Split(rest, "/")
	if len(parts) != 6 {
		return bad("want camera/yyyy/mm/dd/hh/name")
	}
	name, ok := strings.CutSuffix(parts[5], ".mp4")
	if !ok {
		return bad("does not end in .mp4")
	}
	f := strings.Split(name, "-")
	if len(f) != 4 {
		return bad("name is not start-duration-seq-hash")
	}
	start, err := strconv.ParseInt(f[0], 10, 64)
	if err != nil {
		return bad("start is not a number")
	}
	dur, err := strconv.ParseInt(f[1], 10, 32)
	if err != nil || dur < 0 {
		return bad("duration is not a number")
	}
	seq, err := strconv.ParseUint(f[2], 10, 64)
	if err != nil {
		return bad("sequence is not a number")
	}
	h, err := hex.DecodeString(f[3])
	if err != nil || len(h) != 6 {
		return bad("hash is not 12 hexadecimal digits")
	}
	camera = parts[0]
	r = Record{Start: time.UnixMilli(start).UTC(), Duration: time.Duration(dur) * time.Millisecond, Seq: seq}
	copy(r.Hash[:], h)
	if r.Key(camera) != key {
		return bad("is not in canonical form")
	}
	return camera, r, nil
}

// ParseHash parses 64 hexadecimal digits.
func ParseHash(s string) (Hash, error) {
	var h Hash
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(h) {
		return h, fmt.Errorf("hash %q: want 64 hexadecimal digits", s)
	}
	copy(h[:], b)
	return h, nil
}
