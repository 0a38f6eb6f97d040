// Package district is the inventory: units in three tiers, grids, cameras, terminals and sensors, and where they are.
//
// It is values and queries only. An Inventory is immutable once checked; a reload makes a new one, and Diff tells what
// changed between two.
package district

// Tier is the level of a unit.
type Tier string

// The three tiers of centres.
const (
	TierDistrict  Tier = "district"  // 区
	TierTown      Tier = "town"      // 镇街
	TierCommunity Tier = "community" // 村社区
)

// Unit is an administrative unit with a centre of its own.
type Unit struct {
	ID     string `yaml:"id" json:"id"`
	Name   string `yaml:"name" json:"name"`
	Tier   Tier   `yaml:"tier" json:"tier"`
	Parent string `yaml:"parent,omitempty" json:"parent,omitempty"`
	Code   string `yaml:"code,omitempty" json:"code,omitempty"` // statistical or GB/T 28181 civil code, opaque
	Grids  []Grid `yaml:"grids,omitempty" json:"grids,omitempty"`
}

// Grid (网格) is the smallest place. Its code is opaque text.
type Grid struct {
	ID   string `yaml:"id" json:"id"`
	Name string `yaml:"name" json:"name"`
}

// Location is a position in WGS-84 and what the camera looks at from there.
type Location struct {
	Lat       float64  `yaml:"lat" json:"lat"` // degrees north
	Lon       float64  `yaml:"lon" json:"lon"` // degrees east
	Direction *float64 `yaml:"direction,omitempty" json:"direction,omitempty"`
	Angle     *float64 `yaml:"angle,omitempty" json:"angle,omitempty"` // horizontal field of view, degrees
	Range     *float64 `yaml:"range,omitempty" json:"range,omitempty"` // metres
}

// Kind tells cameras and terminals apart.
type Kind string

// The kinds of video sources.
const (
	KindCamera   Kind = "camera"
	KindTerminal Kind = "terminal" // community governance terminal: low-rate video and voice
)

// Record tells what of a camera is recorded.
type Record string

// What is recorded.
const (
	RecordNone Record = "none"
	RecordMain Record = "main"
	RecordSub  Record = "sub"
)

// Legal holds what the law on public video asks to be known of each camera (standards: Order 799). All optional.
type Legal struct {
	Basis         string `yaml:"basis,omitempty" json:"basis,omitempty"`     // "art7" or "art9"
	Builder       string `yaml:"builder,omitempty" json:"builder,omitempty"` // art. 7
	Manager       string `yaml:"manager,omitempty" json:"manager,omitempty"` // art. 7
	Place         string `yaml:"place,omitempty" json:"place,omitempty"`     // kind of place, see art. 8
	Consent       string `yaml:"consent,omitempty" json:"consent,omitempty"` // document, art. 10
	SignPhoto     string `yaml:"sign_photo,omitempty" json:"sign_photo,omitempty"`
	SignChecked   string `yaml:"sign_checked,omitempty" json:"sign_checked,omitempty"` // date, art. 13
	Filed         string `yaml:"filed,omitempty" json:"filed,omitempty"`               // date, art. 14
	FilingNumber  string `yaml:"filing_number,omitempty" json:"filing_number,omitempty"`
	InUseSince    string `yaml:"in_use_since,omitempty" json:"in_use_since,omitempty"`
	PrivacyMasks  string `yaml:"privacy_masks,omitempty" json:"privacy_masks,omitempty"`
	AudioReason   string `yaml:"audio_reason,omitempty" json:"audio_reason,omitempty"`
	SecurityLevel string `yaml:"security_level,omitempty" json:"security_level,omitempty"` // GB 35114 A/B/C
}

// Class is a retention class.
type Class string

// The retention classes and their days.
const (
	ClassNormal Class = "normal" // 30 days, Order 799 art. 17
	ClassKey    Class = "key"    // 90 days, Counter-Terrorism Law art. 32
)

