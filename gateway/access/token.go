package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
)

// digest is the SHA-256 of a token or session: what is kept and compared instead of the secret itself.
type digest [sha256.Size]byte

func digestOf(s string) digest { return sha256.Sum256([]byte(s)) }

// newSessionToken returns 256 random bits as text.
func newSessionToken() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// tokenTable holds the tokens of the configuration, hashed. It is immutable.
type tokenTable []tokenEntry

type tokenEntry struct {
	sum digest
	who Principal
}

func newTokenTable(c Config) tokenTable {
	var t tokenTable
	for _, k := range c.Tokens {
		who := Principal{Name: k.Name, Role: k.Role, Unit: k.Unit, Kind: Token}
		t = append(t, tokenEntry{digestOf(k.Token.Reveal()), who})
	}
	for _, n := range c.Nodes {
		t = append(t, tokenEntry{digestOf(n.Token.Reveal()), Principal{Name: n.ID, Kind: Node, Node: n.Node().Kind}})
	}
	return t
}

// find returns whose token it is. It looks at every entry and compares whole digests, so its time tells nothing.
func (t tokenTable) find(sum digest) (Principal, bool) {
	found := -1
	for i := range t {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(t[i].sum[:], sum[:]), i, found)
	}
	if found < 0 {
		return Principal{}, false
	}
	return t[found].who, true
}
