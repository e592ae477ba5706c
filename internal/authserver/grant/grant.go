// Package grant serves the token endpoint (RFC 6749 section 3.2), and what is asked
// about tokens: revocation and introspection.
package grant

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"github.com/evertoken/evertoken/internal/authserver/answer"
	"github.com/evertoken/evertoken/internal/authserver/client"
	"github.com/evertoken/evertoken/internal/authserver/form"
	"github.com/evertoken/evertoken/internal/authserver/keys"
	"github.com/evertoken/evertoken/internal/authserver/once"
	"github.com/evertoken/evertoken/internal/authserver/pending"
	"github.com/evertoken/evertoken/internal/authserver/proof"
	"github.com/evertoken/evertoken/internal/authserver/session"
	"github.com/evertoken/evertoken/internal/authserver/user"
)

// A Config says how the token endpoint answers. What the fields do is told where the
// program sets them: see oauthtest.Config and oauthtest.Quirks.
type Config struct {
	DefaultScope               string // of ID tokens in an exchange
	RequireDPoP                bool
	DevicePending              int
	DeviceCodeTwiceEndsSession bool
	UnknownRevocationFails     bool
	DeadRefresh                answer.Instead
	Trusted                    map[string]Issuer // of assertions, by iss
	ClientsElsewhere           map[string]string // the IDs of clients at other servers, by issuer
}

// Endpoints are the endpoints. All fields but Config are required.
type Endpoints struct {
	Config
	Issuer   string
	Auth     *client.Authenticator
	Keys     *keys.Ring
	Proofs   *proof.Checker
	Users    *user.Directory
	Sessions *session.Sessions
	Codes    *pending.Codes
	Devices  *pending.Devices
	TokenURL string            // which assertions may be for, too
	OnReplay func(hash string) // hears of identity assertions that come a second time

	seen once.Set
}

// A request is a token request whose client is known.
type request struct {
	ctx    context.Context // does not end when the client leaves
	form   url.Values
	client client.Client
	shown  keys.Confirmation // what the new access token is bound to
}

// ServeToken is the token endpoint for clients with and without DPoP (RFC 9449
// section 5).
func (e *Endpoints) ServeToken(r *http.Request) *answer.Answer {
	if r.Header.Get("DPoP") == "" {
		if e.RequireDPoP {
			return answer.BadRequest("invalid_dpop_proof", "the DPoP header is missing")
		}
		return e.serveToken(r, "")
	}
	var a *answer.Answer
	if p, code, description := e.Proofs.Check(r, proof.RoleToken); p == nil {
		a = answer.BadRequest(code, description)
	} else {
		a = e.serveToken(r, p.Thumbprint)
	}
	e.Proofs.Tell(a.Header, proof.RoleToken)
	return a
}

// serveToken serves a client that has proved the key with this thumbprint, or none.
func (e *Endpoints) serveToken(r *http.Request, jkt string) *answer.Answer {
	if repeats(r.PostForm) {
		return answer.Repeated()
	}
	c, refusal := e.clientOf(r)
	if refusal != nil {
		e.Sessions.Punish(form.Detached(r), r.PostForm.Get("refresh_token"))
		return refusal
	}
	q := request{ctx: form.Detached(r), form: r.PostForm, client: c, shown: keys.Confirmation{JKT: jkt}}
	if c.CertificateBound { // RFC 8705 section 3
		if q.shown.Certificate = proof.Certificate(r); q.shown.Certificate == "" {
			return answer.BadRequest("invalid_request", "the client's tokens are bound to a certificate, and there is none")
		}
	}
	if !form.AreResources(q.form["resource"]) {
		return answer.MalformedTarget()
	}
	if grantType := q.form.Get("grant_type"); grantType != "" && !c.AllowsGrant(grantType) {
		return answer.BadRequest("unauthorized_client", "the client is not registered for this grant type")
	}
	return e.grant(q)
}

// clientOf returns the client that sent r. In a JWT bearer grant the assertion may say all
// (RFC 7521 section 4.1).
func (e *Endpoints) clientOf(r *http.Request) (client.Client, *answer.Answer) {
	if r.PostForm.Get("grant_type") == client.GrantBearer && client.Anonymous(r) {
		return client.Client{}, nil
	}
	return e.Auth.Authenticate(r)
}

// repeats reports whether a parameter was sent more than once. The audience of a
// token exchange may repeat (RFC 8693 section 2.1).
func repeats(values url.Values) bool {
	if values.Get("grant_type") == client.GrantExchange {
		return form.Repeats(values, "audience")
	}
	return form.Repeats(values)
}

func (e *Endpoints) grant(q request) *answer.Answer {
	switch q.form.Get("grant_type") {
	case client.GrantRefresh:
		return e.byRefreshToken(q)
	case client.GrantCode:
		return e.byCode(q)
	case client.GrantDevice:
		return e.byDevice(q)
	case client.GrantPassword:
		return e.byPassword(q)
	case client.GrantClient:
		return e.byClient(q)
	case client.GrantExchange:
		return e.byExchange(q)
	case client.GrantBearer:
		return e.byBearer(q)
	case "":
		return answer.BadRequest("invalid_request", "grant_type is missing, or the body is not application/x-www-form-urlencoded")
	}
	return answer.BadRequest("unsupported_grant_type", "the grant type is not supported")
}

