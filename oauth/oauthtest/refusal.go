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
