// Package dormant writes a session at rest into one string and reads it back. The form
// never leaves the process.
package dormant

import (
	"encoding/binary"
	"reflect"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/refresh/internal/session"
)

// A Session is a session at rest, and when a caller last asked for its token.
type Session struct {
	session.Dormant
	Used moment.Instant
}

// A packed session begins with its outlook, which each look reads: two parts of an
// Instant, the stamp, whether that is known, and the magnitude.
const outlookSize = 3*8 + 2

// Pack returns a session at rest as a string.
func Pack(s Session, o session.Outlook) string {
	w := make([]byte, 0, 512)
	wall, mono := o.Due.Parts()
	w = binary.LittleEndian.AppendUint64(w, uint64(wall))
	w = binary.LittleEndian.AppendUint64(w, uint64(mono))
	w = binary.LittleEndian.AppendUint64(w, o.Stamp.Value)
	known := byte(0)
	if o.Stamp.Known {
		known = 1
	}
	return string(encode(append(w, known, o.Magnitude), reflect.ValueOf(&s).Elem()))
}

// Outlook reads the outlook of a packed session.
func Outlook(packed string) session.Outlook {
	var b [outlookSize]byte
	copy(b[:], packed)
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
	return session.Outlook{
		Due:       moment.FromParts(int64(word(0)), int64(word(1))),
		Stamp:     session.Stamp{Value: word(2), Known: b[24] == 1},
		Magnitude: b[25],
	}
}

// Unpack reads a packed session. Its strings are parts of the packed one.
func Unpack(packed string) (s Session) {
	r := reader(packed[outlookSize:])
	r.decode(reflect.ValueOf(&s).Elem())
	return s
}
