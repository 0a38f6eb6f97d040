package api

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// maxBody is the longest JSON body taken, in bytes.
const maxBody = 64 << 10

// newHuma returns the JSON layer on mux. Of huma's own routes none is mounted.
func newHuma(mux *http.ServeMux, version string) huma.API {
	if version == "" {
		version = "dev"
	}
	c := huma.DefaultConfig("Skein", version)
	c.Info.Description = "Video and sensor gateway. Times are RFC 3339, UTC. Errors are RFC 9457 problems. " +
		"Scripts in pages of another origin may call with a bearer token if access.origins names the origin (CORS)."
	c.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	c.Servers = []*huma.Server{{URL: "/"}}
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "", "", ""
	c.CreateHooks = nil // no $schema links
	format := huma.Format{Marshal: marshal, Unmarshal: json.Unmarshal}
	c.Formats = map[string]huma.Format{"application/json": format, "json": format}
	c.Transformers = []huma.Transformer{tidyProblem}
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"bearer": {Type: "http", Scheme: "bearer", Description: "a token of the configuration, or of POST /v1/login"},
		"cookie": {Type: "apiKey", In: "cookie", Name: "skein_session"},
	}
	c.Security = []map[string][]string{{"bearer": {}}, {"cookie": {}}}
	return humago.New(mux, c)
}

// marshal writes v as JSON. A client that is gone is no error: the answer is made whole before the first byte is sent.
func marshal(w io.Writer, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, _ = w.Write(b.Bytes()) // the client is gone: nobody is left to tell
	return nil
}

// tidyProblem completes problems and removes what was sent from them: it may be a password.
func tidyProblem(ctx huma.Context, _ string, v any) (any, error) {
	p, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	out := *p
	if out.Type == "" {
		out.Type = "about:blank"
	}
	u := ctx.URL()
	out.Instance = u.EscapedPath()
	out.Errors = nil
	for _, e := range p.Errors {
		if e != nil {
			out.Errors = append(out.Errors, &huma.ErrorDetail{Message: e.Message, Location: e.Location})
		}
	}
	return &out, nil
}

// document returns the OpenAPI document with the routes that are not JSON added.
func (s *Server) document() ([]byte, error) {
	doc := s.huma.OpenAPI()
	for _, rt := range slices.Concat(s.raw(), clipDocs(), sessionDocs()) {
		op := rt.doc
		if op == nil {
			continue
		}
		op.Method, op.Path = rt.method, rt.path
		op.Parameters = append(pathParams(rt.path), op.Parameters...)
		if op.Responses == nil {
			op.Responses = map[string]*huma.Response{}
		}
		op.Responses["default"] = &huma.Response{
			Description: "Error",
			Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: problemSchema()}},
		}
		doc.AddOperation(op)
	}
	return json.Marshal(doc)
}

func problemSchema() *huma.Schema {
	return &huma.Schema{Ref: "#/components/schemas/ErrorModel"}
}