// byRefreshToken is the refresh_token grant (RFC 6749 section 6).
func (e *Endpoints) byRefreshToken(q request) *answer.Answer {
	raw := q.form.Get("refresh_token")
	if raw == "" {
		return answer.BadRequest("invalid_request", "refresh_token is missing")
	}
	a := e.Sessions.Refresh(q.ctx, session.Refresh{
		Token: raw, Client: q.client.ID, HasSecret: q.client.Secret != "",
		Scope: q.form.Get("scope"), Resources: q.form["resource"], Shown: q.shown,
	})
	if a.Status != http.StatusOK {
		e.Sessions.Punish(q.ctx, raw)
	}
	if a.Refused {
		return e.DeadRefresh.Of(a)
	}
	return a
}

// byCode is the authorization_code grant with PKCE (RFC 6749 section 4.1.3, RFC 7636
// section 4.6).
func (e *Endpoints) byCode(q request) *answer.Answer {
	pkce := e.Auth.WantsPKCE(q.client)
	switch {
	case !pkce && q.form.Has("code_verifier"):
		return answer.InvalidClient()
	case q.form.Get("code") == "" || pkce && q.form.Get("code_verifier") == "":
		return answer.BadRequest("invalid_request", "code and code_verifier are required")
	}
	g, known, good, twice := e.Codes.Redeem(pending.Redemption{
		Code: q.form.Get("code"), Client: q.client.ID, Redirect: q.form.Get("redirect_uri"),
		PKCE: pkce, Verifier: q.form.Get("code_verifier"), JKT: q.shown.JKT,
	})
	if twice != "" {
		// RFC 6749 section 4.1.2: tokens issued on a code that is used twice should be
		// revoked.
		e.Sessions.EndSession(q.ctx, twice)
	}
	switch {
	case !known:
		return answer.InvalidGrant("the code is unknown or expired")
	case !good:
		return answer.InvalidGrant("the code, redirect_uri, code_verifier or DPoP key is not the right one")
	}
	return e.beginFor(q, g)
}

// byDevice is a poll (RFC 8628 section 3.4).
func (e *Endpoints) byDevice(q request) *answer.Answer {
	code := q.form.Get("device_code")
	if code == "" {
		return answer.BadRequest("invalid_request", "device_code is missing")
	}
	g, refusal := e.Devices.Poll(code, q.client.ID)
	if refusal == nil {
		return e.beginFor(q, g)
	}
	if twice := e.Devices.Redeemed(code); twice != "" && e.DeviceCodeTwiceEndsSession {
		e.Sessions.EndSession(q.ctx, twice)
	}
	if e.DevicePending != 0 && refusal.String("error") == "authorization_pending" {
		refusal.Status = e.DevicePending
	}
	return refusal
}

// byPassword is the grant of RFC 6749 section 4.3, for clients of servers that still
// have it.
func (e *Endpoints) byPassword(q request) *answer.Answer {
	name := q.form.Get("username")
	if !e.Users.Is(name, q.form.Get("password")) {
		return answer.InvalidGrant("the name or the password is wrong")
	}
	g := e.Sessions.NewGrant(name, q.client.ID, q.form.Get("scope"))
	g.Resources = q.form["resource"]
	return e.begin(q, g)
}

// byClient is the grant of RFC 6749 section 4.4. It gives no refresh token.
func (e *Endpoints) byClient(q request) *answer.Answer {
	if q.client.Accepts(client.AuthNone) {
		return answer.BadRequest("unauthorized_client", "client_credentials is for clients that authenticate")
	}
	g := e.Sessions.NewGrant("", q.client.ID, q.form.Get("scope"))
	if q.form.Get("scope") == "" {
		g.Scope = "api"
	}
	g.Resources = q.form["resource"]
	return e.begin(q, g)
}

// begin starts a session.
func (e *Endpoints) begin(q request, g session.Grant) *answer.Answer {
	fields, err := e.Sessions.Begin(q.ctx, g, q.shown)
	if err != nil {
		return answer.StoreFailed()
	}
	return answer.JSON(http.StatusOK, fields)
}

// beginFor is begin for a token request that may name resources of its own: the
// access token is for these alone, which must be among those authorized (RFC 8707
// section 2.2).
func (e *Endpoints) beginFor(q request, g session.Grant) *answer.Answer {
	resources := q.form["resource"]
	for _, resource := range resources {
		if len(g.Resources) > 0 && !slices.Contains(g.Resources, resource) {
			return answer.InvalidTarget("the resource exceeds what was authorized")
		}
	}
	if len(resources) > 0 {
		g.FirstFor = resources
	}
	return e.begin(q, g)
}
