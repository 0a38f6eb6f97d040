// Package yanfeng is a model of Yanfeng District for the demonstration: the district centre, 7 towns and streets,
// 53 communities each with a governance terminal, and 24 HD street cameras.
//
// The seven towns and streets are the district's own; names of communities and crossings are illustrative and so are
// all positions.
package yanfeng

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"skein/bench/sim"
	"skein/config/district"
	"skein/edge/media"
)

// Options size the model's streams. Zero values take the defaults.
type Options struct {
	Base          string // rtsp://host:port of the simulated cameras
	MainBitrate   int    // bit/s, default 2,000,000
	SubBitrate    int    // default 100,000
	TerminalRate  int    // default 40,000
	RetentionDays int    // default 30
	// LegalBasis names the document that allows RetentionDays, if they are not what the law asks for.
	LegalBasis string
	// Faults makes some of the cameras fail, each in its own way: see Model.Faults.
	Faults bool
}

func (o Options) withDefaults() Options {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&o.MainBitrate, 2_000_000)
	def(&o.SubBitrate, 100_000)
	def(&o.TerminalRate, 40_000)
	def(&o.RetentionDays, 30)
	return o
}

type town struct {
	id, name    string
	lat, lon    float64
	communities []string
}

// towns returns the district's towns and streets with their communities: 53 in all.
func towns() []town {
	return []town{
		{"yanfengjie", "雁峰街道", 26.8880, 112.6145, []string{
			"雁峰社区", "回雁社区", "中山南路社区", "雁栖社区", "苏眼井社区", "环城南路社区", "莲湖社区",
		}},
		{"tianmashan", "天马山街道", 26.8925, 112.6100, []string{
			"天马山社区", "岳屏公园社区", "罗家湾社区", "南村社区", "先农社区", "西湖社区", "接龙社区",
		}},
		{"xianfeng", "先锋街道", 26.8965, 112.6160, []string{
			"先锋社区", "道后街社区", "马嘶巷社区", "常胜社区", "人民路社区", "解放路社区", "湘江社区",
		}},
		{"huangchaling", "黄茶岭街道", 26.8790, 112.6110, []string{
			"黄茶岭社区", "文昌社区", "茅坪社区", "蔬菜社区", "新民社区", "欧水岭社区", "奇峰社区", "湘柴社区",
		}},
		{"jinlongping", "金龙坪街道", 26.8700, 112.5990, []string{
			"金龙坪社区", "江洲社区", "纺织社区", "光辉社区", "东阳社区", "东风社区", "机场社区",
		}},
		{"baishazhou", "白沙洲街道", 26.8420, 112.6050, []string{
			"白沙社区", "茅叶滩社区", "湘江南路社区", "工业社区", "群益社区", "朝阳社区", "松亭社区", "和平社区",
		}},
		{"yueping", "岳屏镇", 26.8560, 112.5780, []string{
			"岳屏村", "东湖村", "前进村", "兴隆村", "公益村", "湘春村", "文昌村", "红旗村", "双桥社区",
		}},
	}
}

// crossing is a place of an HD camera.
type crossing struct{ name, town string }

// crossings names the 24 HD cameras and the town or street each belongs to.
func crossings() []crossing {
	return []crossing{
		{"雁峰广场东口", "yanfengjie"}, {"回雁峰公园南门", "yanfengjie"}, {"中山南路口", "yanfengjie"},
		{"蒸阳路口", "tianmashan"}, {"环城南路口", "yanfengjie"}, {"先锋路口", "xianfeng"}, {"解放路口", "xianfeng"},
		{"人民路口", "xianfeng"}, {"天马山隧道口", "tianmashan"}, {"岳屏公园北门", "tianmashan"},
		{"罗家湾路口", "tianmashan"}, {"湘江南路口", "baishazhou"}, {"黄茶岭路口", "huangchaling"},
		{"文昌路口", "huangchaling"}, {"白沙大道口", "baishazhou"}, {"工业大道口", "baishazhou"},
		{"金龙坪菜市场", "jinlongping"}, {"江洲路口", "jinlongping"}, {"东阳渡大桥", "jinlongping"},
		{"白沙洲物流园", "baishazhou"}, {"茅叶滩码头", "baishazhou"}, {"岳屏镇政府", "yueping"}, {"双桥路口", "yueping"},
		{"高铁连接线口", "yueping"},
	}
}

// Model is the district as configured and as simulated.
type Model struct {
	Inventory district.Inventory
	Cameras   []sim.Camera
	Faults    []Fault
}

// Fault is what one camera of the demonstration suffers from, over and over again.
type Fault struct {
	Camera string
	Every  time.Duration // from beginning to beginning
	For    time.Duration
	Stall  bool // connected, but nothing is sent; otherwise the camera is away
}

// New builds the model.
func New(o Options) Model {
	o = o.withDefaults()
	m := Model{}
	root := district.Unit{ID: "yanfeng", Name: "雁峰区", Tier: district.TierDistrict, Code: "430406"}
	m.Inventory.Units = append(m.Inventory.Units, root)
	ts := towns()
	n := 0
	for _, t := range ts {
		m.Inventory.Units = append(m.Inventory.Units, district.Unit{
			ID: t.id, Name: t.name, Tier: district.TierTown, Parent: root.ID,
		})
		for i, name := range t.communities {
			n++
			m.community(o, t, i, n, name)
		}
	}
	for i, c := range crossings() {
		at := slices.IndexFunc(ts, func(t town) bool { return t.id == c.town })
		m.crossing(o, ts[at], i, c.name)
	}
	if o.Faults {
		m.fail(o)
	}
	return m
}

