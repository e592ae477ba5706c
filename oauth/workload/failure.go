package workload

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// opToken is what errors name.
const opToken = "workload_token"

var (
	errNoToken = errors.New("the answer holds no token")
	errRefused = errors.New("the platform gives this program no token")
	errCut     = errors.New("the answer of the platform broke off")
	errPage    = errors.New("a web page answered in place of the platform")
	errTrouble = errors.New("the platform has trouble")
)

// misconfigured returns the error for a mistake in a job or in settings.
func misconfigured(err error, hint string) *oauth.Error {
	return &oauth.Error{Op: opToken, Kind: oauth.ErrMisconfigured, Err: err, Hint: hint}
}

// passing returns the error for what passes by itself.
func passing(err error) *oauth.Error {
	return &oauth.Error{Op: opToken, Kind: oauth.ErrTransient, Err: err}
}

// unanswered returns the error for a request to a platform without an answer. It is not Sent:
// that would be about a refresh token, whose fate is then unknown, and none was on its way.
func unanswered(fail *wire.Failure) *oauth.Error {
	return &oauth.Error{Op: opToken, Kind: fail.Kind, Err: fail.Err, Hint: fail.Hint}
}

// judge returns the token in an answer of a platform: under the name of a JSON member, or, if
// that is empty, the whole answer. hint says what to do if the platform gives none.
//
// Codes of a refusal are left out. They can be the words by which an authorization server
// ends a session or forgets a client, and the platform is not one.
func judge(a *wire.Answer, name, hint string) (string, error) {
	switch {
	case a.Page():
		return "", inTrouble(a, errPage)
	case wire.IsSuccess(a.Status):
		return tokenIn(a, name)
	case a.Status >= 300 && a.Status <= 399:
		fail := misconfigured(wire.ErrRedirect, hint)
		fail.Status = a.Status
		return "", fail
	case wire.IsRefusal(a.Status) && a.RetryAt(nil).IsZero():
		fail := misconfigured(errRefused, hint)
		fail.Status = a.Status
		return "", fail
	}
	return "", inTrouble(a, errTrouble)
}

// inTrouble returns the error for an answer that another one may follow soon.
func inTrouble(a *wire.Answer, err error) *oauth.Error {
	fail := passing(err)
	fail.Status, fail.RetryAt = a.Status, a.RetryAt(nil)
	return fail
}

// tokenIn returns the token in a success.
func tokenIn(a *wire.Answer, name string) (string, error) {
	var token string
	if name == "" {
		token = strings.TrimSpace(string(a.Body))
	} else {
		token = a.Fields().Text(name)
	}
	switch {
	case wire.IsJWT(token):
		return token, nil
	case !a.Whole:
		return "", inTrouble(a, errCut)
	}
	fail := misconfigured(errNoToken, "check the address, and under which name the platform answers with the token")
	fail.Status = a.Status
	return "", fail
}

// sender returns what sends requests, by hc or, if that is nil, on a connection of their own.
func sender(hc *http.Client) *wire.Sender { return wire.NewSender(hc, 0, time.Now) }
