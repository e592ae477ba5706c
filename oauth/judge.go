package oauth

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/evertoken/evertoken/internal/challenge"
	"github.com/evertoken/evertoken/internal/lenient"
)

var (
	errRedirect = errors.New("the server answered with a redirect, which is never followed")
	errTrouble  = errors.New("the server speaks of trouble of its own")
)

// judge decides what an answer means: exactly one of pair and error is non-nil.
// Only a closed list of codes means that a login is required.
func judge(a answer) (*TokenPair, *Error) {
	fields := a.fields()
	if isSuccess(a.status) {
		if pair := a.pair(fields); pair != nil {
			return pair, nil
		}
	}
	fail := a.failure(fields)
	a.miss(fail)
	return nil, fail
}

// failure says what an answer means that does not hold what was asked for.
func (a answer) failure(fields map[string]json.RawMessage) *Error {
	code := errorCode(fields, a.by().endCodes)
	m := meaningOf(a.op, code)
	if a.op == opRefresh && isListed(a.by().endCodes, code) {
		m = meaning{kind: ErrLoginRequired, verdict: VerdictEnded, listed: true}
	}
	return a.failureBy(fields, code, m)
}

// failureBy is failure for an error code and what it means.
func (a answer) failureBy(fields map[string]json.RawMessage, code string, m meaning) *Error {
	fail := &Error{Op: a.op, Kind: ErrTransient, Status: a.status, Sent: true, Page: a.page(), RetryAt: a.retryAt(fields)}
	switch {
	case a.status >= 300 && a.status <= 399:
		fail.Kind, fail.Err = ErrMisconfigured, errRedirect
		fail.Hint = "configure the address that the server redirects to"
	case !isSuccess(a.status) && !isRefusal(a.status):
		a.excuse(fail, code, m)
	default:
		fail.Code = code
		a.weigh(fail, fields, m)
	}
	return fail
}

// excuse judges 408, 425, 429, 5xx and whatever is no HTTP status at all: the moment
// is bad. Of the body only a code we know is kept, since "error" fields of a 500 are
// often not OAuth's; and only one that the provider lists decides.
func (a answer) excuse(fail *Error, code string, m meaning) {
	if m.kind == nil {
		return
	}
	fail.Code = code
	if m.verdict == VerdictEnded && m.listed {
		fail.Kind = m.kind
	}
}

// weigh judges by an answer's words, in the order in which they count: the closed
// list of codes, which only a server that contradicts itself takes back; trouble;
// the client; and, of a success, that something is missing.
func (a answer) weigh(fail *Error, fields map[string]json.RawMessage, m meaning) {
	switch {
	case tellsTrouble(fields, m.verdict == VerdictEnded), speaksOfTrouble(a.text()), hasNumber(fields, entraTrouble):
		fail.Kind, fail.Err = ErrTransient, errTrouble
	case m.verdict == VerdictClient, m.verdict != VerdictEnded && a.refusesClient(fields):
		a.refuseClient(fail, m)
	case m.kind != nil:
		fail.Kind, fail.Hint = m.kind, m.hint
	case isSuccess(a.status):
		fail.Err = errNotUsable
	}
}

// refuseClient makes fail the refusal of the client.
func (a answer) refuseClient(fail *Error, m meaning) {
	fail.Kind = ErrMisconfigured
	if m.verdict != VerdictClient {
		m.hint, fail.Err = hintClient, ErrClientRefused
	}
	if fail.Hint = m.hint; m.hint == hintClient {
		fail.Hint = a.by().auth.hint(hintClient)
	}
	if m.hint == hintClient && a.secretEnded() {
		fail.Err, fail.Hint = ErrClientSecretExpired, "update the registration (Registration.Update), or register again"
	}
}

// refusesClient reports whether a refusal without a code of ours is about the client:
// a challenge to authenticate as it did (RFC 6749 section 5.2), or a number by which
// Microsoft's servers say so.
func (a answer) refusesClient(fields map[string]json.RawMessage) bool {
	if auth := a.by().auth; a.status == http.StatusUnauthorized && (auth == AuthBasic || auth == AuthBasicRaw) {
		if challenge.Params(a.header, "Basic") != nil {
			return true
		}
	}
	return hasNumber(fields, entraClientErrors)
}

// hasNumber reports whether an answer of Microsoft's servers has one of the AADSTS
// numbers.
func hasNumber(fields map[string]json.RawMessage, list []int) bool {
	var numbers []int
	if raw, found := fields["error_codes"]; found && json.Unmarshal(raw, &numbers) != nil {
		return false
	}
	return slices.ContainsFunc(numbers, func(n int) bool { return slices.Contains(list, n) })
}

