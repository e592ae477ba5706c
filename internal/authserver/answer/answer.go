// Package answer holds responses of the authorization server that have not been
// written yet. Buffering all of them lets a fault take effect after the work is
// done.
package answer

import (
	"encoding/json"
	"maps"
	"net/http"
)

// An Answer is a response that has not been written yet.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	Fields map[string]any // a JSON object; encoded into Body last

	// Access names the member with the access token, where that is neither access_token nor
	// accessToken.
	Access string

	Committed bool // a refresh was carried out
	Rotated   bool // it spent the refresh token
	Refused   bool // the refresh token was called invalid
	Reused    bool // because it was spent before
}

// An Instead replaces a refusal by another. Nil replaces none.
type Instead func(*Answer) *Answer

// Of returns what takes a's place.
func (i Instead) Of(a *Answer) *Answer {
	if i == nil {
		return a
	}
	return i(a)
}

// JSON returns an object that must not be stored (RFC 6749 section 5.1).
func JSON(status int, fields map[string]any) *Answer {
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	return &Answer{Status: status, Header: h, Fields: fields}
}

// Error returns an error document (RFC 6749 section 5.2).
func Error(status int, code, description string) *Answer {
	return JSON(status, map[string]any{"error": code, "error_description": description})
}

// BadRequest is Error with status 400.
func BadRequest(code, description string) *Answer {
	return Error(http.StatusBadRequest, code, description)
}

// Repeated refuses a request with a parameter that was sent twice.
func Repeated() *Answer {
	return BadRequest("invalid_request", "a parameter was sent more than once")
}

// InvalidGrant says that a refresh token, code or password is not valid. The
// description tells a person which; no client should read it.
func InvalidGrant(description string) *Answer {
	a := BadRequest("invalid_grant", description)
	a.Refused = true
	return a
}

// InvalidClient is a refusal for which RFC 6749 section 5.2 wants a challenge.
func InvalidClient() *Answer {
	a := Error(http.StatusUnauthorized, "invalid_client", "the client is unknown or did not authenticate as it is registered")
	a.Header.Set("WWW-Authenticate", `Basic realm="oauthtest"`)
	return a
}

// InvalidTarget refuses resource indicators (RFC 8707 section 2).
func InvalidTarget(description string) *Answer { return BadRequest("invalid_target", description) }

// MalformedTarget refuses resource indicators by their form.
func MalformedTarget() *Answer {
	return InvalidTarget("a resource must be an absolute URI without fragment")
}

// StoreFailed reports a refresh token store that failed. The store's own text is
// not sent.
func StoreFailed() *Answer {
	return Error(http.StatusInternalServerError, "server_error", "the refresh token store failed")
}

// Challenge returns a refusal with WWW-Authenticate, which names the resource's
// metadata (RFC 6750 section 3, RFC 9728 section 5.1). Empty parts are left out.
func Challenge(status int, code, description, scope, metadata string) *Answer {
	fields := map[string]any{}
	value := `Bearer realm="oauthtest"`
	for _, p := range [...]struct{ name, value string }{
		{"error", code}, {"error_description", description}, {"scope", scope},
	} {
		if p.value != "" {
			value += ", " + p.name + `="` + p.value + `"`
			fields[p.name] = p.value
		}
	}
	if metadata != "" {
		value += `, resource_metadata="` + metadata + `"`
	}
	a := JSON(status, fields)
	a.Header.Set("WWW-Authenticate", value)
	return a
}

// Text returns a short plain text, for what is not the protocol's business.
func Text(status int, text string) *Answer {
	h := http.Header{}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	return &Answer{Status: status, Header: h, Body: []byte(text + "\n")}
}

// Empty returns an answer without a body that must not be stored.
func Empty(status int) *Answer {
	return &Answer{Status: status, Header: http.Header{"Cache-Control": {"no-store"}}}
}

// SeeOther sends a browser on with GET. RFC 9700 section 4.12 asks for 303: with
// 307 the password would travel on.
func SeeOther(location string) *Answer {
	return &Answer{Status: http.StatusSeeOther, Header: http.Header{"Location": {location}, "Cache-Control": {"no-store"}}}
}

// String returns a field that is a string, or "".
func (a *Answer) String(name string) string { return String(a.Fields, name) }

// String returns a field that is a string, or "".
func String(fields map[string]any, name string) string {
	value, _ := fields[name].(string)
	return value
}

// Informs reports whether a client that reads the answer knows where it stands.
// Success without an access token, which a script can make, tells it nothing.
func (a *Answer) Informs() bool {
	return a.Status != http.StatusOK || a.String("access_token")+a.String("accessToken")+a.String(a.Access) != ""
}

// Encode turns Fields into Body.
func (a *Answer) Encode() {
	if a.Fields == nil {
		return
	}
	body, err := json.Marshal(a.Fields)
	if err != nil {
		// A script can put anything into Fields.
		*a = *Text(http.StatusInternalServerError, "oauthtest: the answer cannot be encoded")
		return
	}
	a.Body, a.Fields = body, nil
}

// Give copies the answer's header into h.
func (a *Answer) Give(h http.Header) { maps.Copy(h, a.Header) }
