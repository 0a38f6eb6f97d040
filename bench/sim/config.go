package sim

import (
	"fmt"
	"hash/fnv"
	"log/slog"
	"regexp"
	"time"

	"skein/edge/media"
)

// Config describes a Server. The zero value of every optional field is a usable default.
type Config struct {
	Listen  string   // RTSP over TCP, "host:port"; port 0 picks a free one (default "127.0.0.1:0")
	Cameras []Camera // what is served; ids are unique

	// User and Password protect every path with RTSP digest authentication when User is not empty.
	User, Password string

	// UDP lets readers ask for RTP over UDP: the server then opens a pair of free UDP ports on Listen's address.
	UDP bool

	// KeyOnPlay makes a camera code a key frame as soon as a reader plays, as some cameras do. The default is to wait
	// for the regular one: a stream's first reader starts at a key frame, a further one joins in the middle of a GOP.
	KeyOnPlay bool

	// Now is the true time, the origin of every camera's clock (default time.Now).
	Now func() time.Time

	// StampSending makes Mark.Wall the moment a picture is coded and sent instead of when it was taken, so that what a
	// measurement adds to it holds nothing of the simulation's own schedule.
	StampSending bool

	// ReportInterval is the time between RTCP sender reports (default 3 s); the first follows the first packet.
	ReportInterval time.Duration

	Logger *slog.Logger // nil discards
}

// Camera is one simulated device. Its main stream is served at /ID, its sub stream at /ID/sub.
type Camera struct {
	ID   string // [a-z0-9-]{1,64}
	Name string // drawn into the picture; characters without a glyph are left out
	Video

	Sub   *Video      // nil: the camera has no sub stream
	Audio media.Codec // G711A, AAC or Opus; 0: no audio. Carried by main and sub.

	// Password protects the camera by digest authentication of the user "admin", if it is not empty.
	Password string

	// DriftPPM makes the camera's oscillator fast (positive) or slow (negative): media and wall clock both drift.
	DriftPPM float64
	// ClockOffset is the initial error of the camera's wall clock: OSD, SEI and sender reports are off by it.
	ClockOffset time.Duration
}

// Video describes one coded stream. Zero fields are filled in: a main stream is H.264 1920x1080, 25 fps, a key frame
// every 2 s, 4 Mbit/s; a sub stream is H.264 640x360, 15 fps, 2 s, 300 kbit/s.
type Video struct {
	Codec         media.Codec // H264 or H265
	Width, Height int         // luma samples, even, at least 640x352
	FPS           int         // pictures a second, 1 to 60
	GOP           int         // pictures from key frame to key frame
	Bitrate       int         // bit/s to aim at; text and movement set a floor
	DeclaredFPS   int         // what the parameter sets claim, when it is not FPS
	KeyBytes      int         // what a key frame has at least: user data fill it up
	Hall          bool        // shows the hall of a community instead of a street
	Calm          bool        // little moves, for few bits: a clock of whole seconds, no frame number, hardly any traffic
}

// maxKeyBytes bounds Video.KeyBytes: what a gateway takes at most.
const maxKeyBytes = 8 << 20

const (
	defaultListen = "127.0.0.1:0"
	defaultReport = 3 * time.Second
)

var cameraID = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

// CameraHash is the camera identity carried in Mark.Camera: FNV-1a of the id.
func CameraHash(id string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(id))
	return h.Sum64()
}

func (c Config) withDefaults() (Config, error) {
	if c.Listen == "" {
		c.Listen = defaultListen
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.ReportInterval <= 0 {
		c.ReportInterval = defaultReport
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	seen := make(map[string]bool, len(c.Cameras))
	cams := make([]Camera, len(c.Cameras))
	for i, cam := range c.Cameras {
		cam, err := cam.withDefaults()
		if err != nil {
			return c, err
		}
		if seen[cam.ID] {
			return c, fmt.Errorf("camera %q: id is used twice", cam.ID)
		}
		seen[cam.ID] = true
		cams[i] = cam
	}
	c.Cameras = cams
	return c, nil
}

func (c Camera) withDefaults() (Camera, error) {
	if !cameraID.MatchString(c.ID) {
		return c, fmt.Errorf("camera %q: id must match %s", c.ID, cameraID)
	}
	switch c.Audio {
	case 0, media.G711A, media.AAC, media.Opus:
	default:
		return c, fmt.Errorf("camera %q: audio codec %s: only PCMA, AAC and OPUS are simulated", c.ID, c.Audio)
	}
	var err error
	if c.Video, err = c.Video.withDefaults(Video{Width: 1920, Height: 1080, FPS: 25, Bitrate: 4_000_000}); err != nil {
		return c, fmt.Errorf("camera %q: main: %w", c.ID, err)
	}
	if c.Sub != nil {
		sub, err := c.Sub.withDefaults(Video{Width: 640, Height: 360, FPS: 15, Bitrate: 300_000})
		if err != nil {
			return c, fmt.Errorf("camera %q: sub: %w", c.ID, err)
		}
		c.Sub = &sub
	}
	return c, nil
}

func (v Video) withDefaults(d Video) (Video, error) {
	if v.Codec == 0 {
		v.Codec = media.H264
	}
	if v.Width == 0 && v.Height == 0 {
		v.Width, v.Height = d.Width, d.Height
	}
	if v.FPS == 0 {
		v.FPS = d.FPS
	}
	if v.GOP == 0 {
		v.GOP = 2 * v.FPS
	}
	if v.Bitrate == 0 {
		v.Bitrate = d.Bitrate
	}
	if v.DeclaredFPS == 0 {
		v.DeclaredFPS = v.FPS
	}
	switch {
	case v.Codec != media.H264 && v.Codec != media.H265:
		return v, fmt.Errorf("video codec %s: only H264 and H265 are simulated", v.Codec)
	case v.Width < 640 || v.Height < 352 || v.Width > 3840 || v.Height > 2160 || v.Width%2 != 0 || v.Height%2 != 0:
		return v, fmt.Errorf("picture %dx%d: need even sizes from 640x352 to 3840x2160", v.Width, v.Height)
	case v.FPS < 1 || v.FPS > 60 || v.DeclaredFPS < 1:
		return v, fmt.Errorf("fps %d: need 1 to 60", v.FPS)
	case v.GOP < 1 || v.GOP > 1000:
		return v, fmt.Errorf("gop %d: need 1 to 1000 pictures", v.GOP)
	case v.Bitrate < 0 || v.Bitrate > 50_000_000:
		return v, fmt.Errorf("bitrate %d: need at most 50 Mbit/s", v.Bitrate)
	case v.KeyBytes < 0 || v.KeyBytes > maxKeyBytes:
		return v, fmt.Errorf("key frames of %d bytes: need at most %d", v.KeyBytes, maxKeyBytes)
	}
	return v, nil
}
