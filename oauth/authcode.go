package oauth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"time"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth/internal/lifetime"
	"github.com/evertoken/evertoken/oauth/internal/login"
	"github.com/evertoken/evertoken/oauth/internal/metadata"
	"github.com/evertoken/evertoken/oauth/internal/wire"
	"golang.org/x/oauth2"
)

// AuthCodeURL begins a login for a program that has a callback of its own at
// Config.RedirectURL (RFC 6749 section 4.1). Programs on a person's machine want
// [Client.Authenticate] instead.
//
// Each call makes a new state and a new PKCE challenge (S256, RFC 7636), which
// is sent whatever the server's metadata says of it, unless Config.DisablePKCE. Config.AuthParams are added
// but replace nothing that the flow needs, and so is what Config.Preset.Offline
// has for a refresh token. No request is sent; a mistake in
// the configuration is an [*Error] that matches [ErrMisconfigured], and so is
// Config.RequirePushedAuth, for which there is [Client.PushAuthCode]. Safe for
// concurrent use.
func (c *Client) AuthCodeURL() (*LoginRequest, error) {
	if c.cfg.RedirectURL == "" {
		return nil, misconfigured(opAuthorize, wire.Wrong("RedirectURL", "is empty"))
	}
	if c.cfg.RequirePushedAuth {
		fail := misconfigured(opAuthorize, errMustPush)
		fail.Hint = "use PushAuthCode"
		return nil, fail
	}
	return c.loginRequest(c.cfg.RedirectURL, c.cfg.Resources)
}

// loginRequest makes a login that returns to redirectURL.
func (c *Client) loginRequest(redirectURL string, resources []string) (*LoginRequest, error) {
	if err := c.ready(opAuthorize, "AuthURL", c.cfg.AuthURL); err != nil {
		return nil, err
	}
	if c.cfg.RequireIss && c.cfg.Issuer == "" {
		return nil, misconfigured(opAuthorize, wire.Wrong("RequireIss", "needs Config.Issuer"))
	}
	u, err := url.Parse(c.cfg.AuthURL)
	if err != nil {
		return nil, misconfigured(opAuthorize, wire.Wrong("AuthURL", "is not a URL"))
	}
	if err := c.checkPKCE(); err != nil {
		return nil, misconfigured(opAuthorize, err)
	}
	req := &LoginRequest{State: rand.Text(), RedirectURL: redirectURL, Resources: slices.Clone(resources), DPoPKey: c.loginKey()}

	query := u.Query() // RFC 6749 section 3.1: a query in the endpoint is kept
	for name, values := range c.cfg.AuthParams {
		query[name] = values
	}
	c.addOffline(query)
	query.Set("response_type", "code")
	query.Set("client_id", c.cfg.ClientID)
	query.Set("redirect_uri", redirectURL)
	query.Set("state", req.State)
	c.addChallenge(query, req)
	if !req.DPoPKey.IsZero() { // RFC 9449 section 10: the code is bound as well
		query.Set("dpop_jkt", req.DPoPKey.Thumbprint())
	}
	if scopes := c.loginScopes(); len(scopes) > 0 {
		query.Set("scope", c.joinScopes(scopes))
	}
	if hasScope(query["scope"], "openid") {
		req.Nonce = rand.Text()
		query.Set("nonce", req.Nonce)
	}
	if len(resources) > 0 {
		query["resource"] = resources
	}
	u.RawQuery = query.Encode()
	req.URL = u.String()
	return req, nil
}

