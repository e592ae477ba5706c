package oauth

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"

	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// A LogoutRequest is a logout on its way through the browser. It prints redacted:
// the URL holds the ID token, which tells who the person is and lets others log
// the person out.
type LogoutRequest struct {
	// URL is where to send the browser.
	URL string `json:"url"`
	// State comes back with the browser, as the query parameter state. Empty if the
	// browser does not come back.
	State string `json:"state,omitempty"`
}

// String describes the request without ID token and state.
func (r LogoutRequest) String() string {
	return fmt.Sprintf("oauth.LogoutRequest{url:%q state:%s}", wire.WithoutQuery(r.URL), wire.Presence(r.State))
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (r LogoutRequest) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, r.String()) }

// LogValue implements slog.LogValuer.
func (r LogoutRequest) LogValue() slog.Value { return slog.StringValue(r.String()) }

// maxURL is how long a URL may be for every browser and server between to take it
// (RFC 9110 section 4.1).
const maxURL = 8000

// EndSessionURL returns where to send the person's browser to log out at the
// server itself, so that the next login asks for credentials (OpenID Connect
// RP-Initiated Logout 1.0). It does not end the tokens: see [Client.Revoke]. Make
// it before the pair is deleted, since it needs the ID token.
//
// returnTo is where the browser goes afterwards, with LogoutRequest.State; it must
// be registered with the server for that purpose. Empty means that the browser
// stays with the server.
//
// The ID token of t goes into the URL as id_token_hint, which spares the person a
// question. It is left out if t is nil or has none, and if it would make the URL
// longer than the 8000 bytes that can be relied on. The URL therefore is as secret
// as the ID token: hand it to the browser, and keep it out of logs. Servers take
// ID tokens that have expired.
//
// No request is sent. A mistake in the configuration, such as no
// Config.Endpoints.EndSession, is an [*Error] that matches [ErrMisconfigured]. t is not
// modified. Safe for concurrent use.
func (c *Client) EndSessionURL(t *TokenPair, returnTo string) (*LogoutRequest, error) {
	if err := c.ready(opEndSession, "Endpoints.EndSession", c.cfg.Endpoints.EndSession); err != nil {
		return nil, err
	}
	u, err := url.Parse(c.cfg.Endpoints.EndSession)
	if err != nil {
		return nil, misconfigured(opEndSession, wire.Wrong("Endpoints.EndSession", "is not a URL"))
	}
	req, query := &LogoutRequest{}, u.Query()
	query.Set("client_id", c.cfg.ClientID)
	if returnTo != "" {
		if target, err := url.Parse(returnTo); err != nil || !target.IsAbs() {
			return nil, misconfigured(opEndSession, errors.New("the address to return to is not an absolute URL"))
		}
		req.State = rand.Text()
		query.Set("post_logout_redirect_uri", returnTo)
		query.Set("state", req.State)
	}
	if t != nil && t.IDToken != "" {
		query.Set("id_token_hint", t.IDToken)
	}
	u.RawQuery = query.Encode()
	if req.URL = u.String(); len(req.URL) > maxURL {
		query.Del("id_token_hint")
		u.RawQuery = query.Encode()
		req.URL = u.String()
	}
	return req, nil
}
