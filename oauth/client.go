package oauth

import (
	"fmt"
	"io"
	"net/http"

	"github.com/evertoken/evertoken/internal/dpop"
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

	resource *http.Transport // see ResourceTransport; nil without a certificate

	dpop  dpop.Memory // nonces, by endpoint, and the server's clock
	pause wire.Pause  // the server asked all its clients to wait
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
	if err := wire.CheckField(field, endpoint); err != nil {
		return misconfigured(op, err)
	}
	if err := c.auth.checkEndpoint(field, endpoint); err != nil {
		return misconfigured(op, err)
	}
	return nil
}
