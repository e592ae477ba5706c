package oauthtest

import (
	"encoding/json"
	"maps"
	"net/http"
)

// An answer is a response that has not been written yet. Buffering all of them
// lets a fault take effect after the work is done.
type answer struct {
	status int
	header http.Header
	body   []byte
	fields map[string]any // a JSON object; encoded into body last

	committed bool // a refresh was carried out
	rotated   bool // it spent the refresh token
	refused   bool // the refresh token was called invalid
	reused    bool // because it was spent before
}

// jsonAnswer returns an object that must not be stored (RFC 6749 section 5.1).
func jsonAnswer(status int, fields map[string]any) *answer {
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	return &answer{status: status, header: h, fields: fields}
}

// errorAnswer returns an error document (RFC 6749 section 5.2).
func errorAnswer(status int, code, description string) *answer {
	return jsonAnswer(status, map[string]any{"error": code, "error_description": description})
}

func badRequest(code, description string) *answer {
	return errorAnswer(http.StatusBadRequest, code, description)
}

// textAnswer returns a short plain text, for what is not the protocol's business.
func textAnswer(status int, text string) *answer {
	h := http.Header{}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	return &answer{status: status, header: h, body: []byte(text + "\n")}
}

// informs reports whether a client that reads the answer knows where it stands.
// Success without an access token, which a script can make, tells it nothing.
func (a *answer) informs() bool {
	return a.status != http.StatusOK || text(a.fields, "access_token")+text(a.fields, "accessToken") != ""
}

// encode turns fields into the body.
func (a *answer) encode() {
	if a.fields == nil {
		return
	}
	body, err := json.Marshal(a.fields)
	if err != nil {
		// A script can put anything into fields.
		*a = *textAnswer(http.StatusInternalServerError, "oauthtest: the answer cannot be encoded")
		return
	}
	a.body, a.fields = body, nil
}

// give copies the answer's header into h.
func (a *answer) give(h http.Header) { maps.Copy(h, a.header) }
