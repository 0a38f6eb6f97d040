package rtsp

import (
	"fmt"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format"

	"skein/edge/media"
)

// ReceiverTrack is an RTP stream of a Receiver.
type ReceiverTrack struct {
	Codec    media.Codec // H264, H265, Opus, G711A or G711U
	Payload  uint8       // RTP payload type
	Channels int         // audio only; default 1
}

// Receiver turns RTP packets that came by another way than RTSP, such as WebRTC, into the access units of a
// publication: described, timed and counted as those of a camera that is pulled.
type Receiver struct {
	in    *ingest
	pub   Publication
	stats *Stats
	end   sync.Once

	mu    sync.Mutex // guards the field below
	rates rates
}

// NewReceiver opens a new epoch of the publication. transport is what operators are shown, such as "webrtc". Close
// must be called.
func NewReceiver(tracks []ReceiverTrack, pub Publication, transport string) (*Receiver, error) {
	chosen := make([]*selected, 0, len(tracks))
	for _, t := range tracks {
		s, err := t.choose()
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, s)
	}
	if len(chosen) == 0 {
		return nil, errUnsupported
	}
	if pub.Epochs == nil {
		pub.Epochs = media.NewEpochs(0)
	}
	if pub.Stats == nil {
		pub.Stats = &Stats{}
	}
	pub.Epochs.Next()
	r := &Receiver{pub: pub, stats: pub.Stats}
	r.in = newIngest(chosen, pub.Sink, pub.Stats, ingestOptions{epochs: pub.Epochs, trustSender: pub.TrustClock})
	r.stats.begin(transport, time.Now())
	return r, nil
}

func (t ReceiverTrack) choose() (*selected, error) {
	var f format.Format
	channels := max(t.Channels, 1)
	switch t.Codec {
	case media.H264:
		f = &format.H264{PayloadTyp: t.Payload, PacketizationMode: 1}
	case media.H265:
		f = &format.H265{PayloadTyp: t.Payload}
	case media.Opus:
		f = &format.Opus{PayloadTyp: t.Payload, ChannelCount: channels}
	case media.G711A, media.G711U:
		f = &format.G711{PayloadTyp: t.Payload, MULaw: t.Codec == media.G711U, SampleRate: 8000, ChannelCount: channels}
	default:
		return nil, fmt.Errorf("receive %v: %w", t.Codec, errUnsupported)
	}
	s := &selected{forma: f, track: media.Track{ClockRate: f.ClockRate()}}
	if !s.setup(f) {
		return nil, fmt.Errorf("receive %v: %w", t.Codec, errUnsupported)
	}
	return s, nil
}

// RTP takes one packet of a track, in order. b is valid during the call only.
func (r *Receiver) RTP(track int, b []byte, arrival time.Time) {
	r.stats.read(len(b), arrival)
	r.in.tracks[track].rtp(b, arrival)
	r.mu.Lock()
	r.rates.sample(r.stats, arrival)
	r.mu.Unlock()
}

// RTCP takes one compound packet about a track. b is valid during the call only.
func (r *Receiver) RTCP(track int, b []byte, arrival time.Time) { r.in.tracks[track].rtcp(b, arrival) }

// Damaged returns how many pictures lost a part of themselves so far: what follows cannot be decoded without a key
// frame.
func (r *Receiver) Damaged() uint64 { return r.stats.damaged.Load() }

// Withdrawn is closed when nobody takes the publication any more; nil: that does not happen.
func (r *Receiver) Withdrawn() <-chan struct{} { return r.pub.Withdrawn }

// Close ends the publication for the reason err; nil: the sender left. It may be called twice.
func (r *Receiver) Close(err error) {
	r.end.Do(func() {
		r.in.close()
		if err == nil {
			err = errClosedByPeer
		}
		if r.pub.Done != nil {
			r.pub.Done(&Error{Op: "receive", Reason: classify(err), Err: err})
		}
	})
}
