package relay

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"skein/edge/media"
)

// deadEnd makes a network with nobody in it, and returns the address of somebody who does not answer there: what is
// sent to him stays in the socket's buffer while the kernel asks for him.
func deadEnd(t *testing.T, mtu int) netip.Addr {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil || os.Getuid() != 0 {
		if os.Getenv("SKEIN_REQUIRE_TOOLS") == "1" {
			t.Fatal("a network of one's own needs root and ip(8)")
		}
		t.Skip("a network of one's own needs root and ip(8)")
	}
	id := os.Getpid() % 200
	name := fmt.Sprintf("skq%d%d", mtu, id)
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", name).Run() })
	for _, c := range []string{
		fmt.Sprintf("link add %s mtu %d type veth peer name %sp mtu %d", name, mtu, name, mtu),
		fmt.Sprintf("addr add 10.215.%d.1/24 dev %s", id, name),
		fmt.Sprintf("link set %s up", name), fmt.Sprintf("link set %sp up", name),
	} {
		if out, err := exec.Command("ip", strings.Fields(c)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", c, err, out)
		}
	}
	return netip.AddrFrom4([4]byte{10, 215, byte(id), 77})
}

// A socket whose buffer is full of packets that do not get away holds up nobody: the feed goes on in time.
func TestFullSocketDoesNotHoldUpTheFeed(t *testing.T) {
	gone := deadEnd(t, 1500)
	r, _, _ := hotRelay(t, "0.0.0.0:0")
	if err := r.outlet.conn.SetWriteBuffer(32 << 10); err != nil {
		t.Fatal(err)
	}
	l := newLine(media.H264, videoRate)
	hotSlot(t, r, l, 1, netip.AddrPortFrom(gone, 9))
	b, z := newBatch(r.outlet), &packetizer{max: 1200}
	fanOut(l, b, z, picture(true), 0)
	u := picture(false)
	var took []time.Duration
	for n := range int64(40) {
		began := time.Now()
		fanOut(l, b, z, u, n+1)
		took = append(took, time.Since(began))
		time.Sleep(10 * time.Millisecond)
	}
	slices.Sort(took)
	t.Logf("a picture took %v (median), %v at most; %d sends refused", took[20], took[39], r.outlet.errors.Load())
	if r.outlet.errors.Load() == 0 {
		t.Fatal("the socket was never full: the test proves nothing")
	}
	if took[20] > 10*time.Millisecond || took[39] > 500*time.Millisecond {
		t.Errorf("a picture took %v (median), %v at most", took[20], took[39])
	}
}

// A network with a small MTU gets its packets without segmentation, and everybody else with it.
func TestSmallMTUGetsSinglePackets(t *testing.T) {
	gone := deadEnd(t, 1000)
	r, sink, _ := hotRelay(t, "0.0.0.0:0")
	if !r.outlet.gso.Load() {
		t.Skip("no segmentation on this kernel")
	}
	b := newBatch(r.outlet)
	small, good := r.outlet.path(netip.AddrPortFrom(gone, 9)), r.outlet.path(sink.LocalAddr().(*net.UDPAddr).AddrPort()) //nolint:forcetypeassert // a UDP socket
	for _, p := range []*path{small, good} {
		for range 4 {
			b.room(1200)
			b.add(p, 1200)
		}
	}
	b.flush()
	_ = sink.SetReadDeadline(time.Now().Add(5 * time.Second))
	buf := make([]byte, 2000)
	for range 4 {
		if n, err := sink.Read(buf); n != 1200 || err != nil {
			t.Fatalf("%d bytes (%v)", n, err)
		}
	}
	if n := r.outlet.errors.Load(); n != 0 {
		t.Errorf("%d sends refused", n)
	}
	t.Logf("segmentation is still on: %v", r.outlet.gso.Load())
}
