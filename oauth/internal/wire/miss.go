package wire

import (
	"bytes"
	"strings"

	"github.com/evertoken/evertoken/internal/lenient"
	"github.com/evertoken/evertoken/internal/member"
)

// Miss says what a success lacks that should hold tokens, if that is all that is known
// of it. An answer that ended before it said anything decides nothing: its outcome is
// unknown.
func (a *Answer) Miss(fail *Failure) {
	if fail.Err != ErrNotUsable || fail.Page {
		return
	}
	o := a.Object()
	switch {
	case a.cut(o):
		return
	case holdsTokens(o.Members), !o.Closed && mentionsToken(a.Body):
		fail.Kind, fail.Err = ErrMisconfigured, &MembersError{ErrUnreadAnswer, memberNames(o.Members)}
		fail.Field, fail.Hint = "TokenPath", "name the place of the tokens: Config.TokenPath, or the names in a Dialect"
		if o.Members == nil {
			fail.Field, fail.Hint = "", "what the server sends is not JSON; its operator has to mend that"
		}
		return
	case a.Op != OpRefresh && a.Op != OpDevice: // which is asked for until its code ends
		fail.Kind = ErrMisconfigured // nothing passes by itself here, and no session is at stake
	}
	fail.Err = &MembersError{ErrNoToken, memberNames(o.Members)}
}

// cut reports whether the answer ended before it was complete. o is what could be
// read of it.
func (a *Answer) cut(o lenient.Object) bool {
	text := bytes.TrimSpace(a.Body)
	switch {
	case o.Closed:
		// An object without tokens can have been followed by one with them.
		return !a.Whole && !holdsTokens(o.Members)
	case !a.Whole, len(text) == 0:
		return true
	}
	// What begins like JSON and ends like it is whole, though we cannot read it.
	begins := o.Members != nil || text[0] == '{' || text[0] == '['
	return begins && strings.IndexByte("}])>;", text[len(text)-1]) < 0
}

// mentionsToken reports whether there is an access token in an answer that we cannot
// read.
func mentionsToken(body []byte) bool {
	return strings.Contains(member.Letters(string(body)), "accesstoken")
}

// A MembersError is a reason with the names of an answer's members, and no values.
type MembersError struct {
	Reason error
	Names  []string
}

func (e *MembersError) Error() string {
	if len(e.Names) == 0 {
		return e.Reason.Error()
	}
	return e.Reason.Error() + " (its members: " + strings.Join(e.Names, ", ") + ")"
}

// Unwrap returns the reason.
func (e *MembersError) Unwrap() error { return e.Reason }
