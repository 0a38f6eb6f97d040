package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"skein/config/district"
)

// Load reads, checks and completes the configuration at path. Its error has one line for each mistake:
// file:line:column: key: what is wrong.
func Load(path string) (*Config, error) {
	c := &Config{}
	main, err := decode(path, c)
	if err != nil {
		return nil, err
	}
	c.path = path
	docs, found := []document{main}, main.mistakes()
	if c.Inventory != "" {
		inv := &district.Inventory{}
		doc, err := decode(c.inventoryPath(), inv)
		if err != nil {
			return nil, errors.Join(joined(found), err)
		}
		docs, found = append(docs, doc), append(found, doc.mistakes()...)
		c.Units = append(c.Units, inv.Units...)
		c.Cameras = append(c.Cameras, inv.Cameras...)
		c.Terminals = append(c.Terminals, inv.Terminals...)
		c.Sensors = append(c.Sensors, inv.Sensors...)
	}
	c.withDefaults()
	for _, e := range c.check() {
		if !follows(docs, e) {
			found = append(found, locate(docs, e))
		}
	}
	if len(found) > 0 {
		return nil, joined(found)
	}
	for _, e := range c.doubts() {
		c.warnings = append(c.warnings, locate(docs, e).Error())
	}
	return c, nil
}

// inventoryPath is relative to the configuration file.
func (c *Config) inventoryPath() string {
	if c.Inventory == "" || filepath.IsAbs(c.Inventory) {
		return c.Inventory
	}
	return filepath.Join(filepath.Dir(c.path), c.Inventory)
}

// Files returns the files a reload has to look at.
func (c *Config) Files() []string {
	if c.Inventory == "" {
		return []string{c.path}
	}
	return []string{c.path, c.inventoryPath()}
}

// document is a parsed file, kept to find the line of a mistake.
type document struct {
	path    string
	root    ast.Node
	misfits []misfit
}

// mistake is something wrong at a place in a file. The place may be unknown: line 0.
type mistake struct {
	path      string
	line, col int
	err       error
}

// Error implements error.
func (m mistake) Error() string {
	if m.line == 0 {
		return fmt.Sprintf("%s: %v", m.path, m.err)
	}
	return fmt.Sprintf("%s:%d:%d: %v", m.path, m.line, m.col, m.err)
}

// joined is the error about all mistakes, in the order in which they stand in the files.
func joined(all []mistake) error {
	slices.SortStableFunc(all, func(a, b mistake) int {
		return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.line, b.line), cmp.Compare(a.col, b.col))
	})
	errs := make([]error, len(all))
	for i, m := range all {
		errs[i] = m
	}
	return errors.Join(errs...)
}

// mistakes are the keys that are not known and the values of the wrong kind.
func (d document) mistakes() []mistake {
	var out []mistake
	for _, m := range d.misfits {
		out = append(out, mistake{d.path, m.at.Position.Line, m.at.Position.Column, errors.New(m.text)})
	}
	return out
}

// decode fills into from the file. What of it does not fit is left out and told by the document; an error means that
// nothing of the file can be used.
func decode(path string, into any) (document, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return document{}, fmt.Errorf("read config: %w", err)
	}
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		if tabs := tabs(path, data); tabs != nil {
			return document{}, tabs
		}
		return document{}, positioned(path, err)
	}
	doc := document{path: path}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		return doc, nil
	}
	doc.root = file.Docs[0].Body
	s := &shape{anchors: map[string]ast.Node{}}
	if !s.fits(doc.root, reflect.TypeOf(into), "") || s.endless {
		doc.misfits = s.misfits
		return document{}, joined(doc.mistakes())
	}
	doc.misfits = s.misfits
	dec := yaml.NewDecoder(bytes.NewReader(nil), yaml.AllowDuplicateMapKey()) // fits has found those that are mistakes
	if err := dec.DecodeFromNode(doc.root, into); err != nil {
		return document{}, positioned(path, err)
	}
	return doc, nil
}

// maxTabs is how many lines with a tab are named.
const maxTabs = 20

