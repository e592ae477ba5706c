package oauth

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"slices"

	"github.com/evertoken/evertoken/oauth/internal/login"
	"github.com/evertoken/evertoken/oauth/internal/metadata"
	"github.com/evertoken/evertoken/oauth/internal/wire"
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
	case !metadata.SameIssuer(query.Get("iss"), c.cfg.Issuer) && metadata.TenantOf(c.cfg.IssuerTemplate, query.Get("iss")) == "":
		return wire.Wrong("Issuer", "is %q, and the answer comes from another issuer", c.cfg.Issuer)
	}
	return nil
}

var errMustPush = errors.New("the server wants authorization requests pushed (RFC 9126)")
