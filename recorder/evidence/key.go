package evidence

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// keyBlock is the PEM type of the signing key: PKCS #8, as openssl writes it.
const keyBlock = "PRIVATE KEY"

// OpenKey reads the signing key of checkpoints from path, or makes one there if there is no file. The file is readable
// by its owner only; one that others can read is refused, because whoever read it could sign.
func OpenKey(path string) (key ed25519.PrivateKey, created bool, err error) {
	key, err = readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = makeKey(path)
		created = err == nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("evidence key %s: %w", path, err)
	}
	return key, created, nil
}

func readKey(path string) (ed25519.PrivateKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("others may read it (mode %#o): run chmod 600, and consider it known", info.Mode().Perm())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != keyBlock {
		return nil, errors.New("is no PEM private key")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("is no PKCS #8 private key") // the cause could quote the key
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, errors.New("is no Ed25519 key")
	}
	return key, nil
}

// makeKey writes a new key. Of several processes that start at once all end up with the same one.
func makeKey(path string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	err = writeNew(path, pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der}), 0o600)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return readKey(path)
}

// writeNew makes a file appear under its name whole and durable. fs.ErrExist if the name is taken.
func writeNew(path string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := place(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err // a share of another machine may not know how to sync a folder
	}
	return nil
}

// place gives a file its name, if that is free.
func place(from, to string) error {
	err := os.Link(from, to)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // a file system without links: take the name first
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Rename(from, to))
}

// Public returns the public half in the form that people exchange: 64 hexadecimal digits.
func Public(key ed25519.PrivateKey) string {
	public, _ := key.Public().(ed25519.PublicKey)
	return hex.EncodeToString(public)
}

// ParsePublic reads a public key: 64 hexadecimal digits, or the name of a file that holds them.
func ParsePublic(s string) (ed25519.PublicKey, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != ed25519.PublicKeySize {
		data, rerr := os.ReadFile(s)
		if rerr != nil {
			return nil, fmt.Errorf("key %.80q: want 64 hexadecimal digits or a file with them", s)
		}
		if b, err = hex.DecodeString(strings.TrimSpace(string(data))); err != nil || len(b) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("key file %s: want 64 hexadecimal digits", s)
		}
	}
	return b, nil
}
