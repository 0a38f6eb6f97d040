package district

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

var idPattern = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

// Check reports everything that is wrong with the inventory, one error each, joined. Nil means it may be used.
func (inv *Inventory) Check() error {
	c := &checker{inv: inv, ids: map[string]string{}, units: map[string]Unit{}, grids: map[string]bool{}}
	c.checkUnits()
	for i, cam := range inv.Cameras {
		c.camera(fmt.Sprintf("cameras[%d]", i), cam)
	}
	for i, cam := range inv.Terminals {
		c.camera(fmt.Sprintf("terminals[%d]", i), cam)
	}
	for i, s := range inv.Sensors {
		c.sensor(fmt.Sprintf("sensors[%d]", i), s)
	}
	return errors.Join(c.errs...)
}

type checker struct {
	inv   *Inventory
	ids   map[string]string
	units map[string]Unit
	grids map[string]bool
	errs  []error
}

func (c *checker) fail(where, format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("%s: %s", where, fmt.Sprintf(format, args...)))
}

func (c *checker) id(where, class, id string) {
	if !idPattern.MatchString(id) {
		c.fail(where, "id %q: want 1 to 64 of a-z, 0-9 and -", id)
		return
	}
	key := class + " " + id
	if first, dup := c.ids[key]; dup {
		c.fail(where, "id %q is already used by %s", id, first)
		return
	}
	c.ids[key] = where
}

// parentTier is the tier a unit's parent must have.
func parentTier(t Tier) Tier {
	switch t {
	case TierTown:
		return TierDistrict
	case TierCommunity:
		return TierTown
	}
	return ""
}

func (c *checker) checkUnits() {
	for i, u := range c.inv.Units {
		where := fmt.Sprintf("units[%d]", i)
		c.id(where, "unit", u.ID)
		if _, dup := c.units[u.ID]; !dup {
			c.units[u.ID] = u
		}
		if u.Name == "" {
			c.fail(where, "unit %s has no name", u.ID)
		}
		for j, g := range u.Grids {
			gw := fmt.Sprintf("%s.grids[%d]", where, j)
			if g.ID == "" {
				c.fail(gw, "grid has no id")
			} else if c.grids[g.ID] {
				c.fail(gw, "grid id %q is already used", g.ID)
			}
			c.grids[g.ID] = true
		}
	}
	for i, u := range c.inv.Units {
		c.tier(fmt.Sprintf("units[%d]", i), u)
	}
}

func (c *checker) tier(where string, u Unit) {
	switch u.Tier {
	case TierDistrict:
		if u.Parent != "" {
			c.fail(where, "district %s must not have a parent, but names %q", u.ID, u.Parent)
		}
	case TierTown, TierCommunity:
		want := parentTier(u.Tier)
		p, ok := c.units[u.Parent]
		switch {
		case u.Parent == "":
			c.fail(where, "%s %s has no parent: name a %s", u.Tier, u.ID, want)
		case !ok:
			c.fail(where, "%s %s names the unknown parent %q", u.Tier, u.ID, u.Parent)
		case p.Tier != want:
			c.fail(where, "%s %s has parent %q of tier %s: want a %s", u.Tier, u.ID, u.Parent, p.Tier, want)
		}
	default:
		c.fail(where, "unit %s has tier %q: want district, town or community", u.ID, u.Tier)
	}
}

func (c *checker) place(where, unit, grid string, l *Location) {
	switch _, ok := c.units[unit]; {
	case unit == "":
		c.fail(where, "no unit: name the unit it belongs to")
	case !ok:
		c.fail(where, "unknown unit %q", unit)
	}
	if grid != "" && len(c.grids) > 0 && !c.grids[grid] {
		c.fail(where, "unknown grid %q: list it under a unit's grids", grid)
	}
	if l == nil {
		return
	}
	limits := []struct {
		name     string
		v        *float64
		from, to float64
	}{
		{"lat", &l.Lat, -90, 90}, {"lon", &l.Lon, -180, 180}, {"direction", l.Direction, 0, 360},
		{"angle", l.Angle, 0, 360}, {"range", l.Range, 0, 100_000},
	}
	for _, v := range limits {
		if v.v != nil && !(*v.v >= v.from && *v.v <= v.to) {
			c.fail(where, "location.%s %v is impossible: want %v to %v", v.name, *v.v, v.from, v.to)
		}
	}
	if l.Lat == 0 && l.Lon == 0 {
		c.fail(where, "location 0, 0 is in the Atlantic: leave location out if it is not known")
	}
}

