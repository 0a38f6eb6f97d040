package index_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"skein/config/secret"
	"skein/recorder/index"
	"skein/recorder/index/indextest"
	"skein/recorder/index/redistest"
	"skein/recorder/segment"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, cfg index.Config) *index.Index {
	t.Helper()
	x, err := index.Open(cfg, index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	return x
}

func TestEmbedded(t *testing.T) {
	t.Parallel()
	indextest.Run(t, func(t *testing.T) *index.Index { return open(t, index.Config{Embedded: true}) })
}

func TestRedis(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	indextest.Run(t, func(t *testing.T) *index.Index { return open(t, index.Config{Redis: []string{s.URL}}) })
}

func TestPasswordIsUsedAndNeverShown(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "--requirepass", "open-sesame")
	x := open(t, index.Config{Redis: []string{s.URL}, Password: secret.New("open-sesame")})
	if err := x.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	wrong := open(t, index.Config{Redis: []string{"redis://:sesame-2@" + s.Addr}})
	err := wrong.Ping(t.Context())
	if !errors.Is(err, index.ErrUnavailable) || strings.Contains(err.Error(), "sesame") {
		t.Fatalf("wrong password: %v", err)
	}
	text := fmt.Sprintf("%v %+v %#v %+v", secret.New("pw"), struct{ S secret.String }{secret.New("pw")}, secret.New("pw"),
		index.Config{Password: secret.New("pw")})
	if strings.Contains(text, "pw") {
		t.Fatalf("secret is shown: %s", text)
	}
	for _, u := range []string{"http://u:geheim@h", "redis://u:geheim@h:1:2/\x00", "redis://u:geheim@"} {
		if err := (index.Config{Redis: []string{u}}).Validate(); err == nil || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%q: %v", u, err)
		}
	}
}

// A server that goes away gives ErrUnavailable; when it is back, empty, the index goes on.
func TestServerAway(t *testing.T) {
	t.Parallel()
	x, err := index.Open(index.Config{Redis: []string{"redis://127.0.0.1:1/0"}}, index.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	ctx := t.Context()
	r := indextest.Record(indextest.Base(), time.Second, 1)
	within := segment.Range{From: indextest.Base(), To: indextest.Base().Add(time.Hour)}
	_, rangeErr := x.Range(ctx, "cam", within)
	_, camErr := x.Cameras(ctx)
	for name, err := range map[string]error{
		"add": x.Add(ctx, "cam", r), "remove": x.Remove(ctx, "cam", r), "range": rangeErr, "cameras": camErr,
		"reset": x.Reset(ctx), "ping": x.Ping(ctx),
	} {
		if !errors.Is(err, index.ErrUnavailable) {
			t.Errorf("%s: got %v, want ErrUnavailable", name, err)
		}
	}
}

// Whoever flushes the server loses the index, not the program: shard numbers of other recorders must not mix with new
// ones.
func TestFlushAllAtRuntime(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := open(t, index.Config{Redis: []string{s.URL}})
	b := open(t, index.Config{Redis: []string{s.URL}})
	ctx := t.Context()
	r1 := indextest.Record(indextest.Base(), time.Second, 1)
	r2 := indextest.Record(indextest.Base().Add(time.Second), time.Second, 2)
	r2.Shard = "b"
	if err := errors.Join(a.Add(ctx, "cam", r1), a.Add(ctx, "cam", r2)); err != nil {
		t.Fatal(err)
	}
	flush(t, s)
	if err := errors.Join(b.Add(ctx, "cam", r2), a.Add(ctx, "cam", r1)); err != nil {
		t.Fatal(err)
	}
	within := segment.Range{From: indextest.Base(), To: indextest.Base().Add(time.Hour)}
	got, err := b.Range(ctx, "cam", within)
	if err != nil || !slices.Equal(got, []segment.Record{r1, r2}) {
		t.Fatalf("after FLUSHALL: %+v, %v", got, err)
	}
	if ids, err := a.Cameras(ctx); err != nil || !slices.Equal(ids, []string{"cam"}) {
		t.Fatalf("cameras after FLUSHALL: %v, %v", ids, err)
	}
}

// Hours that lost their camera's head keep their segments; only the shard is not known any more.
func TestHeadLost(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	x := open(t, index.Config{Redis: []string{s.URL}})
	r1 := indextest.Record(indextest.Base(), time.Second, 1)
	r2 := indextest.Record(indextest.Base().Add(time.Second), time.Second, 2)
	r2.Shard = "other"
	if err := x.Add(t.Context(), "cam", r1); err != nil {
		t.Fatal(err)
	}
	if err := client(t, s).Del(context.Background(), "seg:{cam}").Err(); err != nil {
		t.Fatal(err)
	}
	if err := x.Add(t.Context(), "cam", r2); err != nil {
		t.Fatal(err)
	}
	r1.Shard = ""
	within := segment.Range{From: indextest.Base(), To: indextest.Base().Add(time.Hour)}
	if got, err := x.Range(t.Context(), "cam", within); err != nil || !slices.Equal(got, []segment.Record{r1, r2}) {
		t.Fatalf("got %+v, %v", got, err)
	}
}

// Bytes that are not ours are reported, and a rebuild writes over them.
func TestDamagedHour(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	x := open(t, index.Config{Redis: []string{s.URL}})
	r := indextest.Record(indextest.Base(), time.Second, 1)
	if err := x.Add(t.Context(), "cam", r); err != nil {
		t.Fatal(err)
	}
	key := fmt.Sprintf("seg:{cam}:%d", indextest.Base().Unix()/3600)
	if err := client(t, s).Set(context.Background(), key, "rubbish", 0).Err(); err != nil {
		t.Fatal(err)
	}
	within := segment.Range{From: indextest.Base(), To: indextest.Base().Add(time.Hour)}
	if _, err := x.Range(t.Context(), "cam", within); err == nil || !strings.Contains(err.Error(), "check --rebuild") {
		t.Fatalf("damaged hour: %v", err)
	}
	if err := x.Add(t.Context(), "cam", r); err != nil {
		t.Fatal(err)
	}
	if got, err := x.Range(t.Context(), "cam", within); err != nil || !slices.Equal(got, []segment.Record{r}) {
		t.Fatalf("got %+v, %v", got, err)
	}
}
