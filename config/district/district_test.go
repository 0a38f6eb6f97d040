package district_test

import (
	"fmt"
	"math"
	"testing"

	"skein/config/district"
)

func inventory() *district.Inventory {
	at := func(lat, lon float64) *district.Location { return &district.Location{Lat: lat, Lon: lon} }
	return &district.Inventory{
		Units: []district.Unit{
			{ID: "yf", Name: "雁峰区", Tier: district.TierDistrict},
			{ID: "bsz", Name: "白沙洲街道", Tier: district.TierTown, Parent: "yf"},
			{ID: "yp", Name: "岳屏镇", Tier: district.TierTown, Parent: "yf"},
			{ID: "bs", Name: "白沙社区", Tier: district.TierCommunity, Parent: "bsz"},
		},
		Cameras: []district.Camera{
			{ID: "a", Name: "A", Unit: "bsz", Main: "rtsp://h/a", Location: at(26.88, 112.60)},
			{ID: "b", Name: "B", Unit: "yp", Main: "rtsp://h/b", Location: at(26.89, 112.60)},
			{ID: "c", Name: "C", Unit: "yf", Main: "rtsp://h/c"},
		},
		Terminals: []district.Camera{{ID: "t", Name: "T", Unit: "bs", Main: "rtsp://h/t", Location: at(26.8801, 112.6)}},
	}
}

func TestScopeIsASubtreeOfTheThreeTiers(t *testing.T) {
	inv := inventory()
	cases := []struct {
		root, camera string
		want         bool
	}{
		{"yf", "a", true}, {"yf", "t", true}, {"bsz", "a", true}, {"bsz", "t", true}, {"bsz", "b", false},
		{"bs", "t", true}, {"bs", "a", false}, {"", "c", true}, {"bsz", "nobody", false}, {"nowhere", "a", false},
	}
	for _, c := range cases {
		if got := inv.InScope(c.root, c.camera); got != c.want {
			t.Errorf("InScope(%q, %q) = %v", c.root, c.camera, got)
		}
	}
	var ids []string
	for _, u := range inv.Subtree("bsz") {
		ids = append(ids, u.ID)
	}
	if fmt.Sprint(ids) != "[bsz bs]" {
		t.Errorf("subtree of bsz: %v", ids)
	}
}

func TestAParentLoopEnds(t *testing.T) {
	inv := &district.Inventory{Units: []district.Unit{{ID: "a", Parent: "b"}, {ID: "b", Parent: "a"}}}
	if inv.InSubtree("c", "a") {
		t.Error("a loop of parents reaches everything")
	}
}

func TestNearToIsSortedByDistance(t *testing.T) {
	near := inventory().NearTo(district.Location{Lat: 26.88, Lon: 112.60}, 2000)
	var ids []string
	for _, n := range near {
		ids = append(ids, n.Camera.ID)
	}
	if fmt.Sprint(ids) != "[a t b]" {
		t.Fatalf("near: %v", ids)
	}
	if d := near[2].Distance; math.Abs(d-1111.95) > 1 {
		t.Errorf("0.01 degrees of latitude are %.1f m, want about 1112", d)
	}
}

func TestDiffNamesOnlyWhatChanged(t *testing.T) {
	old, next := inventory(), inventory()
	next.Cameras[0].Name = "renamed"
	next.Cameras = append(next.Cameras[:1], next.Cameras[2:]...)
	next.Terminals = append(next.Terminals, district.Camera{ID: "n", Name: "N", Unit: "bs", Main: "rtsp://h/n"})
	d := district.Diff(old, next)
	if len(d.Added) != 1 || d.Added[0].ID != "n" || len(d.Edited) != 1 || d.Edited[0].ID != "a" ||
		fmt.Sprint(d.Removed) != "[b]" {
		t.Errorf("diff %+v", d)
	}
	if !district.Diff(old, inventory()).Empty() {
		t.Error("equal inventories differ")
	}
}

func TestRetentionDays(t *testing.T) {
	for _, c := range []struct {
		cam  district.Camera
		want int
	}{
		{district.Camera{}, 30}, {district.Camera{Class: district.ClassKey}, 90},
		{district.Camera{Class: district.ClassKey, RetentionDays: 45}, 45},
	} {
		if got := c.cam.Days(); got != c.want {
			t.Errorf("%+v keeps %d days, want %d", c.cam, got, c.want)
		}
	}
}

func TestRetentionKeepsTheLaw(t *testing.T) {
	for _, c := range []struct {
		cam  district.Camera
		good bool
	}{
		{district.Camera{}, true}, {district.Camera{Class: district.ClassKey}, true},
		{district.Camera{RetentionDays: 30}, true}, {district.Camera{RetentionDays: 29}, false},
		{district.Camera{RetentionDays: 365}, true}, {district.Camera{RetentionDays: 366}, false},
		{district.Camera{RetentionDays: 1, LegalBasis: "雁府办〔2026〕12号"}, true},
		{district.Camera{RetentionDays: 3660, LegalBasis: "雁府办〔2026〕12号"}, true},
		{district.Camera{RetentionDays: 3661, LegalBasis: "雁府办〔2026〕12号"}, false},
		{district.Camera{Class: district.ClassKey, RetentionDays: 89}, false},
		{district.Camera{Class: district.ClassKey, RetentionDays: 90}, true},
		// what was recorded before is deleted by this number too
		{district.Camera{Record: district.RecordNone, RetentionDays: 1}, false},
	} {
		inv := inventory()
		c.cam.ID, c.cam.Name, c.cam.Unit, c.cam.Main = "x", "X", "yf", "rtsp://h/x"
		inv.Cameras = append(inv.Cameras, c.cam)
		if err := inv.Check(); (err == nil) != c.good {
			t.Errorf("%+v: %v", c.cam, err)
		}
	}
}

func TestForbiddenPlacesHoweverSpelt(t *testing.T) {
	for _, place := range []string{
		"toilet", "Toilet", "TOILETS", "public toilet", "Women's toilet", "men_toilet", "WC", "公共厕所", "女卫生间", "洗手间内部",
		"hotel_room", "Hotel Room", "guest-room", "guest rooms", "酒店客房", "客房内", "private_dining_room", "包间", "包厢内部",
		"dormitory", "student dormitories", "学生宿舍", "集体宿舍内部", "rest_room", "Restroom", "员工休息室", "bath", "Bathroom",
		"shower room", "浴室", "公共浴室", "changing_room", "locker-room", "更衣室", "女更衣室", "nursing_room", "母婴室", "fitting_room",
		"Fitting Rooms", "试衣间", "inside of toilet",
	} {
		if !district.Forbidden(place) {
			t.Errorf("a camera may be in %q", place)
		}
	}
	for _, place := range []string{
		"", "street", "community_service_hall", "toilet corridor", "厕所门外通道", "酒店大堂", "hotel lobby", "hotel", "dormitory gate",
		"宿舍楼门口", "restaurant hall", "公共广场", "man", "room",
	} {
		if district.Forbidden(place) {
			t.Errorf("no camera may be in %q", place)
		}
	}
}
