package api

import (
	"bytes"
	"net/http"

	"skein/gateway/api/problem"
)

// maxBuffered is the longest answer of the archive that is changed on its way, in bytes.
const maxBuffered = 32 << 20

// bufferWriter keeps an answer back. Beyond maxBuffered it is given up.
type bufferWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
	over   bool
}

func newBufferWriter() *bufferWriter { return &bufferWriter{header: http.Header{}} }

// Header implements http.ResponseWriter.
func (w *bufferWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *bufferWriter) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
}

// Write implements http.ResponseWriter.
func (w *bufferWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.body.Len()+len(b) > maxBuffered {
		w.over = true
		return 0, http.ErrContentLength
	}
	return w.body.Write(b)
}

// forward sends the answer on with another body. If it was too long, a problem.
func (w *bufferWriter) forward(to http.ResponseWriter, r *http.Request, body []byte) {
	if w.over {
		problem.Write(to, r, http.StatusBadGateway, "the archive's answer is too long: ask for less")
		return
	}
	h := to.Header()
	for k, v := range w.header {
		h[k] = v
	}
	for _, k := range []string{"Content-Length", "ETag", "Accept-Ranges"} {
		h.Del(k)
	}
	w.WriteHeader(http.StatusOK) // if the handler never said
	to.WriteHeader(w.status)
	if r.Method != http.MethodHead {
		_, _ = to.Write(body) // the client is gone: nobody is left to tell
	}
}

// capture asks the archive for a whole answer: no ranges, no compression, no 304.
func (s *Server) capture(r *http.Request) *bufferWriter {
	in := r.Clone(r.Context())
	in.Method = http.MethodGet
	for _, k := range []string{"Range", "If-Range", "If-None-Match", "If-Modified-Since", "Accept-Encoding"} {
		in.Header.Del(k)
	}
	w := newBufferWriter()
	s.o.Archive.ServeHTTP(w, in)
	return w
}