// Exchange ends a login that [Client.AuthCodeURL] began: query is that of the
// callback's URL. It checks state and iss (RFC 9207), and redeems the code with
// the verifier (RFC 6749 section 4.1.3, RFC 7636 section 4.5). An ID token in the
// answer is checked (OpenID Connect Core section 3.1.3.7), its signature only with
// Config.VerifyIDToken; a login whose ID token fails is an error that matches
// [ErrIDToken].
//
// It sends at most one request and never repeats it: a code redeemed twice makes
// servers revoke what the first one gave. So call it once per LoginRequest, and
// begin a new login after any error.
//
// Errors are of type [*Error]. What the callback says against the login has the
// Op "authorize" ([ErrAccessDenied] when the person refused), what the token
// endpoint says has "exchange". A state that is not the request's matches
// [ErrLoginRequired]: the answer belongs to another login. Safe for concurrent
// use.
func (c *Client) Exchange(ctx context.Context, req *LoginRequest, query url.Values) (*TokenPair, error) {
	if err := c.ready(opExchange, "TokenURL", c.cfg.TokenURL); err != nil {
		return nil, err
	}
	if req == nil || req.State == "" || req.Verifier == "" && !c.cfg.DisablePKCE {
		return nil, misconfigured(opExchange, errors.New("the LoginRequest is not one that AuthCodeURL made"))
	}
	if err := c.checkPKCE(); err != nil {
		return nil, misconfigured(opExchange, err)
	}
	code, fail := c.judgeRedirect(req, query)
	if fail != nil {
		return nil, fail
	}
	if len(ResourceFrom(ctx)) == 0 {
		// What was authorized, though Config may have changed since, or another ctx
		// have named it (RFC 8707 section 2.2).
		ctx = WithResource(ctx, req.Resources...)
	}
	key := req.DPoPKey
	if key.IsZero() {
		key = c.loginKey() // the login began before Config.DPoP was turned on
	}
	form := url.Values{
		"grant_type":   {"authorization_code"},
		"code":         {code},
		"redirect_uri": {req.RedirectURL},
	}
	if req.Verifier != "" {
		form.Set("code_verifier", req.Verifier)
	}
	pair, err := c.grantWith(ctx, opExchange, form, key)
	if err != nil {
		return nil, c.suspectPKCE(err, req)
	}
	return c.checkLogin(ctx, opExchange, pair, req.Nonce)
}

var (
	errNoIss     = errors.New("the answer does not name its issuer (iss, RFC 9207)")
	errMalformed = errors.New("the answer has neither a code nor an error")
	errRepeated  = errors.New("the answer repeats a parameter")
)

// judgeRedirect decides what the callback's query means: exactly one of code and
// error is returned, and a code only with this request's state and, as far as it
// can be known, from this client's issuer.
func (c *Client) judgeRedirect(req *LoginRequest, query url.Values) (string, *Error) {
	fail := &Error{Op: opAuthorize, Kind: ErrLoginRequired}
	for _, name := range []string{"state", "code", "error", "iss"} {
		if len(query[name]) > 1 { // RFC 6749 section 3.1
			fail.Err = errRepeated
			return "", fail
		}
	}
	if !req.answeredBy(query) {
		fail.Err = login.ErrState
		return "", fail
	}
	if refusal := query.Get("error"); refusal != "" {
		fail.Kind = ErrTransient
		if wire.PlausibleCode(refusal) {
			fail.Code = refusal
		}
		if m := wire.MeaningOf(opAuthorize, fail.Code); m.Kind != nil {
			fail.Kind, fail.Hint, fail.Field = m.Kind, m.Hint, m.Field
		}
	}
	// The issuer is checked on refusals too: RFC 9207 section 2.4 forbids to
	// assume that an error came from the server that was asked.
	if err := c.checkIss(query); err != nil {
		refused := misconfigured(opAuthorize, err)
		refused.Code, refused.Hint = fail.Code, "check that the answer comes from this server"
		if refused.Field != "" {
			refused.Hint = "check Config." + refused.Field
		}
		return "", refused
	}
	code := query.Get("code")
	switch {
	case query.Get("error") != "":
		return "", fail
	case code == "":
		fail.Err = errMalformed
		return "", fail
	}
	return code, nil
}

// checkIss compares iss as a string (RFC 9207 section 2.4), or with the pattern of a
// server of many tenants. The value received
// is not repeated in the error: it may come from an attacker.
func (c *Client) checkIss(query url.Values) error {
	switch {
	case !query.Has("iss") && c.cfg.RequireIss:
		return errNoIss
	case !query.Has("iss"), c.cfg.Issuer == "":
		return nil
	case !metadata.SameIssuer(query.Get("iss"), c.cfg.Issuer) && metadata.TenantOf(c.cfg.issuerPattern(), query.Get("iss")) == "":
		return wire.Wrong("Issuer", "is %q, and the answer comes from another issuer", c.cfg.Issuer)
	}
	return nil
}