// Camera is one camera or terminal. URLs may carry credentials: they never leave this process except towards the
// camera.
type Camera struct {
	ID       string    `yaml:"id"`
	Name     string    `yaml:"name"`
	Kind     Kind      `yaml:"kind,omitempty"` // default camera
	Unit     string    `yaml:"unit"`
	Grid     string    `yaml:"grid,omitempty"`
	Location *Location `yaml:"location,omitempty"`
	Edge     string    `yaml:"edge,omitempty"` // the node that pulls it; empty: this process, or whoever announces it

	Main        string `yaml:"main,omitempty"` // rtsp:// or rtsps://, or Push
	Sub         string `yaml:"sub,omitempty"`
	Transport   string `yaml:"transport,omitempty"`   // auto (default), tcp, udp, multicast, auto-udp
	Fingerprint string `yaml:"fingerprint,omitempty"` // SHA-256 of the RTSPS certificate, hexadecimal
	CAFile      string `yaml:"ca_file,omitempty"`
	IgnoreSSRC  bool   `yaml:"ignore_ssrc,omitempty"` // for cameras that announce one SSRC and send another
	OnDemand    bool   `yaml:"on_demand,omitempty"`   // pull unrecorded profiles only while somebody looks

	Record        Record `yaml:"record,omitempty"` // default none
	RetentionDays int    `yaml:"retention_days,omitempty"`
	LegalBasis    string `yaml:"legal_basis,omitempty"` // the document that allows other days than the law's
	Class         Class  `yaml:"class,omitempty"`       // default normal
	Legal         Legal  `yaml:"legal,omitempty"`
}

// Days returns how long the camera's footage is kept.
func (c Camera) Days() int {
	switch {
	case c.RetentionDays > 0:
		return c.RetentionDays
	case c.Class == ClassKey:
		return 90
	}
	return 30
}

// URL returns the address of a profile, "main" or "sub"; empty if the camera does not offer it.
func (c Camera) URL(profile string) string {
	if profile == "sub" {
		return c.Sub
	}
	return c.Main
}

// Push is the address of a profile that is not pulled: the camera publishes it to us.
const Push = "push"

// Pushed reports whether the camera publishes to us. Such a camera belongs to the gateway, all its profiles: whoever
// carries it has no site's edge.
func (c Camera) Pushed() bool { return c.Main == Push || c.Sub == Push }

// Sensor is a source of readings.
type Sensor struct {
	ID       string    `yaml:"id" json:"id"`
	Name     string    `yaml:"name" json:"name"`
	Unit     string    `yaml:"unit" json:"unit"`
	Grid     string    `yaml:"grid,omitempty" json:"grid,omitempty"`
	Type     string    `yaml:"type" json:"type"` // e.g. temperature, water_level, smoke
	Measure  string    `yaml:"measure,omitempty" json:"measure,omitempty"`
	Location *Location `yaml:"location,omitempty" json:"location,omitempty"`
}

// Inventory is everything a district has.
type Inventory struct {
	Units     []Unit   `yaml:"units,omitempty"`
	Cameras   []Camera `yaml:"cameras,omitempty"`
	Terminals []Camera `yaml:"terminals,omitempty"` // cameras of kind terminal
	Sensors   []Sensor `yaml:"sensors,omitempty"`
}

// Sources returns cameras and terminals, with the kind set.
func (inv *Inventory) Sources() []Camera {
	out := make([]Camera, 0, len(inv.Cameras)+len(inv.Terminals))
	for _, c := range inv.Cameras {
		if c.Kind == "" {
			c.Kind = KindCamera
		}
		out = append(out, c)
	}
	for _, c := range inv.Terminals {
		c.Kind = KindTerminal
		out = append(out, c)
	}
	return out
}

// Camera returns the camera or terminal with that id.
func (inv *Inventory) Camera(id string) (Camera, bool) {
	for _, c := range inv.Sources() {
		if c.ID == id {
			return c, true
		}
	}
	return Camera{}, false
}

// Unit returns the unit with that id.
func (inv *Inventory) Unit(id string) (Unit, bool) {
	for _, u := range inv.Units {
		if u.ID == id {
			return u, true
		}
	}
	return Unit{}, false
}

// InSubtree reports whether unit is root or lies below it. The empty root is the whole inventory.
func (inv *Inventory) InSubtree(root, unit string) bool {
	if root == "" {
		return true
	}
	for range len(inv.Units) + 1 {
		if unit == root {
			return true
		}
		u, ok := inv.Unit(unit)
		if !ok || u.Parent == "" {
			return false
		}
		unit = u.Parent
	}
	return false
}

// Subtree returns root and all units below it, in inventory order. The empty root returns all.
func (inv *Inventory) Subtree(root string) []Unit {
	var out []Unit
	for _, u := range inv.Units {
		if inv.InSubtree(root, u.ID) {
			out = append(out, u)
		}
	}
	return out
}

// InScope reports whether the camera belongs to a unit in root's subtree.
func (inv *Inventory) InScope(root, camera string) bool {
	c, ok := inv.Camera(camera)
	return ok && inv.InSubtree(root, c.Unit)
}
