package relay

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 3711 authenticates with HMAC-SHA1
	"encoding/binary"
	"hash"
)

// sealer turns an RTP packet into an SRTP packet in place. It belongs to one SSRC and is not safe for concurrent use.
type sealer interface {
	// seal protects buf[:n], whose header is buf[:header]; index is the 48-bit packet index (rollover counter and
	// sequence number). It needs overhead() bytes of room after n and returns the new length. The same packet under the
	// same index gives the same bytes.
	seal(buf []byte, header, n int, index uint64) int
	overhead() int
}

// masterKeys are an SRTP master key and salt of one direction.
type masterKeys struct {
	gcm       bool
	key, salt []byte
}

// derive computes a session key of RFC 3711 section 4.3.1 with a key derivation rate of zero.
func (k masterKeys) derive(label byte, n int) ([]byte, error) {
	block, err := aes.NewCipher(k.key)
	if err != nil {
		return nil, err
	}
	var x [16]byte
	copy(x[:14], k.salt)
	x[7] ^= label
	out := make([]byte, 0, n+16)
	for i := 0; len(out) < n; i++ {
		var ks [16]byte
		binary.BigEndian.PutUint16(x[14:], uint16(i))
		block.Encrypt(ks[:], x[:])
		out = append(out, ks[:]...)
	}
	return out[:n], nil
}

// sealer returns the sealer of one SSRC.
func (k masterKeys) sealer(ssrc uint32) (sealer, error) {
	key, err := k.derive(0x00, 16)
	if err != nil {
		return nil, err
	}
	salt, err := k.derive(0x02, len(k.salt))
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if k.gcm {
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		s := &gcmSealer{aead: aead}
		copy(s.salt[:], salt)
		for i := range 4 {
			s.salt[2+i] ^= byte(ssrc >> (24 - 8*i))
		}
		return s, nil
	}
	auth, err := k.derive(0x01, 20)
	if err != nil {
		return nil, err
	}
	s := &cmSealer{block: block, mac: hmac.New(sha1.New, auth)}
	copy(s.salt[:], salt)
	for i := range 4 {
		s.salt[4+i] ^= byte(ssrc >> (24 - 8*i))
	}
	return s, nil
}

// gcmSealer is AEAD_AES_128_GCM, RFC 7714 section 8.
type gcmSealer struct {
	aead  cipher.AEAD
	salt  [12]byte // already mixed with the SSRC
	nonce [12]byte
}

func (s *gcmSealer) overhead() int { return 16 }

func (s *gcmSealer) seal(buf []byte, header, n int, index uint64) int {
	s.nonce = s.salt
	for i := range 6 {
		s.nonce[6+i] ^= byte(index >> (40 - 8*i))
	}
	return header + len(s.aead.Seal(buf[header:header], s.nonce[:], buf[header:n], buf[:header]))
}

// cmSealer is AES_CM_128_HMAC_SHA1_80, RFC 3711, for viewers without GCM.
type cmSealer struct {
	block cipher.Block
	mac   hash.Hash
	salt  [16]byte // already mixed with the SSRC
	sum   [20]byte
}

func (s *cmSealer) overhead() int { return 10 }

func (s *cmSealer) seal(buf []byte, header, n int, index uint64) int {
	iv := s.salt
	for i := range 6 {
		iv[8+i] ^= byte(index >> (40 - 8*i))
	}
	cipher.NewCTR(s.block, iv[:]).XORKeyStream(buf[header:n], buf[header:n])
	var roc [4]byte
	binary.BigEndian.PutUint32(roc[:], uint32(index>>16))
	s.mac.Reset()
	s.mac.Write(buf[:n])
	s.mac.Write(roc[:])
	return n + copy(buf[n:n+10], s.mac.Sum(s.sum[:0]))
}
