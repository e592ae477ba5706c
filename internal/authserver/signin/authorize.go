package signin

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/evertoken/evertoken/internal/authserver/answer"
	"github.com/evertoken/evertoken/internal/authserver/client"
	"github.com/evertoken/evertoken/internal/authserver/form"
	"github.com/evertoken/evertoken/internal/authserver/page"
	"github.com/evertoken/evertoken/internal/authserver/pending"
	"github.com/evertoken/evertoken/internal/authserver/site"
)

// An authRequest is an authorization request whose answer may be sent to its
// redirect URI.
type authRequest struct {
	client   client.Client
	redirect *url.URL
	query    url.Values
	pushed   string // its request_uri (RFC 9126); "" if the browser brought it all
}

// ServeAuthorize is the authorization endpoint (RFC 6749 section 4.1.1, with PKCE
// and RFC 9207). GET asks the person, POST is the person's decision.
func (e *Endpoints) ServeAuthorize(r *http.Request) *answer.Answer {
	req, refusal := e.readAuthRequest(r.URL.Query())
	if refusal != nil {
		return refusal
	}
	if e.RequirePushedAuth && req.pushed == "" {
		return e.sendBack(req, url.Values{"error": {"invalid_request"}, "error_description": {"the request must be pushed"}})
	}
	if code, description := req.problem(e.Auth.WantsPKCE(req.client)); code != "" {
		return e.sendBack(req, url.Values{"error": {code}, "error_description": {description}})
	}
	b := e.Pages.BrowserOf(r)
	if r.Method == http.MethodPost {
		return e.decideAuthorize(r, req, b)
	}
	prompt := req.query.Get("prompt")
	if prompt == "none" {
		// This server always asks, so there is no answer without a person.
		code := "consent_required"
		if b.User == "" {
			code = "login_required"
		}
		return e.sendBack(req, url.Values{"error": {code}})
	}
	if b.User == "" || form.HasScope(prompt, "login") {
		e.Pushed.PromptFulfilled(req.pushed)
		return e.Pages.AskLogin(b, e.authorizePage(req))
	}
	return e.askConsent(req, b)
}

// readAuthRequest finds client and redirect URI. Without both being right nothing
// is sent anywhere: the person reads what is wrong (RFC 6749 section 4.1.2.1).
func (e *Endpoints) readAuthRequest(query url.Values) (authRequest, *answer.Answer) {
	if query.Has("request_uri") {
		return e.readPushedRequest(query)
	}
	c, known := e.Clients.Find(query.Get("client_id"))
	if !known {
		return authRequest{}, e.Pages.Message(http.StatusBadRequest, "Unknown client", "The program that sent you here is not registered.")
	}
	raw := query.Get("redirect_uri")
	redirect, err := url.Parse(raw)
	if err != nil || !c.AllowsRedirect(raw, redirect, e.ExactRedirectPort) {
		return authRequest{}, e.Pages.Message(http.StatusBadRequest, "Wrong address", "The program that sent you here wants to be answered at an address that is not registered.")
	}
	return authRequest{client: c, redirect: redirect, query: query}, nil
}

// problem returns the error code for what else is wrong with the request.
func (req authRequest) problem(pkce bool) (code, description string) {
	q := req.query
	switch {
	case form.Repeats(q):
		return "invalid_request", "a parameter was sent more than once"
	case q.Get("response_type") != "code":
		return "unsupported_response_type", "the response type must be code"
	case pkce && (q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == ""):
		return "invalid_request", "PKCE with S256 is required"
	case !form.AreResources(q["resource"]):
		return "invalid_target", "a resource must be an absolute URI without fragment"
	}
	return "", ""
}

// authorizePage is the request's own page, without the wish for a login that the
// login has fulfilled.
func (e *Endpoints) authorizePage(req authRequest) string {
	q := url.Values{}
	if req.pushed != "" {
		q = url.Values{"client_id": {req.client.ID}, "request_uri": {req.pushed}}
		return e.Pages.Path(site.Authorize) + "?" + q.Encode()
	}
	for name, values := range req.query {
		if name != "prompt" || values[0] == promptConsent {
			q[name] = values
		}
	}
	return e.Pages.Path(site.Authorize) + "?" + q.Encode()
}

func (e *Endpoints) askConsent(req authRequest, b page.Browser) *answer.Answer {
	return e.Pages.Show("consent", page.Data{
		Title: "Allow access?", Action: e.authorizePage(req), CSRF: e.Pages.CSRF(b), Cookie: b.Cookie,
		User: b.User, Client: req.client.ID, Scopes: strings.Fields(e.scopeOf(req.query)), Redirect: req.redirect,
	})
}

// decideAuthorize takes the consent form.
func (e *Endpoints) decideAuthorize(r *http.Request, req authRequest, b page.Browser) *answer.Answer {
	if !e.Pages.SameForm(r, b) || b.User == "" {
		return e.Pages.StrangeForm()
	}
	if r.PostForm.Get("decision") != "allow" {
		if e.DeniedOnPage {
			return e.Pages.Message(http.StatusBadRequest, "Bad request", "invalid_request")
		}
		return e.sendBack(req, url.Values{"error": {"access_denied"}, "error_description": {"the person said no"}})
	}
	g := e.Sessions.NewGrant(b.User, req.client.ID, e.offlineScope(req.query))
	g.Nonce, g.Resources = req.query.Get("nonce"), req.query["resource"]
	code := e.Codes.Give(pending.Code{
		Grant: g, Redirect: req.query.Get("redirect_uri"), Challenge: req.query.Get("code_challenge"), JKT: req.query.Get("dpop_jkt"),
	})
	return e.sendBack(req, url.Values{"code": {code}})
}

// sendBack answers the client through the browser, with state and iss (RFC 9207).
func (e *Endpoints) sendBack(req authRequest, params url.Values) *answer.Answer {
	if req.pushed != "" && !e.Pushed.Use(req.pushed) {
		return e.usedRequest()
	}
	if state := req.query.Get("state"); state != "" && !(e.ErrorsWithoutState && params.Has("error")) {
		params.Set("state", state)
	}
	params.Set("iss", e.Site.Issuer())
	u := *req.redirect
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += params.Encode()
	return answer.SeeOther(u.String())
}