func (m *Model) community(o Options, t town, i, n int, name string) {
	id := fmt.Sprintf("%s-%02d", t.id, i+1)
	grid := district.Grid{ID: id + "-g1", Name: name + "一格"}
	m.Inventory.Units = append(m.Inventory.Units, district.Unit{
		ID: id, Name: name, Tier: district.TierCommunity, Parent: t.id, Grids: []district.Grid{grid},
	})
	term := fmt.Sprintf("term-%02d", n)
	m.Inventory.Terminals = append(m.Inventory.Terminals, district.Camera{
		ID: term, Name: name + "治理终端", Unit: id, Grid: grid.ID, Location: place(t, i, 0.008),
		Main: o.Base + "/" + term, Transport: "tcp", Record: district.RecordMain,
		RetentionDays: o.RetentionDays, LegalBasis: o.LegalBasis,
		Legal: district.Legal{Basis: "art9", Place: "community_service_hall", AudioReason: "报警求助双向语音"},
	})
	cam := sim.Camera{ID: term, Name: name, Video: Hall(4, 60, o.TerminalRate)}
	if i == 0 { // the first of each town sends sound all the time
		cam.Audio = media.G711A
	}
	m.Cameras = append(m.Cameras, cam)
}

// Hall is what a terminal sends.
func Hall(fps, gop, bitrate int) sim.Video {
	return sim.Video{Width: 640, Height: 360, FPS: fps, GOP: gop, Bitrate: bitrate, Hall: true, Calm: true}
}

// Street is the sub stream of a street camera.
func Street(fps, gop, bitrate int) sim.Video {
	return sim.Video{Width: 640, Height: 360, FPS: fps, GOP: gop, Bitrate: bitrate, Calm: true}
}

// recordsMain tells which of the street cameras are recorded at full size: one of H.264 and one of H.265. The others'
// sub streams are recorded, so that the disk of a small machine holds more than an hour of all.
func recordsMain(i int) bool { return i == 0 || i == 11 }

func (m *Model) crossing(o Options, t town, i int, name string) {
	id := fmt.Sprintf("cam-%02d", i+1)
	loc := place(t, i+20, 0.005)
	direction, angle, reach := float64(i*15%360), 60.0, 80.0
	loc.Direction, loc.Angle, loc.Range = &direction, &angle, &reach
	m.Inventory.Cameras = append(m.Inventory.Cameras, district.Camera{
		ID: id, Name: name, Unit: t.id, Location: loc, Transport: "tcp",
		Main: o.Base + "/" + id, Sub: o.Base + "/" + id + "/sub",
		Record: district.RecordSub, RetentionDays: o.RetentionDays, LegalBasis: o.LegalBasis,
		Legal: district.Legal{Basis: "art7", Builder: "雁峰区", Manager: t.name},
	})
	entry := &m.Inventory.Cameras[len(m.Inventory.Cameras)-1]
	codec := media.H264
	if i%12 == 11 { // two of the 24 send H.265, as newer cameras do
		codec = media.H265
	}
	sub := Street(8, 120, o.SubBitrate)
	cam := sim.Camera{ID: id, Name: name, Video: sim.Video{Codec: codec, Bitrate: o.MainBitrate}, Sub: &sub}
	if recordsMain(i) {
		entry.Record = district.RecordMain
		cam.Video.Bitrate, cam.Video.Calm, cam.Video.GOP = min(o.MainBitrate, 600_000), true, 250
	}
	if i == 1 || i == 6 { // sound from the street wants its reason
		cam.Audio = media.AAC
		entry.Legal.AudioReason = "广场应急广播与求助"
	}
	m.Cameras = append(m.Cameras, cam)
}

// fail gives the last seven street cameras a fault each, as a district has them on any day.
func (m *Model) fail(o Options) {
	inv := func(i int) *district.Camera { return &m.Inventory.Cameras[i] }
	cam := func(i int) *sim.Camera { return &m.Cameras[len(m.Cameras)-len(m.Inventory.Cameras)+i] }
	cam(17).Sub.GOP = 1000 // a smart codec: a key frame every 100 s
	m.Faults = append(m.Faults,
		Fault{Camera: inv(18).ID, Every: 4 * time.Minute, For: 25 * time.Second},
		Fault{Camera: inv(19).ID, Every: 3 * time.Minute, For: 15 * time.Second, Stall: true},
	)
	cam(20).Password = "s3cret"
	for _, url := range []*string{&inv(20).Main, &inv(20).Sub} {
		*url = strings.Replace(*url, "rtsp://", "rtsp://admin:wrong@", 1)
	}
	// Nobody is at the address of one, and the next has no such channel.
	inv(21).Main, inv(21).Sub = "rtsp://127.0.0.1:9/"+inv(21).ID, "rtsp://127.0.0.1:9/"+inv(21).ID+"/sub"
	inv(22).Main, inv(22).Sub = o.Base+"/"+inv(22).ID+"/9", o.Base+"/"+inv(22).ID+"/10"
	cam(23).ClockOffset = -7 * time.Minute
}

// place spreads positions on a sunflower spiral around the town's centre.
func place(t town, i int, spread float64) *district.Location {
	r := spread * math.Sqrt(float64(i+1)) / 3
	a := float64(i+1) * 2.399963
	round := func(v float64) float64 { return math.Round(v*1e6) / 1e6 }
	return &district.Location{Lat: round(t.lat + r*math.Sin(a)), Lon: round(t.lon + r*math.Cos(a))}
}

// YAML returns the inventory as a configuration file's text.
func (m Model) YAML() ([]byte, error) {
	out, err := yaml.Marshal(&m.Inventory)
	if err != nil {
		return nil, fmt.Errorf("inventory of the model: %w", err)
	}
	return out, nil
}
