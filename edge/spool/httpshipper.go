package spool

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"skein/recorder/segment"
)

// manifestHeader carries the segment's manifest: base64 (RFC 4648 section 4) of its JSON.
const manifestHeader = "Skein-Manifest"

const (
	maxReceipt  = 64 << 10
	deadPeer    = 30 * time.Second // unacknowledged data for so long ends a connection
	slowestLink = 64 << 10         // bytes per second below which an unpaced attempt is given up
	skipFor     = 15 * time.Second // a recorder that failed is asked last for so long
	gapTimeout  = 30 * time.Second
)

// HTTPShipper ships to recorders over HTTP:
//
//	PUT {URL}/v1/ingest/segments/{camera}/{start in unix ms}
//
// with the manifest in the header Skein-Manifest and the receipt as the answer. Several recorders of one archive are
// tried in the order given; one that just failed is tried last for a while. The zero value of all but URLs works.
type HTTPShipper struct {
	URLs   []string
	Token  string       // bearer token of this node; never logged
	Client *http.Client // nil: one of its own with bounded waits

	once   sync.Once
	client *http.Client

	mu     sync.Mutex // guards failed
	failed map[string]time.Time
}

// Ship implements Shipper.
func (h *HTTPShipper) Ship(ctx context.Context, m segment.Manifest, path string) (segment.Receipt, error) {
	limit := time.Minute + time.Duration(m.Bytes/slowestLink)*time.Second
	return h.try(ctx, m, path, limit, nil)
}

// ShipPaced implements PacedShipper.
func (h *HTTPShipper) ShipPaced(
	ctx context.Context, m segment.Manifest, path string, wait func(ctx context.Context, n int) error,
) (segment.Receipt, error) {
	return h.try(ctx, m, path, 0, wait)
}

// try asks one recorder after the other.
func (h *HTTPShipper) try(
	ctx context.Context, m segment.Manifest, path string, limit time.Duration,
	wait func(ctx context.Context, n int) error,
) (segment.Receipt, error) {
	h.once.Do(h.init)
	header, err := json.Marshal(m)
	if err != nil {
		return segment.Receipt{}, fmt.Errorf("%w: %w", errLocal, err)
	}
	encoded := base64.StdEncoding.EncodeToString(header)
	errs := []error{}
	for _, u := range h.order() {
		r, err := h.put(ctx, attempt{base: u, m: m, header: encoded, path: path, limit: limit, wait: wait})
		if err == nil {
			h.note(u, false)
			return r, nil
		}
		if isRefused(err) || errors.Is(err, errLocal) || ctx.Err() != nil {
			return segment.Receipt{}, err
		}
		h.note(u, true)
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return segment.Receipt{}, errors.New("no recorder's address is configured")
	}
	return segment.Receipt{}, errors.Join(errs...)
}

func (h *HTTPShipper) init() {
	h.failed = map[string]time.Time{}
	h.client = h.Client
	if h.client != nil {
		return
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { // a link that died without a word is noticed within deadPeer
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(deadPeer.Milliseconds()))
		})
	}}
	h.client = &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: 10 * time.Second, ExpectContinueTimeout: time.Second,
			ResponseHeaderTimeout: 2 * time.Minute, MaxIdleConnsPerHost: 2 * DefaultParallel,
			IdleConnTimeout: time.Minute, DisableCompression: true, Proxy: http.ProxyFromEnvironment,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Close ends idle connections.
func (h *HTTPShipper) Close() error {
	h.once.Do(h.init)
	h.client.CloseIdleConnections()
	return nil
}

// order returns the addresses as given, those that failed lately last.
func (h *HTTPShipper) order() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var good, bad []string
	for _, u := range h.URLs {
		if at, ok := h.failed[u]; ok && time.Since(at) < skipFor {
			bad = append(bad, u)
		} else {
			good = append(good, u)
		}
	}
	return append(good, bad...)
}

func (h *HTTPShipper) note(u string, failed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if failed {
		h.failed[u] = time.Now()
	} else {
		delete(h.failed, u)
	}
}

// attempt is one request.
type attempt struct {
	base, header, path string
	m                  segment.Manifest
	limit              time.Duration // 0: none
	wait               func(ctx context.Context, n int) error
}

