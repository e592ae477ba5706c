package wire

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/evertoken/evertoken/internal/lenient"
	"github.com/evertoken/evertoken/internal/member"
)

// Miss says what a success lacks that should hold tokens, if that is all that is known
// of it. An answer that ended before it said anything decides nothing: its outcome is
// unknown.
func (a *Answer) Miss(fail *Failure) {
	if fail.Err != ErrNotUsable && fail.Err != ErrRedirect {
		return
	}
	o := a.Object()
	switch {
	case a.Whole && (a.Op == OpRefresh || a.Op != OpDevice && !fail.Page && fail.Err == ErrNotUsable) && a.answersUnread(fail, o.Members):
		return
	case fail.Err != ErrNotUsable || fail.Page:
		return
	case a.cut(o):
		return
	case holdsTokens(o.Members), !o.Closed && mentionsToken(a.Body), a.Op == OpRefresh && len(o.Members) > 0 && o.Closed && !saysNo(o.Members):
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

// IsCut reports whether the end of the body has not arrived, in time or at all. A body beyond the
// limit is none of ours, and a page that is cut is a page.
func (a *Answer) IsCut() bool {
	if len(a.Body) > maxBody || a.Page() {
		return false
	}
	return !a.Whole || len(bytes.TrimSpace(a.Body)) > 0 && a.cut(a.Object())
}

// saysNo reports whether an object speaks of a refusal in words of the server's own:
// {"success":false}, {"errcode":42007}, {"code":1,"msg":"…"}, or a token that is empty.
// One that does not, and that came as a success, holds the tokens under names that say
// nothing to us.
func saysNo(fields member.Fields) (no bool) {
	full := carries(fields)
	walk(fields, "", 2, func(_, name string, raw json.RawMessage) bool {
		text := strings.ToLower(strings.Trim(string(raw), `" `))
		empty := slices.Contains(emptyValues, text)
		switch letters := member.Letters(name); {
		case slices.Contains(tokenNames, letters):
			no = empty || raw[0] != '{' // a usable one is found before
		case slices.Contains(successFlags, letters):
			no = empty
		case slices.Contains(resultNames, letters) && full:
			no = raw[0] != '{' && raw[0] != '[' && denies(text)
		case slices.Contains(resultNames, letters):
			no = text != "" && raw[0] != '{' && raw[0] != '[' && !slices.Contains(successWords, text) && !saysDone(text)
		case strings.HasPrefix(letters, "err"), strings.Contains(letters, "error"), slices.Contains(refusalNames, letters):
			no = !empty && !slices.Contains(successWords, text)
		}
		return !no
	})
	return no
}

var (
	emptyValues  = []string{"", "null", "false", "0", "[]", "{}"}
	tokenNames   = []string{"accesstoken", "refreshtoken", "idtoken", "token"}
	successFlags = []string{"success", "succeeded", "succeed", "successful", "issuccess", "ok"}
	resultNames  = []string{"code", "status", "statuscode", "httpstatus", "retcode", "resultcode", "returncode", "ret", "message", "msg", "retmsg", "detail", "title", "result"}
	refusalNames = []string{"fault", "exception", "reason", "reasons", "failure", "failed", "fail", "denied"}
	successWords = []string{"0", "00000", "200", "201", "ok", "success", "succeeded", "successful", "true", "null", "none", "done"}
)

// saysDone reports whether a text for people says that something was done: "Token refreshed
// successfully". One that also has a word of refusal does not.
func saysDone(text string) bool {
	done, denied := wordsOf(text)
	return done && !denied
}

// wordsOf reports whether a text has words that say that something was done, and whether it
// has one of refusal.
func wordsOf(text string) (done, denied bool) {
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return (r < 'a' || r > 'z') && r != '\'' && r < 0x80 }) {
		has := func(prefix string) bool { return strings.HasPrefix(word, prefix) }
		if slices.Contains(denyingWords, word) || strings.HasSuffix(word, "n't") || slices.ContainsFunc(denyingPrefixes, has) {
			denied = true
		}
		done = done || slices.Contains(successWords, word) || slices.ContainsFunc(doneWords, has)
	}
	return done, denied
}

var (
	doneWords       = []string{"success", "refreshed", "renewed", "issued", "generated", "created", "updated", "granted", "completed", "logged"}
	denyingWords    = []string{"not", "no", "never", "cannot", "must", "please", "already", "before", "again", "out", "required", "bad", "wrong", "without", "unable"}
	denyingPrefixes = []string{"fail", "unsuccess", "invalid", "expir", "error", "den", "missing", "revok", "reject", "reus", "unauth", "disabl", "block", "forbid", "unknown"}
)

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
