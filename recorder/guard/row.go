package guard

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"skein/internal/caller"
	"skein/internal/ledger"
	"skein/recorder/reply"
)

// Action is what a row is about.
type Action string

// The actions of rows.
const (
	ActionClip       Action = "clip"       // footage was opened, as a file or as a playlist
	ActionThumbnails Action = "thumbnails" // pictures of an hour were opened
	ActionCoverage   Action = "coverage"   // only refusals
	ActionLocks      Action = "locks"      // only refusals
	ActionLock       Action = "lock"
	ActionUnlock     Action = "unlock"
	ActionShip       Action = "ship"    // only refusals
	ActionGap        Action = "gap"     // only refusals
	ActionRequest    Action = "request" // any other that was refused
	ActionAudit      Action = "audit"   // the log itself can be written again
)

// Outcome tells whether the act was let through.
type Outcome string

// The outcomes.
const (
	OutcomeDone    Outcome = "done" // let through: the row is written before the act
	OutcomeRefused Outcome = "refused"
)

// Row is the body of one audit row. Its keys are those of the gateway's rows, so that one reader reads both.
type Row struct {
	Actor     string      `json:"actor,omitempty"` // the person; for a node's own acts the node
	Kind      string      `json:"kind,omitempty"`  // user, token or node
	Role      string      `json:"role,omitempty"`
	Unit      string      `json:"unit,omitempty"`
	Node      string      `json:"node,omitempty"` // that sent the request
	NodeKind  caller.Kind `json:"node_kind,omitempty"`
	Action    Action      `json:"action"`
	Outcome   Outcome     `json:"outcome"`
	Address   string      `json:"address,omitempty"` // the person's, or the node's, IP address
	Cameras   []string    `json:"cameras,omitempty"`
	From      time.Time   `json:"from,omitzero"`
	To        time.Time   `json:"to,omitzero"`
	Retrieval string      `json:"retrieval,omitempty"`
	Detail    string      `json:"detail,omitempty"`
}

const (
	repeatAfter = 10 * time.Minute // reading the same again before is the same act
	maxRepeats  = 4096
	refusalRate = 1 // rows a second about what was refused, for strangers and for nodes each
	refusals    = 20
	maxDetail   = 300 // bytes
)

// book is the audit log with what keeps it short: repetitions and floods.
type book struct {
	rows *ledger.Ledger
	log  *slog.Logger
	now  func() time.Time

	strangers, nodes thinned
	refusedTotal     prometheus.Counter

	mu     sync.Mutex // guards the fields below
	seen   map[string]time.Time
	failed error // of the last row, if that could not be written
}

// thinned lets a bounded number of rows through and counts the others.
type thinned struct {
	limit *rate.Limiter

	mu      sync.Mutex // guards the field below
	skipped int
}

func newBook(rows *ledger.Ledger, o Options) *book {
	b := &book{
		rows: rows, log: o.Log, now: o.Now, seen: map[string]time.Time{},
		strangers: thinned{limit: rate.NewLimiter(refusalRate, refusals)},
		nodes:     thinned{limit: rate.NewLimiter(refusalRate, refusals)},
		refusedTotal: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "skein", Subsystem: "recorder", Name: "refused_requests_total",
			Help: "Requests of nodes and strangers that were not allowed.",
		}),
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(b.refusedTotal)
	}
	return b
}

// write appends a row, unless the same was written a moment ago, and returns when it is durable.
func (b *book) write(row Row) error {
	key := ""
	if row.Outcome == OutcomeDone && (row.Action == ActionClip || row.Action == ActionThumbnails) {
		key = fmt.Sprint(row.Actor, "|", row.Kind, "|", row.Node, "|", row.Action, "|", row.Cameras, "|",
			row.From.UnixMilli(), "|", row.To.UnixMilli(), "|", row.Retrieval)
	}
	b.mu.Lock()
	at, ok := b.seen[key]
	b.mu.Unlock()
	if key != "" && ok && b.now().Sub(at) < repeatAfter {
		return nil
	}
	_, err := b.rows.Append(row)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failed = err
	if err != nil || key == "" {
		return err
	}
	if len(b.seen) >= maxRepeats {
		clear(b.seen) // what is asked again is recorded once more
	}
	b.seen[key] = b.now()
	return nil
}

