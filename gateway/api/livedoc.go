package api

import (
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

const (
	typeSDP      = "application/sdp"
	typeFragment = "application/trickle-ice-sdpfrag"
)

// offerDoc describes a call that takes an SDP offer and makes a session.
func offerDoc(id, summary string, query ...string) *huma.Operation {
	op := doc(id, summary, query...)
	op.RequestBody = textBody(typeSDP)
	text := func(what string) *huma.Param {
		return &huma.Param{Description: what, Schema: &huma.Schema{Type: "string"}}
	}
	op.Responses = map[string]*huma.Response{"201": {
		Description: "The answer; the session is a resource of its own",
		Headers: map[string]*huma.Param{
			"Location": text("the session: PATCH and DELETE go there"), "ETag": text("of the ICE session, for If-Match"),
			"Skein-Warning": text("what may not play well, or is transcoded; may be repeated"),
		},
		Content: map[string]*huma.MediaType{typeSDP: {Schema: &huma.Schema{Type: "string"}}},
	}, "429": {
		Description: "More is begun in a moment than one person may; Retry-After tells when to try again",
	}, "503": {
		Description: "No signal, or a limit is reached: the detail names it with its number and its key, " +
			"such as webrtc.max_sessions_per_person",
	}}
	return op
}

// sessionDocs describe the calls on the sessions that the offers make.
func sessionDocs() []route {
	var rs []route
	for _, k := range []struct{ name, path string }{
		{"whep", "/v1/whep/{camera}/{session}"}, {"wall", "/v1/walls/{session}"}, {"whip", "/v1/whip/{camera}/{session}"},
	} {
		change := doc(k.name+"-change", "Trickle ICE, or restart it with If-Match: *")
		change.RequestBody = textBody(typeFragment)
		change.Parameters = append(change.Parameters, &huma.Param{
			Name: "If-Match", In: "header", Required: true, Schema: &huma.Schema{Type: "string"},
		})
		rs = append(rs, route{method: http.MethodPatch, path: k.path, doc: change},
			route{method: http.MethodDelete, path: k.path, doc: doc(k.name+"-end", "End the session")})
	}
	stats := doc("whep-stats", "Tell how the pictures fare at the viewer; figures are totals since the session began, "+
		"but for jitter_ms and delay_ms")
	stats.RequestBody = &huma.RequestBody{
		Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: statsSchema()}},
	}
	return append(rs, route{method: http.MethodPost, path: "/v1/whep/{camera}/{session}/stats", doc: stats})
}

// statsSchema describes relay.SlotReport; slot 0 is the picture of a WHEP session.
func statsSchema() *huma.Schema {
	least := 0.0
	slot := &huma.Schema{Type: "object", Properties: map[string]*huma.Schema{}}
	for _, name := range []string{"slot", "decoded", "dropped", "frozen", "width", "height"} {
		slot.Properties[name] = &huma.Schema{Type: "integer", Minimum: &least}
	}
	for _, name := range []string{"freeze_ms", "jitter_ms", "delay_ms"} {
		slot.Properties[name] = &huma.Schema{Type: "number", Minimum: &least}
	}
	return &huma.Schema{
		Type: "object", Required: []string{"slots"},
		Properties: map[string]*huma.Schema{"slots": {Type: "array", Items: slot}},
	}
}

func textBody(kind string) *huma.RequestBody {
	return &huma.RequestBody{
		Required: true, Content: map[string]*huma.MediaType{kind: {Schema: &huma.Schema{Type: "string"}}},
	}
}

// pathParams describes the variables of a path.
func pathParams(path string) []*huma.Param {
	var out []*huma.Param
	for _, part := range strings.Split(path, "{")[1:] {
		name, _, _ := strings.Cut(part, "}")
		out = append(out, &huma.Param{
			Name: strings.TrimSuffix(name, "..."), In: "path", Required: true, Schema: &huma.Schema{Type: "string"},
		})
	}
	return out
}