// entraClientErrors are the AADSTS numbers about a client: not found in the tenant,
// wrong, expired or missing secret, wrong assertion, turned off. Source:
// learn.microsoft.com/entra/identity-platform/reference-error-codes.
var entraClientErrors = []int{700016, 7000215, 7000222, 7000218, 700024, 700027, 7000112, 7000114}

// entraTrouble are the AADSTS numbers about a bad moment: a service behind does not
// answer, or the client asks too often, which is said as invalid_grant.
var entraTrouble = []int{50196, 90006, 90012, 90024, 90033, 90036, 90055}

// miss says what a success lacks that should hold tokens, if that is all that is known
// of it. An answer that ended before it said anything is nobody's word: its outcome is
// unknown.
func (a answer) miss(fail *Error) {
	if fail.Err != errNotUsable || fail.Page {
		return
	}
	o := a.object()
	switch {
	case a.cut(o):
		return
	case holdsTokens(o.Members), !o.Closed && mentionsToken(a.body):
		fail.Kind, fail.Err = ErrMisconfigured, &membersError{ErrUnreadAnswer, memberNames(o.Members)}
		fail.Hint = "name the place of the tokens: Config.TokenPath, or the names in a Dialect"
		if o.Members == nil {
			fail.Hint = "what the server sends is not JSON; whoever runs it has to mend that"
		}
		return
	case a.op != opRefresh && a.op != opDevice: // which is asked for until its code ends
		fail.Kind = ErrMisconfigured // nothing passes by itself here, and no session is at stake
	}
	fail.Err = &membersError{ErrNoToken, memberNames(o.Members)}
}

// cut reports whether the answer ended before it was complete. o is what could be
// read of it.
func (a answer) cut(o lenient.Object) bool {
	text := bytes.TrimSpace(a.body)
	switch {
	case o.Closed:
		// An object without tokens can have been followed by one with them.
		return !a.whole && !holdsTokens(o.Members)
	case !a.whole, len(text) == 0:
		return true
	}
	// What begins like JSON and ends like it is whole, though nobody can read it.
	begins := o.Members != nil || text[0] == '{' || text[0] == '['
	return begins && strings.IndexByte("}])>;", text[len(text)-1]) < 0
}

// mentionsToken reports whether there is an access token in an answer that nobody can
// read.
func mentionsToken(body []byte) bool {
	return strings.Contains(lettersOf(string(body)), "accesstoken")
}

// A membersError is a reason with the names of an answer's members, and no values.
type membersError struct {
	reason error
	names  []string
}

func (e *membersError) Error() string {
	if len(e.names) == 0 {
		return e.reason.Error()
	}
	return e.reason.Error() + " (its members: " + strings.Join(e.names, ", ") + ")"
}

func (e *membersError) Unwrap() error { return e.reason }

var errNotUsable = errors.New("the answer does not hold what was asked for")

// errorCode finds the error code of an answer: the string of RFC 6749 section
// 5.2, or the "reason" (else the "code") of an error object. Where that decides nothing,
// it is a word about the client, which ends no session, or one that can only mean this
// refresh token, wherever the answer has its codes.
func errorCode(fields map[string]json.RawMessage, endCodes []string) string {
	code := plainCode(fields, endCodes)
	if meaningOf(opRefresh, code).kind != nil || isListed(endCodes, code) {
		return code
	}
	for _, object := range errorObjects(fields) {
		for _, name := range codeMembers {
			word := codeWord(textField(object, name))
			if meaningOf(opRefresh, word).verdict == VerdictClient || namesGrant(word) {
				return word
			}
		}
	}
	return code
}

// namesGrant reports whether a word that ends sessions names the grant or the refresh
// token. Others, such as token_expired, a gateway also says of a request that lacks an
// access token.
func namesGrant(word string) bool {
	return word == "invalid_grant" || word == "bad_refresh_token" || word == "invalid_refresh_token"
}

// plainCode returns the error code that stands where RFC 6749 and most others have it.
// It returns "" for anything that does not look like a code, unless it is one that we
// or endCodes know.
func plainCode(fields map[string]json.RawMessage, endCodes []string) string {
	code := textField(fields, "error")
	var object map[string]json.RawMessage
	if code == "" && json.Unmarshal(fields["error"], &object) == nil {
		if code = textField(object, "reason"); code == "" {
			code = textField(object, "code")
		}
	}
	code, _, _ = strings.Cut(code, ":")
	code = strings.TrimSpace(code)
	if plausibleCode(code) || isDecisive(codeWord(code)) || isListed(endCodes, code) {
		return code
	}
	return ""
}

// isListed reports whether a list has a code, in whatever spelling.
func isListed(list []string, code string) bool {
	return code != "" && slices.ContainsFunc(list, func(c string) bool { return c == code || codeWord(c) == codeWord(code) })
}
