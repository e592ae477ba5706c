package oauth

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/dpop"
	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth/internal/login"
	"github.com/evertoken/evertoken/oauth/internal/metadata"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// A Client talks to one authorization server on behalf of one registered client.
// Make one with [NewClient] or [Discover]. It is safe for concurrent use, and it
// prints without its secret.
type Client struct {
	cfg    Config
	auth   ClientAuth // how it authenticates
	sender *wire.Sender
	err    error     // what makes cfg unusable; reported by every call
	meta   *Metadata // what Discover found; nil without discovery, never modified
	steps  int       // how often StepUp has led to this client

	resource *http.Transport // see ResourceTransport; nil without a certificate

	dpop dpop.Memory // nonces, by endpoint, and the server's clock
}

// NewClient returns a client for the endpoints in cfg, which is copied. A
// mistake in cfg is reported by the first call that meets it, as
// [ErrMisconfigured].
func NewClient(cfg Config) *Client {
	cfg = cfg.withDefaults()
	auth := cfg.auth()
	hc, err := presenting(cfg.HTTPClient, auth.cert)
	if mistake := cfg.check(); mistake != nil {
		err = mistake
	}
	c := &Client{cfg: cfg, auth: auth, sender: wire.NewSender(hc, cfg.Timeout, cfg.Now), err: err}
	c.sender.Settings.DefaultLifetime = cfg.DefaultLifetime
	if err == nil {
		c.resource = resourceTransport(cfg.HTTPClient, auth.cert)
	}
	return c
}

// Config returns a copy of the client's configuration, with defaults and
// discovered endpoints filled in.
func (c *Client) Config() Config { return c.cfg.withDefaults() }

// Server names the authorization server by the origin of its token endpoint, for
// callers that have to know which sessions are at the same one.
func (c *Client) Server() string { return wire.Origin(c.cfg.TokenURL) }

// String describes the client without its secret.
func (c *Client) String() string { return "oauth.Client{" + c.cfg.String() + "}" }

// Format implements fmt.Formatter: every verb prints what String returns.
func (c *Client) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, c.String()) }

// misconfigured returns the error for a call that cannot be made at all.
func misconfigured(op string, err error) *Error { return (*Error)(wire.Misconfigured(op, err)) }

// ready returns an error unless a request for op can be sent to the endpoint, which is
// that field of Config.
func (c *Client) ready(op, field, endpoint string) error {
	if c.err != nil {
		return misconfigured(op, c.err)
	}
	if c.auth.anonymous && op != opJWTBearer && op != opTokenExchange {
		return misconfigured(op, wire.Wrong("ClientID", "is empty"))
	}
	if err := wire.CheckField(field, endpoint); err != nil {
		return misconfigured(op, err)
	}
	if err := c.auth.checkEndpoint(field, endpoint); err != nil {
		return misconfigured(op, err)
	}
	return nil
}

