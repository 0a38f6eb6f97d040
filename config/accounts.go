package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"skein/config/district"
)

// Accounts is what of a configuration tells where people's accounts are kept and what their scopes may be.
type Accounts struct {
	DataDir   string
	UsersFile string // empty: in DataDir
	Units     []district.Unit
}

// LoadAccounts reads only that of the configuration at path: mistakes elsewhere, and secrets that are not at hand, do
// not keep it from being read.
func LoadAccounts(path string) (*Accounts, error) {
	var c struct {
		DataDir string `yaml:"data_dir"`
		Access  struct {
			UsersFile string `yaml:"users_file"`
		} `yaml:"access"`
		Inventory string          `yaml:"inventory"`
		Units     []district.Unit `yaml:"units"`
	}
	if err := decodeLoosely(path, &c); err != nil {
		return nil, err
	}
	a := &Accounts{DataDir: c.DataDir, UsersFile: c.Access.UsersFile, Units: c.Units}
	if a.DataDir == "" {
		a.DataDir = defaultDataDir
	}
	if c.Inventory != "" {
		file := c.Inventory
		if !filepath.IsAbs(file) {
			file = filepath.Join(filepath.Dir(path), file)
		}
		var inv struct {
			Units []district.Unit `yaml:"units"`
		}
		if err := decodeLoosely(file, &inv); err != nil {
			return nil, err
		}
		a.Units = append(a.Units, inv.Units...)
	}
	return a, nil
}

// HasUnit returns an error that names the units there are if id is not one of them. The empty id is the whole district.
func (a *Accounts) HasUnit(id string) error {
	if id == "" || slices.ContainsFunc(a.Units, func(u district.Unit) bool { return u.ID == id }) {
		return nil
	}
	ids := make([]string, len(a.Units))
	for i, u := range a.Units {
		ids[i] = u.ID
	}
	if len(ids) == 0 {
		return fmt.Errorf("unknown unit %q: the configuration has no units", id)
	}
	return fmt.Errorf("unknown unit %q: there are %s", id, strings.Join(ids, ", "))
}

func decodeLoosely(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read config: %w", err)
	}
	if err := yaml.NewDecoder(bytes.NewReader(data)).Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return positioned(path, err)
	}
	return nil
}
