package config

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// misfit is a key that is not known or a value of the wrong kind.
type misfit struct {
	path string // of the value: access.session_ttl, cameras[2].main
	at   *token.Token
	text string
}

// shape compares a document with the type it is to fill. It finds every misfit, where the decoder would stop at the
// first, and takes it out of the document, so that the rest can be decoded and checked too.
type shape struct {
	anchors map[string]ast.Node
	misfits []misfit
	depth   int  // of the walk: an alias may stand in what it stands for
	endless bool // one did
}

// maxDepth is how deep a configuration may be, four times what it can use.
const maxDepth = 32

func (s *shape) add(path string, at ast.Node, format string, args ...any) {
	s.misfits = append(s.misfits, misfit{path, at.GetToken(), fmt.Sprintf(format, args...)})
}

// fits walks over n, which is to fill a t. It returns false if n itself is of no use, and has said why.
func (s *shape) fits(n ast.Node, t reflect.Type, path string) bool {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if s.depth++; s.depth > maxDepth {
		s.depth--
		if !s.endless {
			s.endless = true
			s.add(path, n, "%s: holds itself", cmp.Or(path, "the file"))
		}
		return false
	}
	defer func() { s.depth-- }()
	n = s.plain(n)
	if n == nil || n.Type() == ast.NullType {
		return true
	}
	switch {
	case reflect.PointerTo(t).Implements(reflect.TypeFor[yaml.NodeUnmarshaler]()):
		return s.decodes(n, t, path)
	case t == reflect.TypeFor[time.Duration]():
		return s.duration(n, path)
	case t.Kind() == reflect.Struct:
		return s.section(n, t, path)
	case t.Kind() == reflect.Slice:
		return s.list(n, t, path)
	}
	return s.scalar(n, t, path)
}

// plain returns what an anchor, an alias or a tag stands for.
func (s *shape) plain(n ast.Node) ast.Node {
	for range 16 {
		switch m := n.(type) {
		case *ast.AnchorNode:
			s.anchors[m.Name.String()] = m.Value
			n = m.Value
		case *ast.AliasNode:
			n = s.anchors[m.Value.String()]
		case *ast.TagNode:
			n = m.Value
		default:
			return n
		}
	}
	return n
}

func (s *shape) section(n ast.Node, t reflect.Type, path string) bool {
	m, ok := n.(*ast.MappingNode)
	if one, is := n.(*ast.MappingValueNode); is {
		m, ok = &ast.MappingNode{Values: []*ast.MappingValueNode{one}}, true
	}
	if !ok {
		s.add(path, n, "%s: want a section, key: value, have %s", cmp.Or(path, "the file"), kind(n))
		return false
	}
	known := keysOf(t)
	lines := map[string]int{}
	m.Values = slices.DeleteFunc(m.Values, func(v *ast.MappingValueNode) bool {
		if v.Key.IsMergeKey() {
			return !s.fits(v.Value, t, path)
		}
		key := v.Key.String()
		below := join(path, key)
		field, ok := known[key]
		if !ok {
			s.add(below, v.Key, "unknown key %q%s", key, meant(key, known))
			return true
		}
		if first := lines[key]; first > 0 {
			s.add(below, v.Key, "%s is there twice, first in line %d", below, first)
			return true
		}
		lines[key] = v.Key.GetToken().Position.Line
		return !s.fits(v.Value, field, below)
	})
	return true
}

// keysOf returns the keys a struct knows with the types of their values.
func keysOf(t reflect.Type) map[string]reflect.Type {
	known := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case !f.IsExported() || name == "-":
			continue
		case name == "":
			name = strings.ToLower(f.Name)
		}
		known[name] = f.Type
	}
	return known
}

func (s *shape) list(n ast.Node, t reflect.Type, path string) bool {
	items, ok := n.(*ast.SequenceNode)
	if !ok {
		s.add(path, n, "%s: want a list, [a, b] or lines that begin with a dash, have %s", path, kind(n))
		return false
	}
	good := true
	for i, item := range items.Values {
		good = s.fits(item, t.Elem(), fmt.Sprintf("%s[%d]", path, i)) && good
	}
	return good
}

func (s *shape) duration(n ast.Node, path string) bool {
	if text, ok := n.(*ast.StringNode); ok {
		if _, err := time.ParseDuration(text.Value); err == nil {
			return true
		}
	}
	s.add(path, n, "%s: want a duration such as 12h, 30s or 1h30m, have %s", path, value(n))
	return false
}

// scalar leaves the judgement to the decoder, which takes 5 for the text "5", but not 1.5 for a whole number.
func (s *shape) scalar(n ast.Node, t reflect.Type, path string) bool {
	whole := t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64
	if f, ok := n.(*ast.FloatNode); ok && whole && f.Value != math.Trunc(f.Value) {
		s.add(path, n, "%s: want a whole number, have %s", path, value(n))
		return false
	}
	err := yaml.NodeToValue(n, reflect.New(t).Interface())
	if err == nil {
		return true
	}
	switch {
	case whole:
		s.add(path, n, "%s: want a whole number, have %s", path, value(n))
	case t.Kind() == reflect.Bool:
		s.add(path, n, "%s: want true or false, have %s", path, value(n))
	case t.Kind() == reflect.Float64 || t.Kind() == reflect.Float32:
		s.add(path, n, "%s: want a number, have %s", path, value(n))
	case t.Kind() == reflect.String:
		s.add(path, n, "%s: want a text, have %s", path, kind(n))
	default:
		s.add(path, n, "%s: %s", path, strings.Join(strings.Fields(err.Error()), " "))
	}
	return false
}

// decodes leaves n to a type that reads itself, such as a secret.
func (s *shape) decodes(n ast.Node, t reflect.Type, path string) bool {
	err := yaml.NodeToValue(n, reflect.New(t).Interface())
	if err == nil {
		return true
	}
	m := misfit{path, n.GetToken(), err.Error()}
	var ye yaml.Error
	if errors.As(err, &ye) {
		m.text = ye.GetMessage()
		if t := ye.GetToken(); t != nil {
			m.at = t
		}
	}
	s.misfits = append(s.misfits, m)
	return false
}

// kind says what a node is without its value, which may be a secret in the wrong place.
func kind(n ast.Node) string {
	switch n.Type() {
	case ast.MappingType, ast.MappingValueType:
		return "a section"
	case ast.SequenceType:
		return "a list"
	case ast.IntegerType, ast.FloatType, ast.InfinityType, ast.NanType:
		return "a number"
	case ast.BoolType:
		return "true or false"
	}
	return "a text"
}

// value says what a node is with its value.
func value(n ast.Node) string {
	switch n := n.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		return "the number " + n.GetToken().Value
	case *ast.BoolNode:
		return n.GetToken().Value
	case *ast.StringNode:
		return fmt.Sprintf("the text %q", n.Value)
	}
	return kind(n)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// meant proposes the known key that is nearest to a mistyped one.
func meant(key string, known map[string]reflect.Type) string {
	best, least := "", 3
	for k := range known {
		if d := distance(key, k); d < least || (d == least && best != "" && k < best) {
			best, least = k, d
		}
	}
	if best == "" || least >= len(key) {
		return ""
	}
	return fmt.Sprintf(": did you mean %s?", best)
}

// distance is how many characters must be typed differently to make b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1) // from the beginning of a to every beginning of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			above := row[j+1]
			row[j+1] = 1 + min(diagonal, above, row[j])
			if a[i] == b[j] {
				row[j+1] = diagonal
			}
			diagonal = above
		}
	}
	return row[len(b)]
}
