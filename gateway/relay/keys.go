package relay

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sync"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/protocol/extension"
	"github.com/pion/dtls/v3/pkg/protocol/handshake"
	"github.com/pion/webrtc/v4"
)

// handshakeKeys computes the SRTP keys of one DTLS handshake in which we are the server.
//
// pion keeps them to itself, and every packet sent through it costs more in its layers than in encryption. Two public
// hooks give what RFC 5764 section 4.2 needs: the server hello (our random, the chosen profile) and the key log (the
// client's random and the master secret). Nothing is written anywhere: the "log" is this struct, and the secret is
// wiped once the keys are derived.
type handshakeKeys struct {
	mu      sync.Mutex // guards the fields below
	random  []byte     // the server's
	profile dtls.SRTPProtectionProfile
	local   masterKeys
	done    bool
}

// cipherSuites all use SHA-256 in their pseudo-random function, which exporter relies on.
func cipherSuites() []dtls.CipherSuiteID {
	return []dtls.CipherSuiteID{
		dtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		dtls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,
	}
}

// install makes the handshakes of se report to k.
func (k *handshakeKeys) install(se *webrtc.SettingEngine) {
	se.SetDTLSCipherSuites(cipherSuites()...)
	se.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	se.SetDTLSServerHelloMessageHook(k.hello)
	se.SetDTLSKeyLogWriter(k)
}

func (k *handshakeKeys) hello(h handshake.MessageServerHello) handshake.Message {
	k.mu.Lock()
	defer k.mu.Unlock()
	random := h.Random.MarshalFixed()
	k.random = random[:]
	for _, e := range h.Extensions {
		if s, ok := e.(*extension.UseSRTP); ok && len(s.ProtectionProfiles) > 0 {
			k.profile = s.ProtectionProfiles[0]
		}
	}
	return &h
}

// Write takes one line of the key log: label, client random and master secret.
func (k *handshakeKeys) Write(line []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f := bytes.Fields(line)
	if len(f) != 3 || string(f[0]) != "CLIENT_RANDOM" || k.random == nil {
		return len(line), nil
	}
	client, secret := make([]byte, hex.DecodedLen(len(f[1]))), make([]byte, hex.DecodedLen(len(f[2])))
	if _, err := hex.Decode(client, f[1]); err != nil {
		return 0, errors.New("dtls key log: malformed random")
	}
	if _, err := hex.Decode(secret, f[2]); err != nil {
		return 0, errors.New("dtls key log: malformed secret")
	}
	k.local = serverKeys(secret, client, k.random, k.profile == dtls.SRTP_AEAD_AES_128_GCM)
	k.done = true
	clear(secret)
	return len(line), nil
}

// keys returns our sending direction's keys; ok is false before the handshake got that far.
func (k *handshakeKeys) keys() (masterKeys, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.local, k.done
}

// serverKeys is the exporter of RFC 5705 with the label and layout of RFC 5764 section 4.2.
func serverKeys(secret, client, server []byte, gcm bool) masterKeys {
	const keyLen = 16
	saltLen := 14
	if gcm {
		saltLen = 12
	}
	seed := append(append([]byte("EXTRACTOR-dtls_srtp"), client...), server...)
	out := pSHA256(secret, seed, 2*keyLen+2*saltLen)
	return masterKeys{gcm: gcm, key: out[keyLen : 2*keyLen], salt: out[2*keyLen+saltLen:]}
}

// pSHA256 is P_SHA256 of RFC 5246 section 5.
func pSHA256(secret, seed []byte, n int) []byte {
	sum := func(parts ...[]byte) []byte {
		h := hmac.New(sha256.New, secret)
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	var out []byte
	for a := sum(seed); len(out) < n; a = sum(a) {
		out = append(out, sum(a, seed)...)
	}
	return out[:n]
}