func (c *checker) camera(where string, cam Camera) {
	c.id(where, "camera", cam.ID)
	if cam.ID != "" {
		where += " " + cam.ID
	}
	if cam.Name == "" {
		c.fail(where, "no name")
	}
	c.place(where, cam.Unit, cam.Grid, cam.Location)
	c.url(where, "main", cam.Main)
	c.url(where, "sub", cam.Sub)
	if cam.Main == "" && cam.Sub == "" && cam.Edge == "" {
		c.fail(where, "neither main nor sub: give at least one rtsp:// URL, \"push\", or the edge that has it")
	}
	if cam.Pushed() && cam.Edge != "" {
		c.fail(where, "edge %q, but the address is \"push\": what publishes comes to the gateway, an edge cannot take it; "+
			"leave edge out", cam.Edge)
	}
	switch cam.Transport {
	case "", "auto", "tcp", "udp", "multicast", "auto-udp":
	default:
		c.fail(where, "transport %q: want auto, tcp, udp, multicast or auto-udp", cam.Transport)
	}
	switch cam.Kind {
	case "", KindCamera, KindTerminal:
	default:
		c.fail(where, "kind %q: want camera or terminal", cam.Kind)
	}
	c.keeping(where, cam)
}

func (c *checker) keeping(where string, cam Camera) {
	switch cam.Record {
	case "", RecordNone:
	case RecordMain, RecordSub:
		if cam.URL(string(cam.Record)) == "" && cam.Edge == "" {
			c.fail(where, "record %s, but it has no %s URL", cam.Record, cam.Record)
		}
	default:
		c.fail(where, "record %q: want none, main or sub", cam.Record)
	}
	switch cam.Class {
	case "", ClassNormal, ClassKey:
	default:
		c.fail(where, "class %q: want normal or key", cam.Class)
	}
	c.retention(where, cam)
	if Forbidden(cam.Legal.Place) {
		c.fail(where, "legal.place %q: no camera may be there (Order 799 art. 8)", cam.Legal.Place)
	}
	switch cam.Legal.Basis {
	case "", "art7", "art9":
	default:
		c.fail(where, "legal.basis %q: want art7 or art9 (of Order 799)", cam.Legal.Basis)
	}
}

// MostDays is how long footage may be kept without a reason of its own. What has served its purpose is to be deleted
// (Order 799 art. 17).
const MostDays = 365

// retention holds footage between what the law asks for at least and what it allows; anything else wants its reason in
// writing.
func (c *checker) retention(where string, cam Camera) {
	least := Camera{Class: cam.Class}.Days()
	switch days := cam.RetentionDays; {
	case days < 0 || days > 3660:
		c.fail(where, "retention_days %d: want 1 to 3660", days)
	case days == 0 || strings.TrimSpace(cam.LegalBasis) != "":
	case days < least && cam.Class == ClassKey:
		c.fail(where, "retention_days %d: class key wants %d or more (Counter-Terrorism Law art. 32); if a document allows "+
			"less, name it in legal_basis", days, least)
	case days < least:
		c.fail(where, "retention_days %d: want %d or more (Order 799 art. 17); if a document allows less, name it in "+
			"legal_basis", days, least)
	case days > MostDays:
		c.fail(where, "retention_days %d: more than %d days want a reason (Order 799 art. 17): name the document in "+
			"legal_basis", days, MostDays)
	}
}

// url checks an RTSP address; the message never repeats it, since it may hold a password.
func (c *checker) url(where, key, raw string) {
	if raw == "" || raw == Push {
		return
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		c.fail(where, "%s: malformed URL (is a special character in the password not percent-encoded?)", key)
	case u.Scheme != "rtsp" && u.Scheme != "rtsps":
		c.fail(where, "%s: scheme %q: want rtsp or rtsps", key, u.Scheme)
	case u.Hostname() == "":
		c.fail(where, "%s: URL has no host", key)
	case strings.ContainsAny(u.Host, " \t"):
		c.fail(where, "%s: URL host has white space", key)
	case u.Port() != "":
		if n, err := strconv.ParseUint(u.Port(), 10, 16); err != nil || n == 0 {
			c.fail(where, "%s: port %s: want 1 to 65535", key, u.Port())
		}
	}
}

func (c *checker) sensor(where string, s Sensor) {
	c.id(where, "sensor", s.ID)
	if s.Type == "" {
		c.fail(where, "sensor %s has no type", s.ID)
	}
	c.place(where, s.Unit, s.Grid, s.Location)
}