// ConfigID identifies what the server can see of the configuration: endpoint,
// client and way of authenticating, with the key or certificate for it (but not a
// certificate that Config.HTTPClient presents), whether tokens are bound to a key,
// the scope if refreshes name one, Config.TokenParams, Config.TokenPath and which words of the
// server end a session. A session that was renewed under one ID may
// be refused under another without being dead. It reveals no secret.
func (c *Client) ConfigID() string {
	seen := append([]string{c.cfg.TokenURL, c.cfg.ClientID}, c.auth.seen()...)
	if c.cfg.DPoP {
		seen = append(seen, "DPoP")
	}
	if scope := c.refreshScope(); scope != "" {
		seen = append(seen, "scope "+scope)
	}
	if len(c.cfg.TokenParams) > 0 {
		seen = append(seen, "params "+c.cfg.TokenParams.Encode())
	}
	if c.cfg.TokenPath != "" {
		seen = append(seen, "tokens "+c.cfg.TokenPath)
	}
	if codes := c.cfg.Preset.EndCodes; len(codes) > 0 {
		seen = append(append(seen, "ends by"), codes...)
	}
	sum := sha256.Sum256([]byte(strings.Join(seen, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// person is how to reach the person who logs in.
func (c *Client) person() login.Person {
	return login.Person{OpenBrowser: c.cfg.OpenBrowser, Output: c.cfg.Output, ReadRedirect: c.cfg.ReadRedirect}
}

// warnWithoutRefreshToken tells the person now what would be a surprise when the
// access token ends.
func (c *Client) warnWithoutRefreshToken(pair *TokenPair, advice OfflineAccess) {
	switch {
	case pair.RefreshToken != "":
	case pair.ExpiresAt.IsZero():
		c.person().Say("The access token does not end, as far as the server says, and there is no refresh token: there is nothing to renew.\n")
	default:
		c.person().Say("The server gave no refresh token: the session ends at %s. To keep it alive, %s.\n", pair.ExpiresAt.Format(time.DateTime), advice.advice())
	}
}

// send sends the request that build makes, within Config.Timeout, and returns what came
// back, or an Error if nothing did.
func (c *Client) send(ctx context.Context, op string, build func(context.Context) (*http.Request, error)) (*wire.Answer, *Error) {
	a, fail := c.sender.Send(ctx, op, build)
	return a, (*Error)(fail)
}

// get is send for one GET with the given Authorization header, which may be empty.
func (c *Client) get(ctx context.Context, op, endpoint, authorization string) (*wire.Answer, *Error) {
	a, fail := c.sender.Get(ctx, op, endpoint, authorization)
	return a, (*Error)(fail)
}

// post sends form to endpoint as one POST with the client's authentication, and
// returns what came back, or an Error if nothing did.
func (c *Client) post(ctx context.Context, op, endpoint string, form url.Values) (*wire.Answer, *Error) {
	a, fail := c.send(ctx, op, func(ctx context.Context) (*http.Request, error) {
		return c.newRequest(ctx, endpoint, form)
	})
	if fail != nil {
		return nil, fail
	}
	c.dpop.Learn(endpoint, a.Header, a.Received)
	return c.authenticated(a), nil
}

// authenticated returns a as the answer to a request with the client's
// authentication.
func (c *Client) authenticated(a *wire.Answer) *wire.Answer {
	a.Settings = wire.Settings{
		DefaultLifetime: c.cfg.DefaultLifetime, EndCodes: c.cfg.Preset.EndCodes, TokenPath: c.cfg.TokenPath,
		Basic: c.auth.byBasic(), ClientHint: c.auth.hint(),
	}
	if c.auth.usesSecret() {
		a.Settings.SecretEnds = c.auth.secretEnds
	}
	return a
}

// newRequest builds the POST.
func (c *Client) newRequest(ctx context.Context, endpoint string, form url.Values) (*http.Request, error) {
	switch c.auth.Method() {
	case authNone, authMTLS, authSelfSignedMTLS:
		if !c.auth.anonymous {
			form.Set("client_id", c.cfg.ClientID)
		}
	case authPrivateKeyJWT:
		now := c.cfg.Now().Add(-c.dpop.Recall(endpoint).Skew)
		if err := c.auth.key.addAssertion(form, c.cfg.ClientID, cmp.Or(c.cfg.Issuer, c.cfg.TokenURL), now); err != nil {
			return nil, err
		}
	case authPost:
		form.Set("client_id", c.cfg.ClientID)
		form.Set("client_secret", c.auth.secret)
	}
	req, err := wire.NewForm(ctx, endpoint, form)
	if err != nil {
		return nil, err
	}
	switch c.auth.Method() {
	case authBasic:
		req.SetBasicAuth(url.QueryEscape(c.cfg.ClientID), url.QueryEscape(c.auth.secret))
	case authBasicRaw:
		req.SetBasicAuth(c.cfg.ClientID, c.auth.secret)
	}
	return req, nil
}

var errNoAccessToken = errors.New("there is no access token")

// present asks for endpoint with t's access token, and with a proof if that is
// bound to a key (RFC 6750 section 2.1, RFC 9449 section 7.1).
func (c *Client) present(ctx context.Context, op, endpoint string, t *TokenPair) (*wire.Answer, *Error) {
	switch {
	case t == nil || !member.UsableToken(t.AccessToken):
		return nil, misconfigured(op, errNoAccessToken)
	case t.Type() == "Bearer":
		return c.get(ctx, op, endpoint, "Bearer "+t.AccessToken)
	case t.Type() != "DPoP":
		return nil, misconfigured(op, fmt.Errorf("a token of type %q cannot be presented", t.Type()))
	case t.DPoPKey.IsZero():
		return nil, misconfigured(op, errors.New("a DPoP token cannot be presented without its key"))
	}
	p := proving{key: t.DPoPKey, access: t.AccessToken, skew: t.Skew}
	return c.sendProven(ctx, op, endpoint, p, func(ctx context.Context) (*http.Request, error) {
		return wire.NewBodiless(ctx, http.MethodGet, endpoint, "DPoP "+t.AccessToken)
	})
}

// explainRejection says in fail what a 401 means where a token was presented: a
// refusal of the proof is not one of the token.
func explainRejection(a *wire.Answer, fail *Error) {
	fail.Kind, fail.Hint = ErrTransient, "the access token was rejected; renew it"
	switch code := proofError(a); code {
	case wire.CodeDPoPNonce: // twice: its nonces change too fast for us
		fail.Code, fail.Hint = code, ""
	case wire.CodeDPoPProof:
		fail.Code, fail.Kind = code, ErrMisconfigured
		fail.Hint = "check this machine's clock, and that the address is the one by which the server knows itself"
	}
}

// SameAccount reports whether t and other may be of the same account. It is false
// only if both of them tell whose they are, and tell different ones: by issuer and
// subject of their ID tokens (OpenID Connect Core section 2), or else of access
// tokens that are JWTs (RFC 9068 section 2.2). No signature is checked: it tells
// whether a person has logged in to another account, and nothing about what the
// account may do. Pairs without a readable subject, and nil, may be any account's.
func (t *TokenPair) SameAccount(other *TokenPair) bool {
	if t == nil || other == nil {
		return true
	}
	a, b := subjectOf(t.IDToken), subjectOf(other.IDToken)
	if a == (subject{}) || b == (subject{}) {
		a, b = subjectOf(t.AccessToken), subjectOf(other.AccessToken)
	}
	return a == (subject{}) || b == (subject{}) || a == b
}

// A subject is an account at an issuer.
type subject struct{ issuer, name string }

// subjectOf returns the account that an unverified JWT names; the zero value if it
// names none.
func subjectOf(token string) subject {
	_, claims := member.JWT(token)
	name := claims.Name("sub")
	if name == "" {
		return subject{}
	}
	return subject{metadata.WithScheme(claims.Text("iss")), name}
}

// idTokenSubject returns the subject of an ID token, or "". The token came over
// TLS from the token endpoint, which OpenID Connect Core section 3.1.3.7 accepts
// in place of checking its signature.
func idTokenSubject(idToken string) string {
	return subjectOf(idToken).name
}
