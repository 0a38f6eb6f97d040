// Package yanfeng is a model of Yanfeng District for the demonstration: the district centre, 7 towns and streets,
// 53 communities each with a governance terminal, and 24 HD street cameras.
//
// The seven towns and streets are the district's own; names of communities and crossings are illustrative and so are
// all positions.
package yanfeng

import (
	"fmt"
	"math"

	"github.com/goccy/go-yaml"

	"skein/bench/sim"
	"skein/config/district"
	"skein/edge/media"
)

// Options size the model's streams. Zero values take the defaults.
type Options struct {
	Base          string // rtsp://host:port of the simulated cameras
	MainBitrate   int    // bit/s, default 2,000,000
	SubBitrate    int    // default 300,000
	TerminalRate  int    // default 160,000
	RetentionDays int    // default 30
}

func (o Options) withDefaults() Options {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&o.MainBitrate, 2_000_000)
	def(&o.SubBitrate, 300_000)
	def(&o.TerminalRate, 160_000)
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

// crossings names the 24 HD cameras, in the order they are handed to the towns.
func crossings() []string {
	return []string{
		"雁峰广场东口", "回雁峰公园南门", "中山南路口", "蒸阳路口", "环城南路口", "先锋路口", "解放路口", "人民路口",
		"天马山隧道口", "岳屏公园北门", "罗家湾路口", "湘江南路口", "黄茶岭路口", "文昌路口", "白沙大道口", "工业大道口",
		"金龙坪菜市场", "江洲路口", "东阳渡大桥", "白沙洲物流园", "茅叶滩码头", "岳屏镇政府", "双桥路口", "高铁连接线口",
	}
}

// Model is the district as configured and as simulated.
type Model struct {
	Inventory district.Inventory
	Cameras   []sim.Camera
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
	for i, name := range crossings() {
		m.crossing(o, ts[i%len(ts)], i, name)
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
		Main: o.Base + "/" + term, Transport: "tcp", Record: district.RecordMain, RetentionDays: o.RetentionDays,
		Legal: district.Legal{Basis: "art9", Place: "community_service_hall", AudioReason: "报警求助双向语音"},
	})
	m.Cameras = append(m.Cameras, sim.Camera{
		ID: term, Name: name, Audio: media.G711A,
		Video: sim.Video{Codec: media.H264, Width: 640, Height: 360, FPS: 10, GOP: 20, Bitrate: o.TerminalRate},
	})
}

func (m *Model) crossing(o Options, t town, i int, name string) {
	id := fmt.Sprintf("cam-%02d", i+1)
	loc := place(t, i+20, 0.005)
	direction, angle, reach := float64(i*15%360), 60.0, 80.0
	loc.Direction, loc.Angle, loc.Range = &direction, &angle, &reach
	m.Inventory.Cameras = append(m.Inventory.Cameras, district.Camera{
		ID: id, Name: name, Unit: t.id, Location: loc, Transport: "tcp",
		Main: o.Base + "/" + id, Sub: o.Base + "/" + id + "/sub",
		Record: district.RecordMain, RetentionDays: o.RetentionDays,
		Legal: district.Legal{Basis: "art7", Builder: "雁峰区", Manager: t.name},
	})
	codec := media.H264
	if i%12 == 11 { // two of the 24 send H.265, as newer cameras do
		codec = media.H265
	}
	m.Cameras = append(m.Cameras, sim.Camera{
		ID: id, Name: name,
		Video: sim.Video{Codec: codec, Bitrate: o.MainBitrate},
		Sub:   &sim.Video{Codec: media.H264, Bitrate: o.SubBitrate, GOP: 15},
	})
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
