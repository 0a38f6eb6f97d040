package caller_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"skein/internal/caller"
)

func TestAPersonTravelsInAHeader(t *testing.T) {
	t.Parallel()
	p := caller.Person{
		Name: "王警官", Kind: "user", Role: "investigator", Unit: "yf", Address: "10.0.0.7", Retrieval: "r-1", Reason: "盗窃案 2026-17",
	}
	got, err := caller.Parse(p.Encode())
	if err != nil || got != p {
		t.Fatalf("%+v, %v; want %+v", got, err, p)
	}
	p.Reason = strings.Repeat("案", 5000)
	if got, err = caller.Parse(p.Encode()); err != nil || got.Name != p.Name {
		t.Errorf("a reason that is too long: %+v, %v", got, err)
	}
}

func TestAHeaderThatNamesNobodyIsRefused(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]string{
		"missing":   "",
		"long":      strings.Repeat("A", 9000),
		"no base64": "{}",
		"no JSON":   base64.StdEncoding.EncodeToString([]byte("chief")),
		"no name":   caller.Person{Role: "admin"}.Encode(),
		"blank":     caller.Person{Name: "  "}.Encode(),
		"newline":   caller.Person{Name: "chief\nrow"}.Encode(),
		"escape":    caller.Person{Name: "chief", Reason: "\x1b[2J"}.Encode(),
		"long name": caller.Person{Name: strings.Repeat("a", 200)}.Encode(),
		"no text":   base64.StdEncoding.EncodeToString([]byte(`{"name":7}`)),
		"bad UTF-8": base64.StdEncoding.EncodeToString([]byte("{\"name\":\"a\"}\xff")),
	} {
		if p, err := caller.Parse(header); !errors.Is(err, caller.ErrPerson) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(caller.Person{Name: "王"}.Encode())
	f.Add("")
	f.Fuzz(func(t *testing.T, header string) {
		p, err := caller.Parse(header)
		if err != nil {
			return
		}
		if again, err := caller.Parse(p.Encode()); err != nil || again.Name != p.Name {
			t.Errorf("%+v is read again as %+v, %v", p, again, err)
		}
	})
}
