package signin

import (
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/evertoken/evertoken/internal/authserver/answer"
	"github.com/evertoken/evertoken/internal/authserver/audit"
	"github.com/evertoken/evertoken/internal/authserver/form"
)

// ServePushed is RFC 9126. What would be wrong at the authorization
// endpoint is refused here already (section 2.1).
func (e *Endpoints) ServePushed(r *http.Request) *answer.Answer {
	if form.Repeats(r.PostForm) {
		return answer.Repeated()
	}
	c, refusal := e.Auth.Authenticate(r)
	if refusal != nil {
		return refusal
	}
	query := withoutCredentials(r.PostForm)
	switch {
	case query.Has("request_uri"):
		return answer.BadRequest("invalid_request", "a request_uri cannot be pushed")
	case query.Get("client_id") != c.ID:
		return answer.BadRequest("invalid_request", "client_id is missing or not that of the client")
	}
	raw := query.Get("redirect_uri")
	redirect, err := url.Parse(raw)
	if err != nil || !c.AllowsRedirect(raw, redirect, e.ExactRedirectPort) {
		return answer.BadRequest("invalid_request", "the redirect_uri is not registered")
	}
	if code, description := (authRequest{query: query}).problem(e.Auth.WantsPKCE(c)); code != "" {
		return answer.BadRequest(code, description)
	}
	return answer.JSON(http.StatusCreated, map[string]any{
		"request_uri": e.Pushed.Add(c.ID, query), "expires_in": int64(e.Pushed.Lifetime() / time.Second),
	})
}

// withoutCredentials returns what of a form belongs to the request itself.
func withoutCredentials(form url.Values) url.Values {
	query := maps.Clone(form)
	for _, name := range []string{"client_secret", "client_assertion", "client_assertion_type"} {
		delete(query, name)
	}
	return query
}

// readPushedRequest finds the request that an authorization URL refers to (RFC
// 9126 section 4). Nothing is sent back for a reference that leads nowhere, since
// where to is not known.
func (e *Endpoints) readPushedRequest(query url.Values) (authRequest, *answer.Answer) {
	for name := range query {
		if name != "client_id" && name != "request_uri" {
			e.Audit.Note(audit.BesideRequestURI, name)
		}
	}
	requestURI := query.Get("request_uri")
	pushed, used := e.Pushed.Find(requestURI, query.Get("client_id"))
	switch {
	case used:
		e.Audit.Note(audit.RequestURIReused, "request_uri")
		return authRequest{}, e.usedRequest()
	case pushed == nil:
		return authRequest{}, e.Pages.Message(http.StatusBadRequest, "Unknown request", "The program that sent you here asked too long ago, or never. Start again there.")
	}
	plain, refusal := e.readAuthRequest(pushed)
	plain.pushed = requestURI
	return plain, refusal
}

func (e *Endpoints) usedRequest() *answer.Answer {
	return e.Pages.Message(http.StatusBadRequest, "Already answered", "This request was answered before. Start again in the program that sent you here.")
}
