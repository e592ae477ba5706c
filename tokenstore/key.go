package tokenstore

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

const (
	keySize  = 32 // bytes, for AES-256
	keyIDLen = 16 // hex digits
)

// A Key seals the records of a [Sealed] store: 256 secret bits. A program that has
// it can read the sessions that it seals; without it they are lost. Get one from
// [NewKey] or [ParseKey]; the zero Key is not a key, and stores refuse it.
//
// It prints redacted under every verb and in slog, and refuses to be written as
// JSON or text. Keys are not compared with ==: two are the same key if they have
// the same [Key.ID]. A Key is immutable and safe for concurrent use.
type Key struct {
	// A function, because fmt skips the methods of values in unexported fields: it
	// would print an array, and for a verb that does not fit also what a pointer
	// leads to. Besides, it forbids ==.
	secret func() *[keySize]byte
}

// NewKey returns a new random key.
func NewKey() Key {
	secret := new([keySize]byte)
	_, _ = rand.Read(secret[:]) // never fails (crypto/rand)
	return keyOf(secret)
}

// ParseKey returns the key that [Key.Encode] wrote as text. White space around
// it is ignored, since files end with a line break. The error quotes nothing of
// the text.
func ParseKey(text string) (Key, error) {
	text = strings.TrimSpace(text)
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != keySize || len(text) != base64.StdEncoding.EncodedLen(keySize) {
		return Key{}, errors.New("tokenstore: that is not a sealing key: give the 44 characters that Key.Encode returned")
	}
	return keyOf((*[keySize]byte)(raw)), nil
}

func keyOf(secret *[keySize]byte) Key {
	return Key{secret: func() *[keySize]byte { return secret }}
}

// Encode returns the key as text, 44 characters of base64 (RFC 4648 section 4),
// for the place where it is kept: a keyring, or a file that only the user can
// read. The text is the secret; never print or log it. It is empty for the zero
// Key.
func (k Key) Encode() string {
	if k.secret == nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(k.secret()[:])
}

// ID names the key without revealing it, in 16 hex digits. It stands in the
// clear beside what the key seals. It is empty for the zero Key.
func (k Key) ID() string {
	if k.secret == nil {
		return ""
	}
	// The prefix keeps the sum apart from every other use of the key.
	sum := sha256.Sum256(append([]byte("evertoken: id of a sealing key\x00"), k.secret()[:]...))
	return hex.EncodeToString(sum[:keyIDLen/2])
}

// aead returns what seals and opens the records of the session called name,
// under a subkey of its own (RFC 5869). With random nonces a key is good for
// 2^32 messages (NIST SP 800-38D section 8.3). A hundred thousand sessions that
// share one, saved every few minutes, get there within a year; a single session
// never does.
func (k Key) aead(name string) (cipher.AEAD, error) {
	subkey, err := hkdf.Key(sha256.New, k.secret()[:], nil, "evertoken: sealed session\x00"+name, keySize)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(subkey)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// String names the key without revealing it.
func (k Key) String() string {
	if k.secret == nil {
		return "tokenstore.Key{}"
	}
	return fmt.Sprintf("tokenstore.Key{%s}", k.ID())
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (k Key) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, k.String()) }

// LogValue implements slog.LogValuer.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText implements encoding.TextMarshaler, and with it what encoding/json
// does, by refusing: a key must not slip into a file inside something else, nor
// silently get lost on the way. Use [Key.Encode].
func (k Key) MarshalText() ([]byte, error) {
	return nil, errors.New("tokenstore: a sealing key is not written along with other things: use Key.Encode")
}
