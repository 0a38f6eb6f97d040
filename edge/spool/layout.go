package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"skein/edge/media"
	"skein/recorder/segment"
)

// Names in the spool's folder; FORMAT.md describes them.
const (
	lockName       = "LOCK"
	camerasDir     = "cameras"
	partSuffix     = ".part"
	mediaSuffix    = ".mp4"
	manifestSuffix = ".json"
	receiptSuffix  = ".receipt"
	badSuffix      = ".bad"
	tmpSuffix      = ".tmp"
)

// Left reports whether the spool in dir holds something to ship: footage, or what tells of gaps.
func Left(dir string) bool {
	list, err := fs.Glob(os.DirFS(filepath.Join(dir, camerasDir)), "*/*")
	return err == nil && slices.ContainsFunc(list, func(name string) bool {
		return slices.Contains([]string{mediaSuffix, partSuffix, gapSuffix, lostSuffix}, path.Ext(name))
	})
}

// maxManifest bounds the size of a manifest file in bytes.
const maxManifest = 64 << 10

// part is what the name of an unfinished segment tells about it, so that it can be sealed after a crash.
type part struct {
	number int64 // grows by one with each file of the camera
	start  time.Time
	epoch  uint32
	cause  segment.Cause // of a gap before it
	clock  *int64        // camera clock minus edge clock, ms
	sub    bool          // of the camera's sub stream
	boot   *bootTime     // of start, if the clock could not be believed
}

// name returns "<number>-<start_ms>-<epoch>-<cause>-<clock_ms or x>[@sub][~<boot>~<ms>].part".
func (p part) name() string {
	clock := "x"
	if p.clock != nil {
		clock = strconv.FormatInt(*p.clock, 10)
	}
	profile := ""
	if p.sub {
		profile = subField
	}
	return fmt.Sprintf("%08d-%d-%d-%s-%s%s%s%s", p.number, p.start.UnixMilli(), p.epoch, p.cause, clock, profile,
		p.boot.field(), partSuffix)
}

// subField marks the sub stream in a part's name.
const subField = "@" + string(media.Sub)

// profile returns the profile of the camera that the file holds.
func (p part) profile() string {
	if p.sub {
		return string(media.Sub)
	}
	return string(media.Main)
}

// parsePart is the inverse of part.name.
func parsePart(name string) (part, error) {
	bad := func(what string) (part, error) {
		return part{}, fmt.Errorf("unfinished segment %q: %s is not readable", name, what)
	}
	s, ok := strings.CutSuffix(name, partSuffix)
	s, booted, held := strings.Cut(s, "~")
	s, sub := strings.CutSuffix(s, subField)
	f := strings.SplitN(s, "-", 5)
	if !ok || len(f) != 5 {
		return bad("its name")
	}
	p := part{sub: sub}
	var err error
	if held {
		id, ms, _ := strings.Cut(booted, "~")
		at, err := strconv.ParseInt(ms, 10, 64)
		if err != nil || at < 0 || at > maxUnixMS || !isHexID(id) {
			return bad("the boot's time")
		}
		p.boot = &bootTime{id: id, at: time.Duration(at) * time.Millisecond}
	}
	if p.number, err = strconv.ParseInt(f[0], 10, 64); err != nil || p.number < 0 {
		return bad("the number")
	}
	ms, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil || ms < 0 || ms > maxUnixMS {
		return bad("the start")
	}
	p.start = time.UnixMilli(ms).UTC()
	epoch, err := strconv.ParseUint(f[2], 10, 32)
	if err != nil {
		return bad("the epoch")
	}
	p.epoch = uint32(epoch)
	p.cause = segment.Cause(f[3])
	if f[4] != "x" {
		v, err := strconv.ParseInt(f[4], 10, 64)
		if err != nil {
			return bad("the clock offset")
		}
		p.clock = &v
	}
	if p.name() != name {
		return bad("its name")
	}
	return p, nil
}

// maxUnixMS is the end of the year 9999.
const maxUnixMS = 253402300799999

func sealedName(seq uint64) string { return fmt.Sprintf("%010d", seq) }

// parseSealed returns the sequence number of a sealed segment's file, whatever its suffix.
func parseSealed(name, suffix string) (uint64, bool) {
	s, ok := strings.CutSuffix(name, suffix)
	if !ok {
		return 0, false
	}
	seq, err := strconv.ParseUint(s, 10, 64)
	return seq, err == nil && sealedName(seq) == s
}

// ParseManifest reads a manifest as the spool stores it and checks that it can be one of the camera's.
func ParseManifest(camera string, data []byte) (segment.Manifest, error) {
	var m segment.Manifest
	if len(data) > maxManifest {
		return m, errors.New("manifest is too long")
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("manifest: %w", err)
	}
	ms := m.Start.UnixMilli()
	switch {
	case m.Camera != camera:
		return m, fmt.Errorf("manifest of camera %q in the folder of %q", m.Camera, camera)
	case m.Seq == 0:
		return m, errors.New("manifest without sequence number")
	case ms < 0 || ms > maxUnixMS || m.Duration < 0 || m.Bytes <= 0 || m.SHA256.IsZero():
		return m, fmt.Errorf("manifest %d: start, duration, size or hash is impossible", m.Seq)
	}
	m.Start = m.Start.UTC()
	return m, nil
}

func readManifest(camera, path string) (segment.Manifest, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return segment.Manifest{}, err
	}
	return ParseManifest(camera, data)
}

func (c *camera) path(seq uint64, suffix string) string {
	return filepath.Join(c.dir, sealedName(seq)+suffix)
}

// validCamera reports whether id may name a folder: [a-z0-9-]{1,64}.
func validCamera(id string) bool {
	if len(id) == 0 || len(id) > 64 {
		return false
	}
	for _, r := range []byte(id) {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' {
			return false
		}
	}
	return true
}
