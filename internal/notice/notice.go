// Package notice is the form in which stores that hosts share publish on a channel
// what has changed: one character that says what happened, the version that the record has
// now (0: none), a colon, and the session's name.
package notice

import (
	"strconv"
	"strings"

	"github.com/evertoken/evertoken/tokenstore"
)

// What a notice begins with.
const (
	Changed = "="
	Begun   = "?"
	// Heartbeat is a notice by itself: nothing has changed, and a reader that
	// gets it knows that its connection works.
	Heartbeat = "!"
)

// Of returns what the notice of a write of rec, which replaces rec.Version, begins
// with. A new record does not count as an announcement, whatever its marks: its pair is news.
func Of(rec *tokenstore.Record) string {
	if rec.Version != 0 && rec.Pending != nil && rec.Dead == nil {
		return Begun
	}
	return Changed
}

// Read returns what a notice tells, and whether it tells anything. One that is not
// ours, or was damaged on its way, may be about any session.
func Read(text string) (change tokenstore.Change, tells bool) {
	if text == Heartbeat {
		return tokenstore.Change{}, false
	}
	if text == "" {
		return tokenstore.Change{}, true
	}
	kind, name := text[:1], text[1:]
	var version uint64
	if digits, rest, told := strings.Cut(name, ":"); told {
		if v, err := strconv.ParseUint(digits, 10, 53); err == nil {
			version, name = v, rest
		}
	}
	if kind != Changed && kind != Begun || tokenstore.CheckName(name) != nil {
		return tokenstore.Change{}, true
	}
	return tokenstore.Change{Name: name, Begun: kind == Begun, Version: version}, true
}
