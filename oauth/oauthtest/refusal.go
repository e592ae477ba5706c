package oauthtest

import (
	"encoding/json"
	"net/http"

	"github.com/evertoken/evertoken/internal/authserver/answer"
)

// A Refusal is how a server says no: to dead tokens by Quirks, to whatever is sent to
// the token endpoint by the script, see Fault.
type Refusal struct {
	// Name tells it from others in a test, such as "400 invalid_request".
	Name string
	// Status is the HTTP status. Zero leaves the refusal to the server.
	Status int
	// Challenge is the WWW-Authenticate header; empty means none.
	Challenge string
	// ContentType is the body's type. Empty means application/json, or no header for
	// an empty body.
	ContentType string
	// Body may be empty.
	Body string
}

// RefreshRefusals returns the ways in which servers announce a dead refresh
// token, other than 400 invalid_grant, for Quirks.DeadRefresh.
func RefreshRefusals() []Refusal {
	return []Refusal{
		{Name: "401 invalid_grant", Status: 401, Body: `{"error":"invalid_grant"}`},
		{Name: "400 invalid_request", Status: 400, Body: `{"error":"invalid_request","error_description":"the refresh token is invalid"}`},
		{Name: "400 unauthorized_client", Status: 400, Body: `{"error":"unauthorized_client"}`},
		{Name: "400 and nothing", Status: 400},
		{Name: "401 code and message", Status: 401, Body: `{"code":401,"message":"token is expired"}`},
		{Name: "400 invalid_client", Status: 400, Body: `{"error":"invalid_client"}`},
		{Name: "401 invalid_client", Status: 401, Challenge: `Basic realm="x"`, Body: `{"error":"invalid_client"}`},
		{Name: "403 invalid_client", Status: 403, Body: `{"error":"invalid_client"}`},
		{Name: "400 plain text", Status: 400, ContentType: "text/plain", Body: "Bad refresh token\n"},
		{Name: "401 like the API's", Status: 401, Challenge: `Bearer error="invalid_token"`, Body: `{"error":"invalid_token"}`},
		{Name: "500 web page", Status: 500, ContentType: "text/html", Body: "<html><h1>Internal Server Error</h1></html>"},
	}
}

// AccessRefusals returns the ways in which APIs announce a dead access token,
// other than 401 with a good challenge, for Quirks.DeadAccess.
func AccessRefusals() []Refusal {
	return []Refusal{
		{Name: "401 without a challenge", Status: 401},
		{Name: "401 with a malformed challenge", Status: 401, Challenge: `Bearer realm="never closed, error=`},
		{Name: "401 invalid_request", Status: 401, Challenge: `Bearer error="invalid_request"`, Body: `{"error":"invalid_request"}`},
		{Name: "403 access_denied", Status: 403, Body: `{"error":"access_denied"}`},
		{Name: "403 empty object", Status: 403, Body: `{}`},
		{Name: "403 empty web page", Status: 403, ContentType: "text/html"},
		{Name: "403 with a challenge", Status: 403, Challenge: `Bearer error="invalid_token"`},
	}
}

// instead returns what puts the refusal in place of the server's own, or nil if
// that is to stay.
func (r Refusal) instead() answer.Instead {
	if r.Status == 0 {
		return nil
	}
	return func(a *answer.Answer) *answer.Answer {
		// A client that is told otherwise cannot know that the token is dead.
		return &answer.Answer{Status: r.Status, Header: r.header(), Body: []byte(r.Body), Refused: a.Refused && r.saysInvalidGrant()}
	}
}

// Fault returns what makes the token endpoint say no like that, once unless its
// Times are changed, whatever it is asked. The server does nothing else then.
func (r Refusal) Fault() Fault {
	h := r.header()
	if h.Get("Content-Type") == "" {
		h["Content-Type"] = nil
	}
	return Fault{Status: r.Status, Header: h, Body: r.Body}
}

// header returns the refusal's header.
func (r Refusal) header() http.Header {
	h := http.Header{}
	if r.Challenge != "" {
		h.Set("WWW-Authenticate", r.Challenge)
	}
	switch {
	case r.ContentType != "":
		h.Set("Content-Type", r.ContentType)
	case r.Body != "":
		h.Set("Content-Type", "application/json")
	}
	return h
}

// saysInvalidGrant reports whether the refusal has the code of RFC 6749 section
// 5.2 for a dead refresh token.
func (r Refusal) saysInvalidGrant() bool {
	var document struct{ Error string }
	return json.Unmarshal([]byte(r.Body), &document) == nil && document.Error == "invalid_grant"
}