func (h *HTTPShipper) put(ctx context.Context, a attempt) (segment.Receipt, error) {
	var none segment.Receipt
	if a.limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, a.limit)
		defer cancel()
	}
	f, err := os.Open(a.path)
	if err != nil {
		return none, fmt.Errorf("%w: %w", errLocal, err)
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || st.Size() != a.m.Bytes {
		return none, fmt.Errorf("%w: %s is not of the size in its manifest", errLocal, a.path)
	}
	target := strings.TrimRight(a.base, "/") + "/v1/ingest/segments/" + url.PathEscape(a.m.Camera) + "/" +
		strconv.FormatInt(a.m.Start.UnixMilli(), 10)
	var body io.Reader = f // a plain file goes out with sendfile
	if a.wait != nil {
		body = &pacedReader{ctx: ctx, r: f, wait: a.wait}
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodPut, target, body)
	if err != nil {
		return none, fmt.Errorf("recorder's address %s: %w", redact(a.base), errors.Unwrap(err))
	}
	q.ContentLength = a.m.Bytes
	q.Header.Set("Content-Type", "video/mp4")
	q.Header.Set(manifestHeader, a.header)
	q.Header.Set("Expect", "100-continue") // what is known or not allowed is answered before the body is sent
	if h.Token != "" {
		q.Header.Set("Authorization", "Bearer "+h.Token)
	}
	resp, err := h.client.Do(q)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // without the address, which may hold a password
		}
		return none, fmt.Errorf("ship to %s: %w", redact(a.base), err)
	}
	defer resp.Body.Close()
	return readReceipt(resp, a.base)
}

// readReceipt reads the answer of a recorder.
func readReceipt(resp *http.Response, base string) (segment.Receipt, error) {
	var r segment.Receipt
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxReceipt))
	if err != nil {
		return r, fmt.Errorf("answer of %s: %w", redact(base), err)
	}
	if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusCreated {
		if err := json.Unmarshal(data, &r); err != nil {
			return r, fmt.Errorf("receipt of %s: %w", redact(base), err)
		}
		return r, nil
	}
	detail := detailOf(data, resp.StatusCode)
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusConflict, http.StatusRequestEntityTooLarge,
		http.StatusLengthRequired, http.StatusUnprocessableEntity:
		return r, &RefusedError{Status: resp.StatusCode, Detail: detail}
	}
	return r, fmt.Errorf("recorder %s answers %d: %s", redact(base), resp.StatusCode, detail)
}

// detailOf returns what a problem document (RFC 9457) says, shortened.
func detailOf(answer []byte, status int) string {
	var p struct{ Detail string }
	_ = json.Unmarshal(answer, &p) // another answer tells nothing but its status
	if p.Detail == "" {
		return http.StatusText(status)
	}
	return fmt.Sprintf("%.300s", p.Detail)
}

// ShipGap implements GapShipper: PUT {URL}/v1/ingest/gaps/{camera}/{from in unix ms} with the document as JSON.
func (h *HTTPShipper) ShipGap(ctx context.Context, d segment.GapDoc) error {
	h.once.Do(h.init)
	data, err := json.Marshal(d)
	if err != nil {
		return &RefusedError{Detail: err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, gapTimeout)
	defer cancel()
	errs := []error{}
	for _, u := range h.order() {
		err := h.putGap(ctx, u, d, data)
		if err == nil || isRefused(err) || ctx.Err() != nil {
			return err
		}
		h.note(u, true)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (h *HTTPShipper) putGap(ctx context.Context, base string, d segment.GapDoc, data []byte) error {
	target := strings.TrimRight(base, "/") + "/v1/ingest/gaps/" + url.PathEscape(d.Camera) + "/" +
		strconv.FormatInt(d.From.UnixMilli(), 10)
	q, err := http.NewRequestWithContext(ctx, http.MethodPut, target, bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("recorder's address %s: %w", redact(base), errors.Unwrap(err))
	}
	q.Header.Set("Content-Type", "application/json")
	if h.Token != "" {
		q.Header.Set("Authorization", "Bearer "+h.Token)
	}
	resp, err := h.client.Do(q)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // without the address, which may hold a password
		}
		return fmt.Errorf("ship a gap to %s: %w", redact(base), err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, maxReceipt)) // to its end: the connection is used again
	switch resp.StatusCode {
	case http.StatusOK, http.StatusCreated, http.StatusNoContent:
		return nil
	case http.StatusNotFound, http.StatusBadRequest, http.StatusForbidden, http.StatusUnprocessableEntity:
		return &RefusedError{Status: resp.StatusCode, Detail: detailOf(answer, resp.StatusCode)}
	}
	return fmt.Errorf("recorder %s answers %d to a gap", redact(base), resp.StatusCode)
}

// redact returns an address without its password.
func redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(not a URL)"
	}
	return u.Redacted()
}

// pacedReader asks before it hands bytes out.
type pacedReader struct {
	ctx  context.Context // a reader has no other way to be told
	r    io.Reader
	wait func(ctx context.Context, n int) error
}

// Read implements io.Reader.
func (p *pacedReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b[:min(len(b), pace)])
	if n > 0 {
		if werr := p.wait(p.ctx, n); werr != nil {
			return 0, werr
		}
	}
	return n, err
}
