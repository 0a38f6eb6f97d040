package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// clipDocs describes routes whose pattern no router can hold: the forms of /v1/clips/, thumbnails and snapshots.
func clipDocs() []route {
	mp4 := doc("clip-mp4", "The exact range of a camera's footage as one MP4", "from", "to", "retrieval")
	mp4.Description = "The picture t seconds into the file is that of Skein-Clip-From + t. In a gap the last picture " +
		"before it stands still; gaps at the range's ends are left out. The clip's timeline tells where gaps are."
	mp4.Parameters = append(mp4.Parameters, originalSound(), asFile())
	mp4.Responses["2XX"].Headers = map[string]*huma.Param{
		"Skein-Clip-From": timeHeader("when the first picture was captured"),
		"Skein-Clip-To":   timeHeader("when the last one ends"),
	}
	list := doc("clip-m3u8", "The exact range of a camera's footage as HLS", "from", "to", "retrieval")
	list.Description = "Every stretch without a gap begins with its EXT-X-PROGRAM-DATE-TIME; gaps are discontinuities."
	thumbnail := doc("thumbnail", "A small picture of recorded footage: the last key frame before a moment",
		"at", "retrieval")
	thumbnail.Responses["2XX"].Headers = map[string]*huma.Param{
		"Skein-Frame-Time": timeHeader("when the picture was captured"),
	}
	get := http.MethodGet
	return []route{
		{method: get, path: "/v1/thumbnails/{camera}.jpg", doc: thumbnail},
		{method: get, path: "/v1/clips/{camera}.mp4", doc: mp4},
		{method: get, path: "/v1/clips/{camera}.m3u8", doc: list},
		{method: get, path: "/v1/clips/{camera}.json", doc: timelineDoc()},
		snapshotDoc(),
	}
}

// timelineDoc describes GET /v1/clips/{camera}.json.
func timelineDoc() *huma.Operation {
	op := doc("clip-timeline", "Which moment each picture of a clip is of, and where footage is missing and why",
		"from", "to", "retrieval")
	op.Description = "The picture t seconds into the MP4 of the same range is that of start + t where this lies in a " +
		"span; in a gap between two spans the last picture of the first stands still. It opens like a clip, shows no " +
		"picture, and is answered for ranges without footage too."
	op.Responses["2XX"].Content = map[string]*huma.MediaType{"application/json": {Schema: timelineSchema()}}
	return op
}

func timelineSchema() *huma.Schema {
	at := func(what string) *huma.Schema {
		return &huma.Schema{Type: "string", Format: "date-time", Description: what}
	}
	stretch := func(more string, s *huma.Schema) *huma.Schema {
		return &huma.Schema{Type: "array", Items: &huma.Schema{
			Type: "object", Required: []string{"from", "to", more},
			Properties: map[string]*huma.Schema{"from": at(""), "to": at(""), more: s},
		}}
	}
	return &huma.Schema{
		Type: "object", Required: []string{"camera", "from", "to", "spans", "gaps"},
		Properties: map[string]*huma.Schema{
			"camera": {Type: "string"}, "from": at("as asked for"), "to": at("as asked for"),
			"start": at("when the MP4's first picture was captured; absent where there is none"),
			"spans": stretch("at_s", &huma.Schema{Type: "number", Description: "seconds from the beginning of the MP4"}),
			"gaps":  stretch("cause", &huma.Schema{Type: "string"}),
		},
	}
}

func timeHeader(what string) *huma.Param {
	return &huma.Param{Description: what, Schema: &huma.Schema{Type: "string", Format: "date-time"}}
}

func asFile() *huma.Param {
	return &huma.Param{
		Name: "download", In: "query", Schema: &huma.Schema{Type: "string", Enum: []any{"1"}},
		Description: "1: to take the footage away as a file. That is an act of its own: only investigators and " +
			"administrators may, always under a registered retrieval, and every time is recorded with what was sent.",
	}
}

func originalSound() *huma.Param {
	return &huma.Param{
		Name: "sound", In: "query", Schema: &huma.Schema{Type: "string", Enum: []any{"original"}},
		Description: "original: the sound as it was recorded, byte for byte and with its gaps. " +
			"Without it G.711 becomes FLAC, which browsers play, and gaps are filled with silence.",
	}
}
