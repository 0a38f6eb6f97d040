package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"skein/edge/status"
)

// TestPublishFromABrowser proves that a person can make a phone a camera with the console's page alone: Chromium's fake
// camera is live and recorded, waits for a place that somebody else has, and leaves when told.
func TestPublishFromABrowser(t *testing.T) {
	beside(t, 2, 25*time.Second)
	tool(t, "ffprobe")
	n := newNode(t, "all")
	n.configure(t, oneUnit+access+"cameras:\n  - {id: phone, name: 巡逻手机, unit: yf, main: push, record: main}\n"+
		"  - {id: wall, name: W, unit: yf, main: \"rtsp://127.0.0.1:1/\"}\n")
	n.start(t)
	c := openConsole(t, n)
	c.ask(`{"do":"login"}`)

	p := n.publish(t, "phone")
	n.awaitState(t, status.Live, 20*time.Second, "phone")
	c.ask(`{"do":"publish","camera":"phone"}`)
	if a := c.ask(`{"do":"phase","phase":"waiting"}`); !strings.Contains(a.Text, "该设备正由另一来源推流") ||
		!strings.Contains(a.Text, "by bench since") {
		t.Errorf("the page says %q", a.Text)
	}
	if r, body, err := n.send("DELETE", p.location, "", ""); err != nil || r.StatusCode != 200 {
		t.Fatalf("the phone leaves: %v %s", err, body)
	}
	c.ask(`{"do":"phase","phase":"live"}`) // by itself
	n.awaitState(t, status.Live, 20*time.Second, "phone")
	c.ask(`{"do":"turn"}`) // to the other camera, in the same broadcast
	from := time.Now()
	c.ask(`{"do":"says","text":"前置"}`)
	c.ask(`{"do":"says","text":"正在录像"}`)
	c.ask(`{"do":"says","text":"kbit/s"}`)
	await(t, from.Add(6*time.Second))
	to := time.Now()
	file, err := n.download(t, "phone", from, to)
	if err != nil {
		t.Fatal(err)
	}
	out := probe(t, file)
	if off := (out.duration() - to.Sub(from)).Abs(); off > 200*time.Millisecond || out.codecs() != "h264+opus" {
		t.Errorf("clip of %v with %s, want %v", out.duration(), out.codecs(), to.Sub(from))
	}
	all, err := n.cameras()
	if err != nil {
		t.Fatal(err)
	}
	main := all["phone"].Profiles["main"]
	if main.Codec != "H264" || main.Audio != "OPUS" || main.Width != 1280 {
		t.Errorf("%+v", main)
	}
	t.Logf("%dx%d, %.0f fps, %d kbit/s; clip of %v", main.Width, main.Height, main.FPS, main.Kbps, out.duration())

	c.ask(`{"do":"stop"}`)
	c.ask(`{"do":"phase","phase":"off"}`)
	poll(t, "end of the publication", 10*time.Second, func() error {
		all, err := n.cameras()
		if err == nil && all["phone"].State == status.Live {
			err = fmt.Errorf("still %s", all["phone"].State)
		}
		return err
	})
}
