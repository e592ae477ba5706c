package tokenstore

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxName bounds a session name. It leaves room for an e-mail address (at most
// 254 bytes, RFC 5321) with an issuer or an environment beside it.
const maxName = 512

// serverRecords begins the names of records that are about servers.
const serverRecords = "evertoken:server:"

// ServerRecord returns the name under which a store that processes share keeps what
// one has heard from an authorization server and all should know: a record without
// tokens whose NotBefore says until when the server wants to be left alone. Package connect
// keeps under such names what the program is at a server, and where its sessions are.
func ServerRecord(server string) string {
	sum := sha256.Sum256([]byte(server))
	return serverRecords + hex.EncodeToString(sum[:16])
}

// IsServerRecord reports whether a name is not that of a session, but one that
// ServerRecord returned. A [Lister] leaves those out, and a [RecordLister] names them.
func IsServerRecord(name string) bool { return strings.HasPrefix(name, serverRecords) }

// CheckName returns an error that wraps [ErrInvalidName] and says what is wrong
// unless name may name a session: non-empty valid UTF-8 of at most 512 bytes
// without NUL. Every store accepts these names and refuses all others, so that
// a session can move from one store to another.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: it is empty", ErrInvalidName)
	case len(name) > maxName:
		return fmt.Errorf("%w: it has %d bytes, more than %d", ErrInvalidName, len(name), maxName)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: %q is not valid UTF-8", ErrInvalidName, name)
	case strings.ContainsRune(name, 0):
		return fmt.Errorf("%w: %q contains a NUL", ErrInvalidName, name)
	}
	return nil
}
