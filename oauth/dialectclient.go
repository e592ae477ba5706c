package oauth

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const opLogin = "login"

// DialectConfig says where a backend is and how to reach it.
type DialectConfig struct {
	// BaseURL is what the dialect's paths are appended to. Required: https, or
	// http to a loopback address.
	BaseURL string
	// DeviceID tells the backend which of a person's devices this is, if the
	// dialect has a field for it. It is no secret.
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

// A DialectClient talks to a home-grown backend in its [Dialect]. It is a
// refresh.Refresher. Make one with [NewDialectClient]. Safe for concurrent use.
type DialectClient struct {
	dialect  Dialect
	base     string // without a final slash
	deviceID string
	engine   *Client // sends requests and remembers Retry-After
	err      error   // what makes the dialect unusable; reported by every call
}

// NewDialectClient returns a client for a backend that speaks d. Both arguments
// are copied. A mistake in them is reported by the first call that meets it, as
// [ErrMisconfigured].
func NewDialectClient(d Dialect, cfg DialectConfig) *DialectClient {
	engine := &Client{
		cfg:  Config{DefaultLifetime: cfg.DefaultLifetime, Timeout: cfg.Timeout, Now: cfg.Now}.withDefaults(),
		http: requestClient(cfg.HTTPClient),
	}
	// The pair alone says what is sent: a jar would add the cookie of another
	// session, and backends look at cookies first.
	engine.http.Jar = nil
	d = d.clone()
	return &DialectClient{
		dialect: d, base: strings.TrimSuffix(cfg.BaseURL, "/"), deviceID: cfg.DeviceID, engine: engine, err: d.check(),
	}
}

// Login trades a person's name and password for tokens. It sends one request;
// name and password are not kept.
//
// Errors are of type [*Error]; a wrong password matches [ErrLoginRequired].
func (c *DialectClient) Login(ctx context.Context, username, password string) (*TokenPair, error) {
	return c.grant(ctx, opLogin, "login", c.dialect.Login, dialectValues{
		DialectUsername: username, DialectPassword: password, DialectDeviceID: c.deviceID,
	})
}

// Refresh trades t's refresh token for a new pair, and keeps of t what the answer
// omits. It sends one request and never repeats it. t is not modified.
//
// Errors are those of [Client.Refresh], decided by the dialect's table: what is
// not in it is never ErrLoginRequired. Like there, Retry-After of one answer
// concerns all sessions of this client.
func (c *DialectClient) Refresh(ctx context.Context, t *TokenPair) (*TokenPair, error) {
	if t == nil || t.RefreshToken == "" {
		return nil, &Error{Op: opRefresh, Kind: ErrLoginRequired, Err: ErrRefreshTokenRequired}
	}
	if until := c.engine.waitUntil(); !until.IsZero() {
		return nil, mustWait(opRefresh, until)
	}
	next, err := c.grant(ctx, opRefresh, "refresh", c.dialect.Refresh, c.of(t))
	if err != nil {
		c.engine.rememberWait(err)
		return nil, err
	}
	return next.Keeping(t), nil
}

// CanRevoke reports whether the dialect has a logout.
func (c *DialectClient) CanRevoke() bool { return c.dialect.Logout.Path != "" }

// Revoke logs out: it asks the backend to end what t gives access to. Like
// [Client.Revoke] it sends one request, is to be the last use of t, and counts as
// success that the session is over already.
//
// Errors are of type [*Error]: [ErrTransient] means that the session still lives,
// [ErrMisconfigured] also that the dialect has no logout.
func (c *DialectClient) Revoke(ctx context.Context, t *TokenPair) error {
	if t == nil || t.RefreshToken == "" && t.AccessToken == "" {
		return misconfigured(opRevoke, errors.New("there is no token to revoke"))
	}
	a, fail := c.post(ctx, opRevoke, "logout", c.dialect.Logout, c.of(t))
	if fail != nil {
		return fail
	}
	if isSuccess(a.status) {
		return nil
	}
	fail = c.dialect.Answer.failure(a, c.dialect.Logout.Errors, a.fields())
	if fail.Kind == ErrLoginRequired {
		return nil // dead already
	}
	return fail
}

// ConfigID identifies what the backend can see of the configuration, and where the
// tokens are read, like [Client.ConfigID].
func (c *DialectClient) ConfigID() string {
	r := c.dialect.Refresh
	seen := fmt.Appendf(nil, "%q %q %q %q %q", c.base, c.deviceID, r.Path, r.Encoding, r.Fields)
	if path := c.dialect.Answer.TokenPath; path != "" {
		seen = fmt.Appendf(seen, " %q", path)
	}
	sum := sha256.Sum256(seen)
	return hex.EncodeToString(sum[:8])
}

// Server names the backend, like [Client.Server].
func (c *DialectClient) Server() string { return serverOf(c.base) }

// String describes the client.
func (c *DialectClient) String() string {
	return fmt.Sprintf("oauth.DialectClient{dialect:%q base:%q}", c.dialect.Name, withoutQuery(c.base))
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (c *DialectClient) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, c.String()) }

