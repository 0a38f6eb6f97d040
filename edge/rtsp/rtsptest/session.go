package rtsptest

import (
	"bufio"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/bluenviron/gortsplib/v5/pkg/auth"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/conn"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/headers"
)

// session is one client's connection to a Camera.
type session struct {
	c      *Camera
	nc     net.Conn
	nonce  string
	tracks []*sender
	stop   chan struct{}
	wg     sync.WaitGroup
	n      int // packets so far, guarded by mu
	frames int // interleaved frames so far, guarded by mu

	mu sync.Mutex // serializes writes to nc
}

func newSession(c *Camera, nc net.Conn) *session {
	s := &session{c: c, nc: nc, stop: make(chan struct{})}
	s.nonce, _ = auth.GenerateNonce()
	return s
}

func (s *session) run() {
	defer func() {
		close(s.stop)
		s.wg.Wait()
		for _, t := range s.tracks {
			t.close()
		}
	}()
	r := conn.NewConn(bufio.NewReader(s.nc), s.nc)
	for {
		msg, err := r.Read()
		if err != nil {
			return
		}
		req, ok := msg.(*base.Request)
		if !ok {
			continue
		}
		if s.c.o.EarlyRTP && req.Method != base.Play {
			s.foreign(0)
		}
		res := s.answer(req)
		res.Header["CSeq"] = req.Header["CSeq"]
		b, err := res.Marshal()
		if err != nil || s.write(b) != nil {
			return
		}
		if req.Method == base.Play && res.StatusCode == base.StatusOK {
			s.c.plays.Add(1)
			s.wg.Go(s.stream)
		}
		if req.Method == base.Teardown {
			return
		}
	}
}

func (s *session) write(b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.nc.Write(b)
	return err
}

func reply(code base.StatusCode) *base.Response {
	return &base.Response{StatusCode: code, Header: base.Header{}}
}

func (s *session) answer(req *base.Request) *base.Response {
	o := s.c.o
	if req.Method == base.Options {
		res := reply(base.StatusOK)
		res.Header["Public"] = base.HeaderValue{"DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"}
		return res
	}
	if o.User != "" && auth.Verify(req, o.User, o.Password, o.Auth, "camera", s.nonce) != nil {
		res := reply(base.StatusUnauthorized)
		res.Header["WWW-Authenticate"] = auth.GenerateWWWAuthenticate(o.Auth, "camera", s.nonce)
		return res
	}
	switch req.Method {
	case base.Describe:
		return s.describe(req)
	case base.Setup:
		return s.setup(req)
	case base.Play, base.GetParameter, base.Teardown:
		res := reply(base.StatusOK)
		res.Header["Session"] = base.HeaderValue{"12345678;timeout=60"}
		return res
	}
	return reply(base.StatusNotImplemented)
}

func (s *session) describe(req *base.Request) *base.Response {
	o := s.c.o
	if o.Fault == NotFound {
		return reply(base.StatusNotFound)
	}
	desc := &description.Session{}
	add := func(src *source, err error) bool {
		if err != nil {
			return false
		}
		kind := description.MediaTypeAudio
		if src.codec.IsVideo() {
			kind = description.MediaTypeVideo
		}
		desc.Medias = append(desc.Medias, &description.Media{
			Type: kind, Control: fmt.Sprintf("trackID=%d", len(s.tracks)), Formats: []format.Format{src.forma},
		})
		s.tracks = append(s.tracks, newSender(s, src))
		return true
	}
	s.tracks = nil
	if o.Video != 0 && !add(videoSource(o.Video, o)) || o.Audio != 0 && !add(audioSource(o.Audio)) {
		return reply(base.StatusInternalServerError)
	}
	body, err := desc.Marshal()
	if err != nil {
		return reply(base.StatusInternalServerError)
	}
	if o.Metadata {
		body = append(body, "m=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/90000\r\na=control:trackID=7\r\n"+
			"m=audio 0 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendonly\r\na=control:trackID=8\r\n"+
			"m=audio 0 RTP/AVP 104\r\na=rtpmap:104 mpeg4-generic/16000/1\r\na=fmtp:104 mode=vendor-odd;config=zz\r\n"+
			"a=control:trackID=9\r\n"...)
	}
	res := reply(base.StatusOK)
	res.Header["Content-Type"] = base.HeaderValue{"application/sdp"}
	res.Header["Content-Base"] = base.HeaderValue{strings.TrimSuffix(req.URL.String(), "/") + "/"}
	res.Body = body
	return res
}

func (s *session) setup(req *base.Request) *base.Response {
	o := s.c.o
	id, err := strconv.Atoi(req.URL.Path[strings.LastIndexByte(req.URL.Path, '=')+1:])
	if err != nil || id < 0 || id >= len(s.tracks) {
		return reply(base.StatusNotFound)
	}
	var th headers.Transport
	if th.Unmarshal(req.Header["Transport"]) != nil {
		return reply(base.StatusBadRequest)
	}
	udp := th.Protocol == headers.TransportProtocolUDP
	multicast := th.Delivery != nil && *th.Delivery == headers.TransportDeliveryMulticast
	if udp && o.Fault == NoUDP || !udp && o.Fault == NoTCP || !multicast && o.Fault == MulticastOnly {
		return reply(base.StatusUnsupportedTransport)
	}
	t := s.tracks[id]
	out := headers.Transport{Protocol: th.Protocol, Delivery: th.Delivery}
	switch {
	case multicast:
		if err := t.openMulticast(s.nc, &out); err != nil {
			return reply(base.StatusInternalServerError)
		}
	case udp:
		if err := t.openUDP(s.nc, th.ClientPorts); err != nil {
			return reply(base.StatusInternalServerError)
		}
		out.ClientPorts = th.ClientPorts
		out.ServerPorts = &[2]int{t.rtp.LocalAddr().(*net.UDPAddr).Port, t.rtcp.LocalAddr().(*net.UDPAddr).Port}
	default:
		t.channel = th.InterleavedIDs[0]
		out.InterleavedIDs = th.InterleavedIDs
	}
	if !o.HideSSRC {
		ssrc := t.ssrc
		if o.LyingSSRC {
			ssrc ^= 0xffff
		}
		out.SSRC = &ssrc
	}
	res := reply(base.StatusOK)
	res.Header["Transport"] = out.Marshal()
	res.Header["Session"] = base.HeaderValue{"12345678;timeout=60"}
	return res
}
