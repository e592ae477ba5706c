package dialect

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
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
	// Timeout bounds every single request but a refresh, whose answer is waited for as
	// oauth.Config.Timeout says. Zero means 30 seconds.
	Timeout time.Duration
	// HTTPClient sends the requests; its redirect policy and its cookie jar are not
	// used, and its Timeout does not end a refresh (see oauth.Config.HTTPClient). Nil
	// means a client that opens one connection for each request.
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
	err      error // what makes the dialect unusable; reported by every call
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
	return c.LoginWith(ctx, username, password, nil)
}

// LoginWith is [Client.Login] with values that the dialect has a field of [Further] for, by
// name. Those that it has none for are not sent.
func (c *Client) LoginWith(ctx context.Context, username, password string, more map[string]string) (*oauth.TokenPair, error) {
	v := ofLogin(username, password, c.deviceID, more)
	pair, fail := c.grant(ctx, opLogin, "login", c.dialect.Login, v)
	if fail != nil {
		return nil, fail
	}
	return pair, nil
}

// Refresh trades t's refresh token for a new pair, and keeps of t what the answer
// omits. It sends one request and never repeats it. t is not modified.
//
// Errors are those of [oauth.Client.Refresh], decided by the dialect's table: what is
// not in it is never oauth.ErrLoginRequired.
func (c *Client) Refresh(ctx context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error) {
	if t == nil || t.RefreshToken == "" {
		return nil, &oauth.Error{Op: opRefresh, Kind: oauth.ErrLoginRequired, Err: oauth.ErrRefreshTokenRequired}
	}
	next, fail := c.grant(ctx, opRefresh, "refresh", c.dialect.Refresh, ofPair(t, c.deviceID, c.dialect.Refresh.values()))
	switch {
	case next == nil:
		return nil, fail
	case next.AccessToken == "": // and the refresh token is all that is left of the session
		kept := t.Clone()
		kept.RefreshToken, kept.RefreshExpiresAt = next.RefreshToken, next.RefreshExpiresAt
		return kept, fail
	case fail != nil: // the answer's refresh token is unread
		return next.Keeping(t), fail
	}
	return next.Keeping(t), nil
}

// CanRevoke reports whether the dialect has a logout.
func (c *Client) CanRevoke() bool { return len(c.dialect.ends()) > 0 }

// RevokesByAccessToken reports whether a logout carries the access token, which backends
// want alive for that: see Revoke.
func (c *Client) RevokesByAccessToken() bool {
	return slices.ContainsFunc(c.dialect.ends(), func(r Request) bool { return r.Carries(AccessToken) })
}

// Revoke logs out: it asks the backend to end what t gives access to. Like
// [oauth.Client.Revoke] it sends one request, is to be the last use of t, and counts as
// success that the session is over already. Where the dialect has Revocations, it sends one
// for each, and stops where the backend is in trouble; after a refusal it goes on, and
// returns the first.
//
// Where the logout carries the access token, and that may be dead by t.ExpiresAt, a
// refusal is about that one and counts as none: then refresh first.
//
// Errors are of type [*oauth.Error]: [oauth.ErrTransient] means that the session still lives
// and to try again, [oauth.ErrNotRevoked] that the backend will not end it, and
// [oauth.ErrMisconfigured] otherwise that the dialect has no logout.
func (c *Client) Revoke(ctx context.Context, t *oauth.TokenPair) error {
	if t == nil || t.RefreshToken == "" && t.AccessToken == "" {
		return misconfigured(opRevoke, errors.New("there is no token to revoke"))
	}
	var first *oauth.Error
	for _, r := range c.logout() {
		v := ofPair(t, c.deviceID, r.values())
		if r.Path != "" && r.empty(v) {
			continue // as of the access token, where there is none
		}
		fail := c.end(ctx, r, v, t)
		switch {
		case fail == nil:
		case !errors.Is(fail, oauth.ErrNotRevoked):
			return fail
		case first == nil:
			first = fail
		}
	}
	if first == nil {
		return nil // and no error that holds a nil
	}
	return first
}

// logout returns the requests of a logout: at least one, which post refuses where the
// dialect has none.
func (c *Client) logout() []Request {
	if list := c.dialect.ends(); len(list) > 0 {
		return list
	}
	return []Request{c.dialect.Logout}
}

// end sends one request of a logout.
func (c *Client) end(ctx context.Context, r Request, v values, t *oauth.TokenPair) *oauth.Error {
	a, fail := c.post(ctx, opRevoke, "logout", r, v)
	if fail != nil {
		return fail
	}
	if wire.IsSuccess(a.Status) {
		return nil
	}
	fail = c.dialect.Answer.failure(a, r.Errors, a.Fields())
	dead := r.Carries(AccessToken) && !c.sender.Now().Before(t.ExpiresAt)
	switch {
	case dead && (fail.Kind == oauth.ErrLoginRequired || a.Status == http.StatusUnauthorized):
		fail.Kind, fail.Hint = oauth.ErrTransient, "the backend wants an access token that lives for a logout: refresh first"
		return fail
	case fail.Kind == oauth.ErrLoginRequired:
		return nil // dead already
	}
	return (*oauth.Error)(a.RevocationFailure((*wire.Failure)(fail)))
}

