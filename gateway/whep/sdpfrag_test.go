package whep

import (
	"reflect"
	"strings"
	"testing"
)

func TestFragmentsThatCannotBe(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"empty":             "",
		"text":              "hello",
		"password alone":    "a=ice-pwd:abc",
		"two credentials":   "a=ice-ufrag:abc\r\na=ice-ufrag:def",
		"injected line":     "a=ice-ufrag:ab c",
		"many lines":        strings.Repeat("a=x\n", 1000),
		"long line":         "a=candidate:" + strings.Repeat("1", 2000),
		"large":             strings.Repeat("a=candidate:1\n", 4000),
		"only other things": "a=mid:0\r\na=ice-options:trickle\r\n",
	} {
		if f, err := parseFragment(body); err == nil {
			t.Errorf("%s: read as %+v", name, f)
		}
	}
}

func FuzzFragment(f *testing.F) {
	f.Add("a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0U\r\nm=video 9 X 0\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n")
	f.Add("a=end-of-candidates")
	f.Add("m=audio 9\na=mid:\na=candidate")
	f.Fuzz(func(t *testing.T, body string) {
		g, err := parseFragment(body)
		if err != nil || g.Ufrag == "" || g.Pwd == "" {
			return
		}
		again, err := parseFragment(formatFragment(g))
		if err != nil || again.Ufrag != g.Ufrag || again.Pwd != g.Pwd || len(again.Candidates) != len(g.Candidates) {
			t.Errorf("%+v becomes %+v, %v", g, again, err)
		}
		for i := range again.Candidates {
			if !reflect.DeepEqual(again.Candidates[i].Line, g.Candidates[i].Line) {
				t.Errorf("candidate %q becomes %q", g.Candidates[i].Line, again.Candidates[i].Line)
			}
		}
	})
}
