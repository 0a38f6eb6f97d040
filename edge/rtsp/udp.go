package rtsp

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/headers"
)

// maxDatagram is the largest UDP payload.
const maxDatagram = 65535

// datagrams leads the RTP and RTCP datagrams of a session to their tracks as soon as they are read, past the library:
// its buffer holds a whole second of a small stream back at each lost packet, and loses pictures when the source
// changes. The library gets them too, for its receiver reports, by which cameras tell that we are still there.
type datagrams struct {
	stats *Stats

	mu    sync.Mutex // guards the fields below
	asked [2]int     // the client ports of the SETUP under way
	ports map[int]datagramRoute
	group []*net.UDPConn // sockets that joined a multicast group

	wg sync.WaitGroup
}

type datagramRoute struct {
	from net.IP
	take frameFunc
}

// ask notes the client ports of a SETUP.
func (d *datagrams) ask(transport headers.Transport) {
	if transport.ClientPorts != nil {
		d.mu.Lock()
		d.asked = *transport.ClientPorts
		d.mu.Unlock()
	}
}

// route leads what comes from an address to the ports last asked for to a track.
func (d *datagrams) route(from net.IP, t *track) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ports == nil {
		d.ports = map[int]datagramRoute{}
	}
	d.ports[d.asked[0]], d.ports[d.asked[1]] = datagramRoute{from, t.rtp}, datagramRoute{from, t.rtcp}
}

// deliver hands over a datagram that came to a port.
func (d *datagrams) deliver(port int, from net.IP, b []byte, arrival time.Time) {
	d.mu.Lock()
	r := d.ports[port]
	d.mu.Unlock()
	if r.take != nil && r.from.Equal(from) {
		r.take(b, arrival)
	}
}

// join receives a multicast group (RFC 2326 section 12.39) on the interface on which the RTSP connection stands.
func (d *datagrams) join(conn net.Conn, from net.IP, th headers.Transport, t *track) error {
	ifi, err := interfaceOf(conn.LocalAddr())
	if err != nil {
		return err
	}
	group := net.ParseIP(*th.Destination2)
	if group == nil || !group.IsMulticast() {
		return fmt.Errorf("the camera names %q as the multicast group", *th.Destination2)
	}
	for i, take := range []frameFunc{t.rtp, t.rtcp} {
		c, err := net.ListenMulticastUDP("udp", ifi, &net.UDPAddr{IP: group, Port: th.Ports[i]})
		if err != nil {
			return fmt.Errorf("join multicast group %v port %d on %s: %w", group, th.Ports[i], ifi.Name, err)
		}
		_ = c.SetReadBuffer(udpBuffer)
		d.mu.Lock()
		d.group = append(d.group, c)
		d.mu.Unlock()
		d.wg.Go(func() { d.receive(c, from, take) })
	}
	return nil
}

// receive reads the datagrams of a group until its socket is closed.
func (d *datagrams) receive(c *net.UDPConn, from net.IP, take frameFunc) {
	buf := make([]byte, maxDatagram)
	for {
		n, addr, err := c.ReadFromUDP(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || !from.Equal(addr.IP) {
			continue
		}
		now := time.Now()
		d.stats.read(n, now)
		take(buf[:n], now)
	}
}

// close leaves the groups and waits.
func (d *datagrams) close() {
	d.mu.Lock()
	for _, c := range d.group {
		_ = c.Close()
	}
	d.mu.Unlock()
	d.wg.Wait()
}

// interfaceOf finds the network interface that has an address.
func interfaceOf(addr net.Addr) (*net.Interface, error) {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return nil, fmt.Errorf("multicast over %v", addr)
	}
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("network interfaces: %w", err)
	}
	for i := range all {
		addrs, err := all[i].Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.Equal(tcp.IP) {
				return &all[i], nil
			}
			if n, ok := a.(*net.IPNet); ok && tcp.IP.IsLoopback() && n.Contains(tcp.IP) {
				return &all[i], nil
			}
		}
	}
	return nil, fmt.Errorf("no network interface has the address %v", tcp.IP)
}

// udpSocket is a unicast socket of the library. It counts what it receives, as the framer does for TCP.
type udpSocket struct {
	*net.UDPConn
	d    *datagrams
	port int
}

func (c *udpSocket) ReadFrom(p []byte) (int, net.Addr, error) {
	n, addr, err := c.ReadFromUDP(p)
	if n > 0 {
		now := time.Now()
		c.d.stats.read(n, now)
		c.d.deliver(c.port, addr.IP, p[:n], now)
	}
	return n, addr, err
}