// tabs is the error about lines that are indented by tabs, nil if there are none.
func tabs(path string, data []byte) error {
	var errs []error
	for i, line := range strings.Split(string(data), "\n") {
		indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		if at := strings.IndexByte(indent, '\t'); at >= 0 && len(errs) < maxTabs {
			errs = append(errs, fmt.Errorf("%s:%d:%d: a tab: YAML is indented with blanks only; replace it, most editors "+
				"can do that", path, i+1, at+1))
		}
	}
	return errors.Join(errs...)
}

// absence matches what is said about a value that is not there.
var absence = regexp.MustCompile(`is missing|: no (name|unit)|has no |neither main nor sub|needs |needed|""`)

// follows reports whether a mistake is only the consequence of a misfit: it is about a value that was left out, about
// what holds it, or about something that may be named there.
func follows(docs []document, err error) bool {
	text := err.Error()
	at := keyPath.FindString(text)
	for _, d := range docs {
		for _, m := range d.misfits {
			holder := m.path[:max(0, strings.LastIndexAny(m.path, ".["))]
			switch {
			case within(at, m.path):
				return true
			case (within(at, holder) || within(holder, at)) && absence.MatchString(text):
				return true
			case within(m.path, "units") && strings.Contains(text, "unknown "), within(m.path, "access.nodes") &&
				strings.Contains(text, "no node"):
				return true
			}
		}
	}
	return false
}

// within reports whether a path is that of a key or of something in it.
func within(path, key string) bool {
	rest, ok := strings.CutPrefix(path, key)
	return ok && key != "" && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// positioned turns a YAML error into one line with file, line and column.
func positioned(path string, err error) error {
	var ye yaml.Error
	if !errors.As(err, &ye) {
		return fmt.Errorf("%s: %w", path, err)
	}
	msg := strings.Join(strings.Fields(ye.GetMessage()), " ")
	if t := ye.GetToken(); t != nil {
		return fmt.Errorf("%s:%d:%d: %s", path, t.Position.Line, t.Position.Column, msg)
	}
	return fmt.Errorf("%s: %s", path, msg)
}

// keyPath matches the path of a key at the beginning of a message.
var keyPath = regexp.MustCompile(`^[a-z_]+(\[\d+\])?(\.[a-z_]+(\[\d+\])?)*`)

// locate puts the position of the key an error begins with before it: that of the longest part of the path which stands
// in a file.
func locate(docs []document, err error) mistake {
	at := keyPath.FindString(err.Error())
	for at != "" {
		for _, d := range docs {
			if d.root == nil {
				continue
			}
			p, perr := yaml.PathString("$." + at)
			if perr != nil {
				continue
			}
			n, perr := p.FilterNode(d.root)
			if perr != nil || n == nil {
				continue
			}
			pos := first(n).GetToken().Position
			return mistake{d.path, pos.Line, pos.Column, err}
		}
		i := strings.LastIndexAny(at, ".[")
		if i < 0 {
			break
		}
		at = at[:i]
	}
	return mistake{path: docs[0].path, err: err}
}

// first returns the node at which a mapping begins.
func first(n ast.Node) ast.Node {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 {
		return m.Values[0].Key
	}
	if m, ok := n.(*ast.MappingValueNode); ok {
		return m.Key
	}
	return n
}

// Show renders the configuration in force as YAML, with defaults filled in and every secret and URL password hidden.
func (c *Config) Show() ([]byte, error) {
	shown := *c
	shown.Cameras = redactAll(c.Cameras)
	shown.Terminals = redactAll(c.Terminals)
	shown.Link.Gateway = redact(c.Link.Gateway)
	shown.Recorder.URLs, shown.Index.Redis = nil, nil
	for _, u := range c.Recorder.URLs {
		shown.Recorder.URLs = append(shown.Recorder.URLs, redact(u))
	}
	for _, u := range c.Index.Redis {
		shown.Index.Redis = append(shown.Index.Redis, redact(u))
	}
	out, err := yaml.Marshal(&shown)
	if err != nil {
		return nil, fmt.Errorf("show config: %w", err)
	}
	return out, nil
}