// ready returns why no row can be written. It tries again where the last one failed.
func (b *book) ready() error {
	b.mu.Lock()
	failed := b.failed
	b.mu.Unlock()
	if failed == nil {
		return nil
	}
	err := b.write(Row{Actor: "skein", Action: ActionAudit, Outcome: OutcomeDone, Detail: "the log can be written again"})
	if err != nil {
		return fmt.Errorf("the recorder's audit log cannot be written: %w", err)
	}
	return nil
}

// refused writes a row about what was not allowed, if there were not too many lately.
func (b *book) refused(row Row) {
	b.refusedTotal.Inc()
	t := &b.nodes
	if row.Node == "" {
		t = &b.strangers
	}
	t.mu.Lock()
	if !t.limit.Allow() {
		t.skipped++
		t.mu.Unlock()
		return
	}
	skipped := t.skipped
	t.skipped = 0
	t.mu.Unlock()
	row.Detail = cut(row.Detail, maxDetail)
	if skipped > 0 {
		row.Detail += fmt.Sprintf(" (and %d more that were refused)", skipped)
	}
	b.log.Warn("refused", "action", row.Action, "node", row.Node, "address", row.Address, "cameras", row.Cameras,
		"why", row.Detail)
	if err := b.write(row); err != nil {
		b.log.Error("audit row lost", "action", row.Action, "node", row.Node, "error", err)
	}
}

// Footage serves clips, pictures and coverage to gateways that name the person for whom they ask. The row about a clip
// or a picture is written first; an answer about coverage shows no footage and has none.
func (g *Guard) Footage(next http.Handler) http.Handler {
	return g.Act(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		row := request(r)
		if row.Action == ActionClip || row.Action == ActionThumbnails {
			if err := Record(r.Context(), row); err != nil {
				NotRecorded(w)
				return
			}
		}
		next.ServeHTTP(w, r)
	}))
}

// NotRecorded answers a request that was not served because its row could not be written.
func NotRecorded(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "5")
	reply.Problem(w, http.StatusServiceUnavailable, ErrNotRecorded.Error())
}

// request tells of a request what a row says of it. Nothing in it is believed: it may be anybody's.
func request(r *http.Request) Row {
	row := Row{Action: ActionRequest, Detail: cut(r.Method+" "+printable(r.URL.Path), maxDetail)}
	q := r.URL.Query()
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/v1/"), "/")
	name := func() string {
		if len(parts) < 2 {
			return ""
		}
		camera, _, _ := strings.Cut(parts[1], ".")
		return cut(printable(camera), 64)
	}
	switch parts[0] {
	case "clips":
		row.Action, row.Cameras, row.Detail = ActionClip, []string{name()}, ""
		row.From, row.To = timeOf(q.Get("from")), timeOf(q.Get("to"))
		if len(parts) > 3 { // {camera}/hls/{segment}/{part}: one row stands for the parts of an hour
			ms, _, _ := strings.Cut(parts[3], "-")
			row.From, row.To = hourOf(millis(ms))
			row.Detail = "parts"
		}
	case "thumbnails":
		row.Action, row.Cameras, row.Detail = ActionThumbnails, []string{name()}, ""
		row.From, row.To = hourOf(timeOf(q.Get("at")))
	case "coverage":
		row.Action = ActionCoverage
	case "locks":
		row.Action = ActionLocks
	case "ingest":
		row.Action = ActionShip
		if len(parts) > 1 && parts[1] == "gaps" {
			row.Action = ActionGap
		}
		if len(parts) > 3 {
			row.Cameras = []string{cut(printable(parts[2]), 64)}
			row.From = millis(parts[3])
		}
	}
	return row
}

func timeOf(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, strings.Replace(s, " ", "+", 1)) // a plus that was not escaped
	if err != nil || t.Year() < 1970 || t.Year() > 9999 {
		return time.Time{}
	}
	return t.UTC()
}

// maxMillis is the end of the year 9999: later times cannot be written as RFC 3339.
const maxMillis = 253402300799999

func millis(s string) time.Time {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > maxMillis {
		return time.Time{}
	}
	return time.UnixMilli(n).UTC()
}

// hourOf returns the hour around t; a zero time has none.
func hourOf(t time.Time) (from, to time.Time) {
	if t.IsZero() {
		return t, t
	}
	from = t.Truncate(time.Hour)
	return from, from.Add(time.Hour)
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

// printable returns s without what could break a line or a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return '?'
		}
		return r
	}, s)
}

func remoteIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
