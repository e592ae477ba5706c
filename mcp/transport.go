package mcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/connect"
	"github.com/evertoken/evertoken/internal/drain"
	"github.com/evertoken/evertoken/oauth"
)

// OAuthHandler returns a handler for the SDK's transports. Most programs want
// [Session.Client] instead: a handler cannot present tokens that are bound to a key, so
// that it asks for none, and its tokens go wherever the SDK sends requests. Use one of
// the two.
func (s *Session) OAuthHandler() auth.OAuthHandler { return handler{s.connected(&s.bearer, true)} }

type handler struct{ c *connect.Session }

// Format implements fmt.Formatter: every verb prints the session.
func (h handler) Format(w fmt.State, verb rune) { h.c.Format(w, verb) }

// TokenSource implements auth.OAuthHandler.
func (h handler) TokenSource(ctx context.Context) (oauth2.TokenSource, error) {
	_, err := h.c.Token(ctx)
	if errors.Is(err, oauth.ErrLoginRequired) && h.c.Status() == nil {
		return nil, nil // no session yet
	}
	return source{h.c.TokenSource()}, nil
}

// A source gives the session's tokens. A session that has ended looks to the SDK like a
// refused refresh, so that it sends the request without a token and asks for a login.
type source struct{ tokens oauth2.TokenSource }

// Format implements fmt.Formatter: every verb prints the same, and no token.
func (source) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "mcp.source") }

// Token implements oauth2.TokenSource.
func (t source) Token() (*oauth2.Token, error) {
	token, err := t.tokens.Token()
	if errors.Is(err, oauth.ErrLoginRequired) || errors.Is(err, oauth.ErrClientRefused) {
		return nil, &oauth2.RetrieveError{ErrorCode: "invalid_grant", Response: &http.Response{StatusCode: http.StatusBadRequest}}
	}
	return token, err
}

// Authorize implements auth.OAuthHandler.
func (h handler) Authorize(ctx context.Context, req *http.Request, resp *http.Response) error {
	drain.Response(resp)
	shown := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
	return h.c.Refused(ctx, shown, resp.StatusCode, resp.Header)
}
