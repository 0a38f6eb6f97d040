package district

import (
	"cmp"
	"math"
	"slices"
)

// earthRadius is the mean radius of WGS-84 in metres.
const earthRadius = 6371008.8

// Distance returns the great-circle distance between two positions in metres.
func Distance(a, b Location) float64 {
	rad := math.Pi / 180
	dLat, dLon := (b.Lat-a.Lat)*rad, (b.Lon-a.Lon)*rad
	h := math.Pow(math.Sin(dLat/2), 2) + math.Cos(a.Lat*rad)*math.Cos(b.Lat*rad)*math.Pow(math.Sin(dLon/2), 2)
	return 2 * earthRadius * math.Asin(math.Min(1, math.Sqrt(h)))
}

// Near is a camera and how far it is from the asked place.
type Near struct {
	Camera   Camera
	Distance float64 // metres
}

// NearTo returns the cameras within radius metres of at, nearest first. A camera without a position is never near.
func (inv *Inventory) NearTo(at Location, radius float64) []Near {
	var out []Near
	for _, c := range inv.Sources() {
		if c.Location == nil {
			continue
		}
		if d := Distance(at, *c.Location); d <= radius {
			out = append(out, Near{c, d})
		}
	}
	slices.SortStableFunc(out, func(a, b Near) int { return cmp.Compare(a.Distance, b.Distance) })
	return out
}
