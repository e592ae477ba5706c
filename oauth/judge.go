package oauth

import (
	"encoding/json"
	"errors"
)

var (
	errNotUsable = errors.New("the answer does not hold what was asked for")
	errRedirect  = errors.New("the server answered with a redirect, which is never followed")
)

// judge decides what an answer means: exactly one of pair and error is non-nil.
// Only a closed list of codes in a refusal means that a login is required.
func judge(a answer) (*TokenPair, *Error) {
	fields := a.fields()
	if isSuccess(a.status) {
		if pair := a.pair(fields); pair != nil {
			return pair, nil
		}
	}
	return nil, a.failure(fields)
}

// failure says what an answer means that does not hold what was asked for.
func (a answer) failure(fields map[string]json.RawMessage) *Error {
	code := errorCode(fields)
	fail := &Error{Op: a.op, Kind: ErrTransient, Status: a.status, Sent: true, Page: a.page()}

	switch {
	case isSuccess(a.status):
		// Some servers refuse with 200 and an error document. That is an answer
		// (the code goes into the error), yet no verdict: RFC 6749 section 5.2
		// wants a 4xx for one.
		fail.Code, fail.Err = code, errNotUsable
		// At a login no session is at stake, and a server known to answer the
		// device flow like that is widely used: there the code counts.
		if m := meaningOf(a.op, code); a.op != opRefresh && m.kind != nil {
			fail.Kind, fail.Hint, fail.Err = m.kind, m.hint, nil
		}
		return fail

	case a.status >= 300 && a.status <= 399:
		fail.Kind, fail.Err = ErrMisconfigured, errRedirect
		fail.Hint = "configure the address that the server redirects to"
		return fail

	case isRefusal(a.status):
		fail.Code = code
		if m := meaningOf(a.op, code); m.kind != nil {
			fail.Kind, fail.Hint = m.kind, m.hint
		}
		if code == "invalid_client" {
			fail.Hint = a.auth.hint(fail.Hint)
			if a.secretEnded() {
				fail.Err, fail.Hint = ErrClientSecretExpired, "update the registration (Registration.Update), or register again"
			}
		}
		fail.RetryAt = a.retryAt()
		return fail
	}

	// 408, 425, 429, 5xx and whatever is no HTTP status at all: the moment is
	// bad. Of the body only a code we know is kept; "error" fields of a 500 are
	// often not OAuth's.
	if _, known := codes[code]; known {
		fail.Code = code
	}
	fail.RetryAt = a.retryAt()
	return fail
}

// errorCode finds the error code of an answer: the string of RFC 6749 section
// 5.2, or the "reason" (else the "code") of an error object. It returns "" for
// anything that does not look like a code.
func errorCode(fields map[string]json.RawMessage) string {
	code := textField(fields, "error")
	var object map[string]json.RawMessage
	if code == "" && json.Unmarshal(fields["error"], &object) == nil {
		if code = textField(object, "reason"); code == "" {
			code = textField(object, "code")
		}
	}
	if !plausibleCode(code) {
		return ""
	}
	return code
}
