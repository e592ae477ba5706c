package dialect

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// Operations, as they are named in errors.
const (
	opLogin   = "login"
	opRefresh = wire.OpRefresh
	opRevoke  = "revoke"
)

// Config says where a backend is and how to reach it.
type Config struct {
	// BaseURL is what the dialect's paths are appended to. Required: https, or
	// http to a loopback address.
	BaseURL string
	// DeviceID tells the backend which of a person's devices this is, if the
	// dialect has a field for it. It is not secret.
	DeviceID string
	// DefaultLifetime is an access token's life when the backend does not tell.
	// Zero: derived from the token if it is a JWT, otherwise unknown.
	DefaultLifetime time.Duration
	// Timeout bounds every single request. Zero means 30 seconds.
	Timeout time.Duration
	// HTTPClient sends the requests; its redirect policy and its cookie jar are not
	// used. Nil means a client that opens one connection for each request.
	HTTPClient *http.Client
	// Now replaces time.Now, for programs that run on a clock of their own.
	Now func() time.Time
}

// A Client talks to a home-grown backend in its [Dialect]. It is a
// refresh.Refresher. Make one with [NewClient]. Safe for concurrent use.
type Client struct {
	dialect  Dialect
	base     string // without a final slash
	deviceID string
	sender   *wire.Sender
	pause    wire.Pause // the backend asked to wait
	err      error      // what makes the dialect unusable; reported by every call
}

// NewClient returns a client for a backend that speaks d. Both arguments
// are copied. A mistake in them is reported by the first call that meets it, as
// [oauth.ErrMisconfigured].
func NewClient(d Dialect, cfg Config) *Client {
	sender := wire.NewSender(cfg.HTTPClient, cfg.Timeout, cfg.Now)
	sender.Settings.DefaultLifetime = cfg.DefaultLifetime
	// The pair alone says what is sent: a jar would add the cookie of another
	// session, and backends look at cookies first.
	sender.HTTP.Jar = nil
	d = d.clone()
	return &Client{
		dialect: d, base: strings.TrimSuffix(cfg.BaseURL, "/"), deviceID: cfg.DeviceID, sender: sender, err: d.check(),
	}
}

// misconfigured returns the error for a call that cannot be made at all.
func misconfigured(op string, err error) *oauth.Error {
	return (*oauth.Error)(wire.Misconfigured(op, err))
}

// Login trades a person's name and password for tokens. It sends one request;
// name and password are not kept.
//
// Errors are of type [*oauth.Error]; a wrong password matches [oauth.ErrLoginRequired].
func (c *Client) Login(ctx context.Context, username, password string) (*oauth.TokenPair, error) {
	pair, fail := c.grant(ctx, opLogin, "login", c.dialect.Login, values{
		Username: username, Password: password, DeviceID: c.deviceID,
	})
	if fail != nil {
		return nil, fail
	}
	return pair, nil
}

// Refresh trades t's refresh token for a new pair, and keeps of t what the answer
// omits. It sends one request and never repeats it. t is not modified.
//
// Errors are those of [oauth.Client.Refresh], decided by the dialect's table: what is
// not in it is never oauth.ErrLoginRequired. Like there, Retry-After of one answer
// concerns all sessions of this client.
func (c *Client) Refresh(ctx context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error) {
	if t == nil || t.RefreshToken == "" {
		return nil, &oauth.Error{Op: opRefresh, Kind: oauth.ErrLoginRequired, Err: oauth.ErrRefreshTokenRequired}
	}
	if fail := c.pause.Refusal(opRefresh, c.sender.Now()); fail != nil {
		return nil, (*oauth.Error)(fail)
	}
	next, fail := c.grant(ctx, opRefresh, "refresh", c.dialect.Refresh, c.of(t))
	if fail != nil {
		c.pause.Remember((*wire.Failure)(fail), c.sender.Now())
		return nil, fail
	}
	return next.Keeping(t), nil
}

// CanRevoke reports whether the dialect has a logout.
func (c *Client) CanRevoke() bool { return c.dialect.Logout.Path != "" }

// Revoke logs out: it asks the backend to end what t gives access to. Like
// [oauth.Client.Revoke] it sends one request, is to be the last use of t, and counts as
// success that the session is over already.
//
// Errors are of type [*oauth.Error]: [oauth.ErrTransient] means that the session still lives,
// [oauth.ErrMisconfigured] also that the dialect has no logout.
func (c *Client) Revoke(ctx context.Context, t *oauth.TokenPair) error {
	if t == nil || t.RefreshToken == "" && t.AccessToken == "" {
		return misconfigured(opRevoke, errors.New("there is no token to revoke"))
	}
	a, fail := c.post(ctx, opRevoke, "logout", c.dialect.Logout, c.of(t))
	if fail != nil {
		return fail
	}
	if wire.IsSuccess(a.Status) {
		return nil
	}
	fail = c.dialect.Answer.failure(a, c.dialect.Logout.Errors, a.Fields())
	if fail.Kind == oauth.ErrLoginRequired {
		return nil // dead already
	}
	return fail
}

// ConfigID identifies what the backend can see of the configuration, and where the
// tokens are read, like [oauth.Client.ConfigID].
func (c *Client) ConfigID() string {
	r := c.dialect.Refresh
	seen := fmt.Appendf(nil, "%q %q %q %q %q", c.base, c.deviceID, r.Path, r.Encoding, r.Fields)
	if path := c.dialect.Answer.TokenPath; path != "" {
		seen = fmt.Appendf(seen, " %q", path)
	}
	sum := sha256.Sum256(seen)
	return hex.EncodeToString(sum[:8])
}

// Server names the backend, like [oauth.Client.Server].
func (c *Client) Server() string { return wire.Origin(c.base) }

// String describes the client.
func (c *Client) String() string {
	return fmt.Sprintf("dialect.Client{dialect:%q base:%q}", c.dialect.Name, wire.WithoutQuery(c.base))
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (c *Client) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, c.String()) }

// of returns what a request about t can carry.
func (c *Client) of(t *oauth.TokenPair) values {
	return values{RefreshToken: t.RefreshToken, AccessToken: t.AccessToken, DeviceID: c.deviceID}
}

// grant sends one request for tokens and judges the answer.
func (c *Client) grant(ctx context.Context, op, name string, r Request, v values) (*oauth.TokenPair, *oauth.Error) {
	a, fail := c.post(ctx, op, name, r, v)
	if fail != nil {
		return nil, fail
	}
	return judge(c.dialect.Answer, r.Errors, a)
}

// post sends r as one POST; name is what errors call it.
func (c *Client) post(ctx context.Context, op, name string, r Request, v values) (*wire.Answer, *oauth.Error) {
	if c.err != nil {
		return nil, misconfigured(op, c.err)
	}
	if r.Path == "" {
		return nil, misconfigured(op, fmt.Errorf("dialect %s has no %s", c.dialect.Name, name))
	}
	endpoint := c.base + r.Path
	if err := wire.CheckField("BaseURL", endpoint); err != nil {
		return nil, misconfigured(op, err)
	}
	header, body, err := r.write(v)
	if err != nil {
		return nil, misconfigured(op, err)
	}
	a, fail := c.sender.Send(ctx, op, func(ctx context.Context) (*http.Request, error) {
		req, err := wire.NewPost(ctx, endpoint, body)
		if err != nil {
			return nil, err
		}
		req.Header = header
		return req, nil
	})
	return a, (*oauth.Error)(fail)
}
