package wire

import (
	"cmp"
	"net/http"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth/challenge"
)

// Failure says what an answer means that does not hold what was asked for.
func (a *Answer) Failure(fields member.Fields) *Failure {
	code := ErrorCode(fields, a.Settings.EndCodes)
	m := MeaningOf(a.Op, code)
	if a.Op == OpRefresh && IsListed(a.Settings.EndCodes, code) {
		m = Meaning{Kind: ErrLoginRequired, Verdict: VerdictEnded, Listed: true}
	}
	return a.FailureBy(fields, code, m)
}

// FailureBy is Failure for an error code and what it means.
func (a *Answer) FailureBy(fields member.Fields, code string, m Meaning) *Failure {
	code = bounded(code)
	fail := &Failure{Op: a.Op, Kind: ErrTransient, Status: a.Status, Sent: true, Page: a.Page(), RetryAt: a.RetryAt(fields)}
	switch {
	case a.Status >= 300 && a.Status <= 399:
		fail.Kind, fail.Err = ErrMisconfigured, ErrRedirect
		fail.Hint = "configure the address that the server redirects to"
	case !IsSuccess(a.Status) && !IsRefusal(a.Status):
		a.excuse(fail, code, m)
	default:
		fail.Code = code
		a.weigh(fail, fields, m)
	}
	return fail
}

// maxCode is how long a code may be that goes into errors, events and records.
const maxCode = 200

// bounded returns a code that is not too long: as it is, or as CodeWord spells it, or none.
func bounded(code string) string {
	for _, c := range []string{code, CodeWord(code)} {
		if len(c) <= maxCode {
			return c
		}
	}
	return ""
}

// excuse judges 408, 425, 429, 5xx and whatever is not an HTTP status at all: the moment
// is bad. Of the body only a code we know is kept, since "error" fields of a 500 are
// often not OAuth's; and only one that the provider lists decides, whatever it means.
func (a *Answer) excuse(fail *Failure, code string, m Meaning) {
	if m.Kind == nil {
		return
	}
	fail.Code = code
	if m.Listed {
		fail.Kind, fail.Hint, fail.Field = m.Kind, m.Hint, m.Field
	}
}

// weigh judges by an answer's words, in the order in which they count: the closed
// list of codes, which only a server that contradicts itself takes back; trouble;
// the client; and, of a success, that something is missing.
func (a *Answer) weigh(fail *Failure, fields member.Fields, m Meaning) {
	switch {
	case tellsTrouble(fields, fail.Code, m.Verdict == VerdictEnded), speaksOfTrouble(a.text()), hasNumber(fields, entraTrouble):
		fail.Kind, fail.Err = ErrTransient, ErrTrouble
	case m.Verdict == VerdictClient, m.Verdict != VerdictEnded && a.refusesClient(fields):
		a.refuseClient(fail, m)
	case m.Kind != nil:
		fail.Kind, fail.Hint, fail.Field = m.Kind, m.Hint, m.Field
	case IsSuccess(a.Status):
		fail.Err = ErrNotUsable
	}
}

// refuseClient makes fail the refusal of the client.
func (a *Answer) refuseClient(fail *Failure, m Meaning) {
	fail.Kind = ErrMisconfigured
	if m.Verdict != VerdictClient {
		m.Hint, fail.Err = HintClient, ErrClientRefused
	}
	if fail.Hint = m.Hint; m.Hint == HintClient {
		fail.Field = "ClientAuth"
		fail.Hint = cmp.Or(a.Settings.ClientHint, HintClient)
	}
	if m.Hint == HintClient && a.secretEnded() {
		fail.Err, fail.Hint = ErrClientSecretExpired, "update the registration (Registration.Update), or register again"
	}
}

// refusesClient reports whether a refusal without a code of ours is about the client:
// a challenge to authenticate as it did (RFC 6749 section 5.2), or a number by which
// Microsoft's servers say so.
func (a *Answer) refusesClient(fields member.Fields) bool {
	if a.Status == http.StatusUnauthorized && a.Settings.Basic && challenge.Params(a.Header, "Basic") != nil {
		return true
	}
	return hasNumber(fields, entraClientErrors)
}

// InquiryFailure is Failure for requests that only look: whatever the server
// says, it decides nothing about the session.
func (a *Answer) InquiryFailure(fields member.Fields) *Failure {
	fail := a.Failure(fields)
	if fail.Kind == ErrLoginRequired {
		fail.Kind = ErrTransient
	}
	return fail
}

// RevocationFailure makes fail, the answer to a request to revoke a token, one against
// which neither waiting nor a login helps, if the server has looked at the request and does
// not do what it asks for, by any status and as a page too: it has no such endpoint, or not
// for this client.
func (a *Answer) RevocationFailure(fail *Failure) *Failure {
	passes := !fail.RetryAt.IsZero() || fail.Verdict() == VerdictTrouble && !fail.Page
	switch {
	case a.Status == http.StatusNotImplemented, IsRefusal(a.Status) && !passes:
		fail.Kind = ErrMisconfigured
		if fail.Err == nil {
			fail.Err = ErrNotRevoked
		}
	case fail.Kind == ErrLoginRequired:
		fail.Kind = ErrTransient // no login helps to revoke
	}
	return fail
}
