package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

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
	docs := []document{main}
	if c.Inventory != "" {
		inv := &district.Inventory{}
		doc, err := decode(c.inventoryPath(), inv)
		if err != nil {
			return nil, err
		}
		docs = append(docs, doc)
		c.Units = append(c.Units, inv.Units...)
		c.Cameras = append(c.Cameras, inv.Cameras...)
		c.Terminals = append(c.Terminals, inv.Terminals...)
		c.Sensors = append(c.Sensors, inv.Sensors...)
	}
	c.withDefaults()
	var errs []error
	for _, e := range c.check() {
		errs = append(errs, locate(docs, e))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
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
	path string
	root ast.Node
}

func decode(path string, into any) (document, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return document{}, fmt.Errorf("read config: %w", err)
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return document{}, positioned(path, err)
	}
	doc := document{path: path}
	if len(file.Docs) > 0 {
		doc.root = file.Docs[0].Body
	}
	dec := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict())
	if err := dec.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return document{}, positioned(path, quoted(doc.root, err))
	}
	return doc, nil
}

// positioned turns a YAML error into one line with file, line and column.
func positioned(path string, err error) error {
	var ve *valueError
	if errors.As(err, &ve) {
		return fmt.Errorf("%s:%d:%d: %w", path, ve.at.Position.Line, ve.at.Position.Column, err)
	}
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

// quoted finds the place of an error that has none but quotes the value it is about, as those of time.ParseDuration do.
func quoted(root ast.Node, err error) error {
	var ye yaml.Error
	m := regexp.MustCompile(`"([^"]*)"`).FindStringSubmatch(err.Error())
	if errors.As(err, &ye) || m == nil || root == nil {
		return err
	}
	f := &finder{value: m[1]}
	ast.Walk(f, root)
	if f.at == nil {
		return err
	}
	return &valueError{at: f.at, err: err}
}

// finder looks for the first scalar with a value.
type finder struct {
	value string
	at    *token.Token
}

// Visit implements ast.Visitor.
func (f *finder) Visit(n ast.Node) ast.Visitor {
	if s, ok := n.(*ast.StringNode); ok && f.at == nil && s.Value == f.value {
		f.at = s.Token
	}
	return f
}

// valueError is an error about the value at a token.
type valueError struct {
	at  *token.Token
	err error
}

func (e *valueError) Error() string { return e.err.Error() }

func (e *valueError) Unwrap() error { return e.err }

// keyPath matches the path of a key at the beginning of a message.
var keyPath = regexp.MustCompile(`^[a-z_]+(\[\d+\])?(\.[a-z_]+(\[\d+\])?)*`)

// locate puts the position of the key an error begins with before it: that of the longest part of the path which stands
// in a file.
func locate(docs []document, err error) error {
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
			return fmt.Errorf("%s:%d:%d: %w", d.path, pos.Line, pos.Column, err)
		}
		i := strings.LastIndexAny(at, ".[")
		if i < 0 {
			break
		}
		at = at[:i]
	}
	return fmt.Errorf("%s: %w", docs[0].path, err)
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
	shown.Index.Redis = nil
	for _, u := range c.Index.Redis {
		shown.Index.Redis = append(shown.Index.Redis, redact(u))
	}
	out, err := yaml.Marshal(&shown)
	if err != nil {
		return nil, fmt.Errorf("show config: %w", err)
	}
	return out, nil
}