// ConfigID identifies what the backend can see of the configuration, and how its answers to a
// refresh are read, like [oauth.Client.ConfigID].
func (c *Client) ConfigID() string {
	r, n := c.dialect.Refresh, c.dialect.Answer
	seen := fmt.Appendf(nil, "%q %q %q %q %q %#v", c.base, c.deviceID, r.Method, r.Path, r.Encoding, r.Fields)
	seen = fmt.Appendf(seen, " %q %q %q %q %q", n.TokenPath, n.AccessToken, n.RefreshToken, n.RefreshCookie, n.ErrorCodes)
	if n.AccessCookie != "" {
		seen = fmt.Appendf(seen, " %q", n.AccessCookie)
	}
	if n.AccessHeader != "" || n.RefreshHeader != "" {
		seen = fmt.Appendf(seen, " headers %q %q", n.AccessHeader, n.RefreshHeader)
	}
	for _, e := range r.Errors {
		seen = fmt.Appendf(seen, " %q %d %v", e.Code, e.Status, e.Means)
	}
	sum := sha256.Sum256(seen)
	return hex.EncodeToString(sum[:8])
}

// Presentation is that of the dialect. It tells a refresh.Manager how to show the access
// token to APIs.
func (c *Client) Presentation() oauth.Presentation { return c.dialect.Presentation }

// RefreshGrace is that of the dialect. It tells a refresh.Manager whether a refresh whose
// answer got lost may be sent again, and how long.
func (c *Client) RefreshGrace() time.Duration { return c.dialect.Grace }

// Server names the backend, like [oauth.Client.Server].
func (c *Client) Server() string { return wire.Origin(c.base) }

// String describes the client.
func (c *Client) String() string {
	return fmt.Sprintf("dialect.Client{dialect:%q base:%q}", c.dialect.Name, wire.WithoutQuery(c.base))
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (c *Client) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, c.String()) }

// grant sends one request for tokens and judges the answer.
func (c *Client) grant(ctx context.Context, op, name string, r Request, v values) (*oauth.TokenPair, *oauth.Error) {
	a, fail := c.post(ctx, op, name, r, v)
	if fail != nil {
		return nil, fail
	}
	if !c.dialect.byAccessToken() {
		a.Settings.Spent = v[RefreshToken]
	}
	pair, fail := judge(c.dialect.Answer, r.Errors, a)
	if pair != nil && !c.dialect.renews() {
		pair.RefreshToken, pair.RefreshExpiresAt = "", time.Time{} // there is nothing to do with one
	}
	if pair != nil && c.dialect.byAccessToken() {
		pair.RefreshToken, pair.RefreshExpiresAt = pair.AccessToken, time.Time{}
	}
	return pair, fail
}

// post sends r as one request; name is what errors call it.
func (c *Client) post(ctx context.Context, op, name string, r Request, v values) (*wire.Answer, *oauth.Error) {
	if c.err != nil {
		return nil, misconfigured(op, c.err)
	}
	if r.Path == "" {
		return nil, misconfigured(op, fmt.Errorf("dialect %s has no %s", c.dialect.Name, name))
	}
	address, err := r.address(v)
	if err != nil {
		err = fmt.Errorf("dialect %s: %s: %w", c.dialect.Name, name, err)
		if op == opRevoke { // nor will it ever be told of this session
			err = fmt.Errorf("%w: %w", oauth.ErrNotRevoked, err)
		}
		return nil, misconfigured(op, err)
	}
	endpoint := c.base + address
	if err := wire.CheckField("BaseURL", endpoint); err != nil {
		return nil, misconfigured(op, err)
	}
	header, body, err := r.write(v)
	if err == nil && v[AccessToken] != "" && r.hasInCookie(AccessToken, c.dialect.Presentation.Cookie) {
		err = c.dialect.Presentation.Set(header, v[AccessToken]) // in two cookies, perhaps
	}
	if err != nil {
		return nil, misconfigured(op, err)
	}
	a, fail := c.sender.Send(ctx, op, func(ctx context.Context) (*http.Request, error) {
		req, err := wire.NewPost(ctx, endpoint, body)
		if err != nil {
			return nil, err
		}
		if r.Method != "" {
			req.Method = r.Method
		}
		if r.Method == http.MethodGet {
			req.Body = unrepeatable{}
		}
		req.Header = header
		return req, nil
	})
	return a, (*oauth.Error)(fail)
}

// An unrepeatable is the empty body of a GET, which net/http would send again on its own
// after a connection broke if it had none.
type unrepeatable struct{}

func (unrepeatable) Read([]byte) (int, error) { return 0, io.EOF }
func (unrepeatable) Close() error             { return nil }
