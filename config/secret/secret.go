// Package secret keeps passwords and tokens out of logs, errors and APIs.
//
// A secret comes from the config as plain text, from the environment or from a file, and every way of printing it gives
// "***". Only Reveal returns the value.
package secret

import (
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

const mask = "***"

// String is a secret text. The zero value is empty.
type String struct{ value string }

// New returns the secret s.
func New(s string) String { return String{s} }

// Reveal returns the secret itself: for the one call that needs it, never for a log or an error.
func (s String) Reveal() string { return s.value }

// IsZero reports whether the secret is empty.
func (s String) IsZero() bool { return s.value == "" }

// String implements fmt.Stringer and hides the value.
func (s String) String() string {
	if s.value == "" {
		return ""
	}
	return mask
}

// GoString implements fmt.GoStringer and hides the value.
func (s String) GoString() string { return s.String() }

// LogValue implements slog.LogValuer and hides the value.
func (s String) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements encoding.TextMarshaler and hides the value.
func (s String) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML hides the value.
func (s String) MarshalYAML() (any, error) { return s.String(), nil }

// UnmarshalYAML reads one of: a plain text, {env: NAME} or {file: PATH}. A file's trailing line break is not part of
// the secret. A missing variable or file is an error that names it, at its line and column.
func (s *String) UnmarshalYAML(n ast.Node) error {
	switch n := n.(type) {
	case *ast.StringNode:
		s.value = n.Value
		return nil
	case *ast.MappingNode:
		if len(n.Values) == 1 {
			return s.from(n.Values[0])
		}
	case *ast.MappingValueNode:
		return s.from(n)
	}
	return mistake(n, "want a text in quotes, {env: NAME} or {file: PATH}")
}

// mistake is an error at a node's line and column.
func mistake(at ast.Node, format string, args ...any) error {
	return &yaml.SyntaxError{Message: fmt.Sprintf(format, args...), Token: at.GetToken()}
}

func (s *String) from(n *ast.MappingValueNode) error {
	key := n.Key.String()
	val, ok := n.Value.(*ast.StringNode)
	if !ok {
		return mistake(n.Key, "%s: want a text", key)
	}
	switch key {
	case "env":
		v, ok := os.LookupEnv(val.Value)
		if !ok || v == "" {
			return mistake(val, "environment variable %s is not set: set it for this process, or use {file: PATH}", val.Value)
		}
		s.value = v
	case "file":
		b, err := os.ReadFile(val.Value)
		if err != nil {
			return mistake(val, "secret file: %v", err)
		}
		s.value = strings.TrimRight(string(b), "\r\n")
		if s.value == "" {
			return mistake(val, "secret file %s is empty", val.Value)
		}
	default:
		return mistake(n.Key, "unknown key %q: want env or file", key)
	}
	return nil
}