var errMustPush = errors.New("the server wants authorization requests pushed (RFC 9126)")

var errNeedsPKCE = wire.Wrong("DisablePKCE", "is for clients that authenticate: without PKCE, an attacker can redeem a public client's stolen code")

// checkPKCE refuses to leave PKCE out of a public client's login (RFC 9700 section
// 2.1.1).
func (c *Client) checkPKCE() error {
	if c.cfg.DisablePKCE && c.auth.isPublic() {
		return errNeedsPKCE
	}
	return nil
}

// addChallenge makes the verifier of a request, and adds its challenge to the query
// (RFC 7636 sections 4.1 and 4.3), unless that is turned off.
func (c *Client) addChallenge(query url.Values, req *LoginRequest) {
	if c.cfg.DisablePKCE {
		return
	}
	req.Verifier = oauth2.GenerateVerifier()
	query.Set("code_challenge", oauth2.S256ChallengeFromVerifier(req.Verifier))
	query.Set("code_challenge_method", "S256")
}

const hintPKCE = "if nothing is wrong there, the server may refuse PKCE from clients that authenticate: then set Config.DisablePKCE"

// suspectPKCE adds to a refused exchange that the verifier may be why. Servers that
// do not expect one say so in the words for a client that they do not know, or for a
// request with a mistake in it.
func (c *Client) suspectPKCE(err error, req *LoginRequest) error {
	fail, ok := errors.AsType[*Error](err)
	if !ok || req.Verifier == "" || c.auth.isPublic() || errors.Is(fail, ErrClientSecretExpired) {
		return err
	}
	word := wire.CodeWord(fail.Code)
	if word != "invalid_request" && word != "invalid_client" && (word != "" || fail.Verdict() != VerdictClient) {
		return err
	}
	if fail.Hint == "" {
		fail.Hint = "check Config.RedirectURL"
	}
	fail.Field = "DisablePKCE" // the one that a program would not look at by itself
	fail.Hint += "; " + hintPKCE
	return fail
}

// PushAuthCode is [Client.AuthCodeURL] by way of Config.Endpoints.PushedAuth: it hands
// the authorization request to the server itself, with the client's
// authentication, and gets a reference to it for the browser (pushed
// authorization requests, RFC 9126). LoginRequest.URL then holds client_id and
// request_uri and nothing else of the request, so the browser and what it passes
// through can neither read nor change it.
//
// The reference serves once and soon ends: send the browser there before
// LoginRequest.ExpiresAt. The resource indicators are those that ctx carries
// ([WithResource]), or else Config.Resources.
//
// It sends one request. Errors are of type [*Error] with the Op "push", or
// "authorize" for a mistake in the configuration. Safe for concurrent use.
func (c *Client) PushAuthCode(ctx context.Context) (*LoginRequest, error) {
	if c.cfg.RedirectURL == "" {
		return nil, misconfigured(opAuthorize, wire.Wrong("RedirectURL", "is empty"))
	}
	req, err := c.loginRequest(c.cfg.RedirectURL, c.resources(ctx))
	if err != nil {
		return nil, err
	}
	if err := c.push(ctx, req); err != nil {
		return nil, err
	}
	return req, nil
}

// push hands the request in req.URL to the server, and replaces the URL by one
// that refers to it.
func (c *Client) push(ctx context.Context, req *LoginRequest) error {
	if err := c.ready(opPush, "Endpoints.PushedAuth", c.cfg.Endpoints.PushedAuth); err != nil {
		return err
	}
	u, err := url.Parse(req.URL)
	if err != nil {
		return misconfigured(opPush, wire.Wrong("AuthURL", "is not a URL"))
	}
	form := u.Query()
	// RFC 9126 section 2.1 forbids to push a reference to another request.
	form.Del("request_uri")
	a, fail := c.post(ctx, opPush, c.cfg.Endpoints.PushedAuth, form)
	if fail != nil {
		return fail
	}
	requestURI, expiresAt, fail := judgePushed(a)
	if fail != nil {
		return fail
	}
	req.URL, req.ExpiresAt = c.pushedURL(u, requestURI), expiresAt
	return nil
}

