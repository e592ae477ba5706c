package oauth

import (
	"context"

	"github.com/evertoken/evertoken/oauth/internal/login"
)

// Authenticate logs a person in with the system's browser: authorization code
// with PKCE, returning to a port on the loopback interface (RFC 8252).
//
// It listens on 127.0.0.1 (on [::1] on a host without IPv4) at a free port, or at
// the port of Config.RedirectURL, prints the login URL to Config.Output, shows it
// with Config.OpenBrowser, and waits for the browser to come back or, with
// Config.ReadRedirect, for the person to paste where it ended. A browser that
// cannot be opened is not an error, since the URL is on the screen. The last page
// in the browser tells how the login ended. Answers that do not carry this
// login's state get an error page and do not end it.
//
// With Config.RequirePushedAuth the request is pushed first (RFC 9126), and the
// address on the screen ends with it, often within a minute.
//
// It waits as long as ctx allows; give ctx a deadline or let the person cancel
// it. The port is free again when Authenticate returns. Errors are of type
// [*Error]: [ErrAccessDenied] if the person refused, a port in use matches
// [ErrTransient] and syscall.EADDRINUSE, the end of ctx matches its cause.
// Config.OpenBrowser and Config.ReadRedirect run on their own goroutines and are
// not waited for. Safe for concurrent use.
func (c *Client) Authenticate(ctx context.Context) (*TokenPair, error) {
	if err := c.ready(opAuthorize, "TokenURL", c.cfg.TokenURL); err != nil {
		return nil, err
	}
	if err := c.ready(opAuthorize, "AuthURL", c.cfg.AuthURL); err != nil {
		return nil, err
	}
	lb, fail := login.Listen(ctx, c.cfg.RedirectURL)
	if fail != nil {
		return nil, (*Error)(fail)
	}
	defer lb.Close()
	req, err := c.loginRequest(lb.RedirectURL, c.resources(ctx))
	if err != nil {
		return nil, err
	}
	if c.cfg.RequirePushedAuth {
		if err := c.push(ctx, req); err != nil {
			return nil, err
		}
	}
	l := lb.Begin(c.person(), req.URL, req.answeredBy)
	pair, err := c.finishLogin(ctx, l, req)
	l.Finish(err)
	return pair, err
}

// finishLogin waits for the answer to req and redeems it.
func (c *Client) finishLogin(ctx context.Context, l *login.Login, req *LoginRequest) (*TokenPair, error) {
	query, fail := l.Await(ctx)
	if fail != nil {
		return nil, (*Error)(fail)
	}
	pair, err := c.Exchange(ctx, req, query)
	if err != nil {
		return nil, err
	}
	c.warnWithoutRefreshToken(pair, c.OfflineAdvice())
	return pair, nil
}
