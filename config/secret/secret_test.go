package secret_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"skein/config/secret"
)

func TestNoWayOfPrintingShowsTheValue(t *testing.T) {
	s := secret.New("open-sesame")
	holder := struct{ S secret.String }{s}
	j, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	y, err := yaml.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "s", s, "holder", holder)
	for _, text := range []string{
		fmt.Sprintf("%v %+v %#v %s %q", s, holder, holder, s, s), string(j), string(y), log.String(),
	} {
		if strings.Contains(text, "sesame") {
			t.Errorf("the value is shown: %s", text)
		}
	}
	if s.Reveal() != "open-sesame" || s.IsZero() || !secret.New("").IsZero() {
		t.Error("Reveal or IsZero is wrong")
	}
}

func TestFormsInYAML(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SKEIN_SECRET_TEST", "from-env")
	cases := []struct{ text, want, fails string }{
		{`s: plain`, "plain", ""},
		{`s: {env: SKEIN_SECRET_TEST}`, "from-env", ""},
		{`s: {file: ` + file + `}`, "from-file", ""},
		{"s:\n  env: SKEIN_SECRET_TEST", "from-env", ""},
		{`s: {env: SKEIN_SECRET_NOT_SET}`, "", "SKEIN_SECRET_NOT_SET is not set"},
		{`s: {file: /nowhere}`, "", "/nowhere"},
		{`s: {vault: x}`, "", `unknown key "vault"`},
		{`s: [1]`, "", "want a text"},
	}
	for _, c := range cases {
		var v struct{ S secret.String }
		err := yaml.Unmarshal([]byte(c.text), &v)
		switch {
		case c.fails == "" && (err != nil || v.S.Reveal() != c.want):
			t.Errorf("%s: %q, %v", c.text, v.S.Reveal(), err)
		case c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)):
			t.Errorf("%s: error %v, want one with %q", c.text, err, c.fails)
		}
	}
}
