package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/dpop"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// A Client talks to one authorization server on behalf of one registered client.
// Make one with [NewClient] or [Discover]. It is safe for concurrent use, and it
// prints without its secret.
type Client struct {
	cfg    Config
	sender *wire.Sender
	err    error     // what makes cfg unusable; reported by every call
	meta   *Metadata // what Discover found; nil without discovery, never modified

	resource *http.Transport // see ResourceTransport; nil without a certificate

	dpop  dpop.Memory // nonces, by endpoint, and the server's clock
	pause wire.Pause  // the server asked all its clients to wait
}

// NewClient returns a client for the endpoints in cfg, which is copied. A
// mistake in cfg is reported by the first call that meets it, as
// [ErrMisconfigured].
func NewClient(cfg Config) *Client {
	cfg = cfg.withDefaults()
	hc, err := presenting(cfg.HTTPClient, cfg.ClientCertificate)
	if wrong := cfg.check(); wrong != nil {
		err = wrong
	}
	c := &Client{cfg: cfg, sender: wire.NewSender(hc, cfg.Timeout, cfg.Now), err: err}
	c.sender.Settings.DefaultLifetime = cfg.DefaultLifetime
	if err == nil {
		c.resource = cfg.resourceTransport()
	}
	return c
}

// Config returns a copy of the client's configuration, with defaults and
// discovered endpoints filled in.
func (c *Client) Config() Config { return c.cfg.withDefaults() }

// ConfigID identifies what the server can see of the configuration: endpoint,
// client and way of authenticating, with the key or certificate for it (but not a
// certificate that Config.HTTPClient presents), whether tokens are bound to a key,
// the scope if refreshes name one, Config.TokenParams and Config.TokenPath. A session that was renewed under one ID may
// be refused under another without being dead. It reveals no secret.
func (c *Client) ConfigID() string {
	seen := []string{c.cfg.TokenURL, c.cfg.ClientID, string(c.cfg.ClientAuth), c.cfg.ClientSecret}
	seen = append(seen, c.cfg.credentials()...)
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
	sum := sha256.Sum256([]byte(strings.Join(seen, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// Server names the authorization server by the origin of its token endpoint, for
// those who have to know which sessions are at the same one.
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
	if err := wire.CheckField(field, endpoint); err != nil {
		return misconfigured(op, err)
	}
	if err := c.cfg.checkMutualTLS(field, endpoint); err != nil {
		return misconfigured(op, err)
	}
	return nil
}

// grant sends a login's token request, with a key of its own if Config.DPoP is
// on, and judges the answer. c.cfg.Resources, or what ctx carries instead, goes
// with it.
func (c *Client) grant(ctx context.Context, op string, form url.Values) (*TokenPair, error) {
	return c.grantWith(ctx, op, form, c.loginKey())
}

// grantWith is grant with a key that may be there already.
func (c *Client) grantWith(ctx context.Context, op string, form url.Values, key DPoPKey) (*TokenPair, error) {
	pair, err := c.requestPair(ctx, op, form, key, 0)
	if err != nil {
		return nil, err
	}
	if fail := c.checkBound(op, pair); fail != nil {
		return nil, fail
	}
	return pair, nil
}

// requestPair sends one token request, with a proof of key unless that is zero,
// and judges the answer. The pair has the key. skew is for postProven.
func (c *Client) requestPair(ctx context.Context, op string, form url.Values, key DPoPKey, skew time.Duration) (*TokenPair, error) {
	if err := c.ready(op, "TokenURL", c.cfg.TokenURL); err != nil {
		return nil, err
	}
	for _, resource := range c.resources(ctx) {
		form.Add("resource", resource)
	}
	c.addTokenParams(form)
	send := func() (*wire.Answer, *Error) { return c.post(ctx, op, c.cfg.TokenURL, form) }
	if !key.IsZero() {
		send = func() (*wire.Answer, *Error) { return c.postProven(ctx, op, c.cfg.TokenURL, form, key, skew) }
	}
	a, fail := send()
	if fail != nil {
		return nil, fail
	}
	pair, fail := judge(a)
	if fail != nil {
		return nil, fail
	}
	pair.DPoPKey = key
	return pair, nil
}
