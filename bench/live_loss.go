package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

const (
	lossPercent = 5
	lossViewers = 16
)

// space is a network namespace joined to this one by a pair of virtual interfaces.
type space struct {
	name, device    string // device is our end
	inside, outside string // addresses
}

// newSpace makes a namespace; close removes it. It needs root.
func newSpace(ctx context.Context) (*space, error) {
	id := fmt.Sprint(os.Getpid() % 100000)
	s := &space{name: "skb" + id, device: "skv" + id, inside: "10.213.77.2", outside: "10.213.77.1"}
	err := commands(ctx,
		"ip netns add "+s.name,
		"ip link add "+s.device+" type veth peer name eth0 netns "+s.name,
		"ip addr add "+s.outside+"/24 dev "+s.device,
		"ip link set "+s.device+" up",
		"ip -n "+s.name+" addr add "+s.inside+"/24 dev eth0",
		"ip -n "+s.name+" link set eth0 up",
		"ip -n "+s.name+" link set lo up",
	)
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// lose drops percent of all UDP packets at random, in both directions.
func (s *space) lose(ctx context.Context, percent int) error {
	table := func(in, hook string) []string {
		return []string{
			in + "nft add table netdev " + s.name,
			in + "nft add chain netdev " + s.name + " in { type filter hook ingress device " + hook + " priority 0 ; }",
			fmt.Sprintf("%snft add rule netdev %s in ip protocol udp numgen random mod 100 < %d drop", in, s.name, percent),
		}
	}
	inside := "ip netns exec " + s.name + " "
	return commands(ctx, slices.Concat(
		// A segmented send would be one packet to the rules: the devices must not take such.
		[]string{"ip link set " + s.device + " gso_max_segs 1", "ip -n " + s.name + " link set eth0 gso_max_segs 1"},
		table("", s.device), table(inside, "eth0"))...)
}

func (s *space) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = commands(ctx, "nft delete table netdev "+s.name) // is there only after lose
	return commands(ctx, "ip netns del "+s.name)
}

// commands runs command lines, up to the first that fails.
func commands(ctx context.Context, lines ...string) error {
	for _, l := range lines {
		args := strings.Fields(l)
		if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", l, err, out)
		}
	}
	return nil
}

// benchLoss measures viewers behind a link that loses packets at random. Without root it says so in the table.
func benchLoss(ctx context.Context, o options, t *table) (err error) {
	what := fmt.Sprintf("%d %% random UDP loss, %d viewers: ", lossPercent, lossViewers)
	if os.Getuid() != 0 {
		t.add(what+"not measured", "needs root for a network namespace", "", true)
		return nil
	}
	s, err := newSpace(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	r, err := newLiveRig(ctx, o, stage{space: s})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := s.lose(ctx, lossPercent); err != nil {
		return err
	}
	api, err := realAPI(s.device)
	if err != nil {
		return err
	}
	client := newClient()
	var vs []*viewer
	defer func() { err = errors.Join(err, leave(vs)) }()
	for i := range lossViewers {
		v, err := watch(ctx, api, client, r.whep(o, i), benchToken)
		if err != nil {
			return err
		}
		vs = append(vs, v)
	}
	if _, err := gather(ctx, vs, 20*time.Second); err != nil {
		return err
	}
	if err := pause(ctx, 3*time.Second, r.skein); err != nil {
		return err
	}
	for _, v := range vs {
		v.count(true)
	}
	if err := pause(ctx, o.duration, r.skein); err != nil {
		return err
	}
	var sum tally
	for _, v := range vs {
		got := v.count(false)
		sum.packets += got.packets
		sum.frames += got.frames
		sum.missing += got.missing
		sum.lost += got.lost
		sum.delays = append(sum.delays, got.delays...)
	}
	t.add(what+"packets lost on the way", fmt.Sprintf("%.1f %%", float64(sum.lost)*100/float64(sum.packets)), "", true)
	t.add(what+"frames missing", fmt.Sprintf("%d of %d", sum.missing, sum.frames), "0", sum.missing == 0)
	t.add(what+"sent to whole at the viewer, p50 / p99", pair(sum.delays, 0.5, 0.99), "p99 <= 150 ms",
		at(sum.delays, 0.99) <= 150*time.Millisecond)
	return nil
}
