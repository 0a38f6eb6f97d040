package yanfeng_test

import (
	"testing"

	"skein/bench/yanfeng"
	"skein/config/district"
)

func TestModelIsTheWholeDistrictAndValid(t *testing.T) {
	m := yanfeng.New(yanfeng.Options{Base: "rtsp://127.0.0.1:9554"})
	if err := m.Inventory.Check(); err != nil {
		t.Fatal(err)
	}
	tiers := map[district.Tier]int{}
	for _, u := range m.Inventory.Units {
		tiers[u.Tier]++
	}
	want := map[district.Tier]int{district.TierDistrict: 1, district.TierTown: 7, district.TierCommunity: 53}
	for tier, n := range want {
		if tiers[tier] != n {
			t.Errorf("%d units of tier %s, want %d", tiers[tier], tier, n)
		}
	}
	if n, k := len(m.Inventory.Cameras), len(m.Inventory.Terminals); n != 24 || k != 53 {
		t.Errorf("%d cameras and %d terminals, want 24 and 53", n, k)
	}
	if len(m.Cameras) != 24+53 {
		t.Errorf("%d simulated cameras, want 77", len(m.Cameras))
	}
}