// pushedURL returns where the browser goes with a reference: u's address with the
// query that Config.AuthURL has itself (RFC 6749 section 3.1), client_id and
// request_uri (RFC 9126 section 4).
func (c *Client) pushedURL(u *url.URL, requestURI string) string {
	target, query := *u, url.Values{}
	if configured, err := url.Parse(c.cfg.AuthURL); err == nil {
		query = configured.Query()
	}
	query.Set("client_id", c.cfg.ClientID)
	query.Set("request_uri", requestURI)
	target.RawQuery = query.Encode()
	return target.String()
}

// judgePushed reads the answer to a pushed request: a reference with its end, or
// an error. RFC 9126 section 2.2 wants 201; servers also say 200. A server that
// does not tell when the reference ends leaves expiresAt zero.
func judgePushed(a *wire.Answer) (requestURI string, expiresAt time.Time, fail *Error) {
	fields := a.Fields()
	requestURI = fields.Text("request_uri")
	if !wire.IsSuccess(a.Status) || !member.UsableToken(requestURI) {
		return "", time.Time{}, (*Error)(a.Failure(fields))
	}
	if seconds, ok := fields.Seconds("expires_in"); ok && lifetime.Believable(seconds) {
		expiresAt = a.SentAt.Round(0).Add(time.Duration(seconds) * time.Second)
	}
	return requestURI, expiresAt, nil
}

// A LoginRequest is one login on its way through the browser. A web application
// keeps it with the browser's session (it survives JSON), sends the browser to
// URL, and hands it to [Client.Exchange] when the browser comes back. It serves
// once.
//
// It prints redacted under every fmt verb and in slog: a reader of the
// verifier can redeem an intercepted code.
type LoginRequest struct {
	// URL is where to send the browser.
	URL string `json:"url"`
	// State ties the answer to this request (RFC 6749 section 10.12).
	State string `json:"state"`
	// Verifier is the PKCE code verifier (RFC 7636 section 4.1). Empty with
	// Config.DisablePKCE.
	Verifier string `json:"verifier"`
	// RedirectURL is where the browser comes back to.
	RedirectURL string `json:"redirect_url"`
	// Resources are the resource indicators asked for (RFC 8707). Exchange asks for
	// a token for the same ones, unless its ctx carries others.
	Resources []string `json:"resources,omitempty"`
	// ExpiresAt is until when the browser can be sent to URL, by the local clock.
	// Zero: no end is known.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// DPoPKey is what the tokens will be bound to, with Config.DPoP.
	DPoPKey DPoPKey `json:"dpop_key,omitzero"`
	// Nonce ties the ID token to this request (OpenID Connect Core section
	// 3.1.2.1). Empty without the scope openid.
	Nonce string `json:"nonce,omitempty"`
	// Answer is the query that the browser has come back with: the code, or the person's
	// refusal. Nil while it has not, and without AuthenticateKeeping.
	Answer url.Values `json:"answer,omitempty"`
}

// String describes the request without state, verifier and answer.
func (r LoginRequest) String() string {
	return fmt.Sprintf("oauth.LoginRequest{url:%q state:%s verifier:%s}",
		wire.WithoutQuery(r.URL), wire.Presence(r.State), wire.Presence(r.Verifier))
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (r LoginRequest) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, r.String()) }

// LogValue implements slog.LogValuer.
func (r LoginRequest) LogValue() slog.Value { return slog.StringValue(r.String()) }

// answeredBy reports whether the query is an answer to r: it carries r's state,
// or it is an error without any. Some servers leave state out of errors, and an
// error grants nothing.
func (r *LoginRequest) answeredBy(query url.Values) bool {
	state := query.Get("state")
	if !query.Has("state") && query.Get("error") != "" {
		return !query.Has("code")
	}
	return r.State != "" && subtle.ConstantTimeCompare([]byte(state), []byte(r.State)) == 1
}