// of returns what a request about t can carry.
func (c *DialectClient) of(t *TokenPair) dialectValues {
	return dialectValues{DialectRefreshToken: t.RefreshToken, DialectAccessToken: t.AccessToken, DialectDeviceID: c.deviceID}
}

// grant sends one request for tokens and judges the answer.
func (c *DialectClient) grant(ctx context.Context, op, name string, r DialectRequest, values dialectValues) (*TokenPair, error) {
	a, fail := c.post(ctx, op, name, r, values)
	if fail != nil {
		return nil, fail
	}
	pair, fail := judgeDialect(c.dialect.Answer, r.Errors, a)
	if fail != nil {
		return nil, fail
	}
	return pair, nil
}

// post sends r as one POST; name is what errors call it.
func (c *DialectClient) post(ctx context.Context, op, name string, r DialectRequest, values dialectValues) (answer, *Error) {
	if c.err != nil {
		return answer{}, misconfigured(op, c.err)
	}
	if r.Path == "" {
		return answer{}, misconfigured(op, fmt.Errorf("dialect %s has no %s", c.dialect.Name, name))
	}
	endpoint := c.base + r.Path
	if err := checkEndpoint("DialectConfig.BaseURL", endpoint); err != nil {
		return answer{}, misconfigured(op, err)
	}
	header, body, err := r.write(values)
	if err != nil {
		return answer{}, misconfigured(op, err)
	}
	return c.engine.send(ctx, op, func(ctx context.Context) (*http.Request, error) {
		return newDialectRequest(ctx, endpoint, header, body)
	})
}

func newDialectRequest(ctx context.Context, endpoint string, header http.Header, body string) (*http.Request, error) {
	// No *strings.Reader, so that net/http cannot send the request again: see
	// Client.newRequest.
	var content io.Reader
	if body != "" {
		content = struct{ io.Reader }{strings.NewReader(body)}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, content)
	if err != nil {
		return nil, err
	}
	req.ContentLength, req.Header = int64(len(body)), header
	return req, nil
}

// dialectValues are what a request carries; absent and empty are the same.
type dialectValues map[DialectValue]string

// write returns the header and body that carry values to where r wants them.
func (r DialectRequest) write(values dialectValues) (http.Header, string, error) {
	header := http.Header{"Accept": {"application/json"}}
	fields := make(map[string]string)
	var cookies []string
	for _, f := range r.Fields {
		value := values[f.Value]
		switch {
		case value == "":
			continue
		case f.Place == InBody:
			fields[f.Name] = value
			continue
		case !usableToken(value) || f.Place == InCookie && !fitsCookie(value):
			return nil, "", fmt.Errorf("the %s has characters that no %s can carry", f.Value, f.Place)
		}
		switch f.Place {
		case InHeader:
			header.Set(f.Name, value)
		case InAuthorization:
			header.Set("Authorization", cmp.Or(f.Name, "Bearer")+" "+value)
		case InCookie:
			cookies = append(cookies, f.Name+"="+value)
		}
	}
	if len(cookies) > 0 {
		header.Set("Cookie", strings.Join(cookies, "; "))
	}
	if len(fields) == 0 {
		return header, "", nil
	}
	kind, body := r.Encoding.encode(fields)
	header.Set("Content-Type", kind)
	return header, body, nil
}

// encode returns the media type and the body for fields, of which there is one.
func (e DialectEncoding) encode(fields map[string]string) (mediaType, body string) {
	if e == EncodeForm {
		form := make(url.Values, len(fields))
		for name, value := range fields {
			form.Set(name, value)
		}
		return "application/x-www-form-urlencoded", form.Encode()
	}
	var content any = fields
	if e == EncodeJSONString {
		for _, value := range fields {
			content = value
		}
	}
	text, _ := json.Marshal(content) // strings never fail
	return "application/json", string(text)
}

// fitsCookie reports whether a value in printable ASCII survives in a Cookie
// header. RFC 6265 forbids more than the semicolon, but a cookie that came like
// that goes back like that.
func fitsCookie(value string) bool { return !strings.Contains(value, ";") }
