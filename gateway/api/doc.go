// Package api is the gateway's HTTP surface: routes, who may call them, and the JSON of the contract.
//
// It owns no camera, no stream and no footage. Inventory, states, WHEP, the archive, the control link and the console
// are handed in as small interfaces and handlers; what this package adds is that nobody reaches them who may not:
// default deny ([access.Access.Guard] is the outermost handler), roles, and the scope of every camera named in a
// request. A camera out of the caller's scope is answered exactly like one that does not exist. Errors are RFC 9457
// problems, also for unknown routes and methods. Endpoints with JSON bodies are described by their types at
// /v1/openapi.json; the others are described by hand in routes.go.
package api
