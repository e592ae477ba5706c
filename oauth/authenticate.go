package oauth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/evertoken/evertoken/internal/sleep"
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
// in the browser tells how the login ended, at an address without the code. Answers that
// do not carry this login's state get an error page and do not end it; an error without
// any state, as some servers send it, is told on Config.Output too. Only requests that
// name a loopback host are answered.
//
// The address is an argument of the browser's command, and on most systems other users of
// the machine can read it. It holds no secret that redeems the code (RFC 8252 section 8.1,
// RFC 7636), but its state: such a user could have the login end in an account of his.
//
// With Config.RequirePushedAuth the request is pushed first (RFC 9126), and the
// address on the screen ends with it, often within a minute.
//
// A code that the server has certainly not redeemed, since it could not be reached or has
// answered 429 or 503, is sent again for a minute.
//
// It waits as long as ctx allows; give ctx a deadline or let the person cancel
// it. The port is free again when Authenticate returns. Errors are of type
// [*Error]: [ErrAccessDenied] if the person refused, a port in use matches
// [ErrTransient] and syscall.EADDRINUSE, the end of ctx matches its cause.
// Config.OpenBrowser and Config.ReadRedirect run on their own goroutines and are
// not waited for. Safe for concurrent use.
func (c *Client) Authenticate(ctx context.Context) (*TokenPair, error) {
	return c.AuthenticateKeeping(ctx, nil)
}

// AuthenticateKeeping is [Client.Authenticate] for a login that is to outlive this
// process: keep is handed the request before the person sees it, to save it where secrets
// are kept, and once more with its Answer, which holds the code, before that is redeemed.
// Another process goes on with it ([Client.ResumeLogin]) if this one dies. An error of keep
// ends a login that the person has not seen, and is returned as it is; later the login goes on
// without what could not be kept. Nil keeps nothing. keep must not modify the request.
func (c *Client) AuthenticateKeeping(ctx context.Context, keep func(*LoginRequest) error) (*TokenPair, error) {
	lb, err := c.listen(ctx, c.cfg.RedirectURL)
	if err != nil {
		return nil, err
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
	if keep != nil {
		if err := keep(req); err != nil {
			return nil, err
		}
	}
	return c.awaitLogin(ctx, lb, req, keep)
}

// ResumeLogin goes on with a login on this machine that AuthenticateKeeping has begun in a
// process that is gone: it listens where req returns to, so that a window which is open
// already ends here. It shows req.URL with Config.OpenBrowser all the same; have that do
// nothing where the person has the window. If req has its Answer, the person has logged in
// already: the code is redeemed, and nothing shown. keep is as for AuthenticateKeeping, and
// called with the Answer alone.
//
// The client is to be configured like the one that made req, which serves once. If that
// process has redeemed the code, the error is that of [Client.Exchange]; if the port is
// taken, it matches [ErrTransient] and syscall.EADDRINUSE. Then begin a new login. Otherwise
// it is like [Client.Authenticate]. Safe for concurrent use; req is not modified.
func (c *Client) ResumeLogin(ctx context.Context, req *LoginRequest, keep func(*LoginRequest) error) (*TokenPair, error) {
	if req.Answer != nil {
		return c.redeem(ctx, req, req.Answer)
	}
	lb, err := c.listen(ctx, req.RedirectURL)
	if err != nil {
		return nil, err
	}
	defer lb.Close()
	return c.awaitLogin(ctx, lb, req, keep)
}

// listen waits for a login's return at redirectURL, if this client can log in.
func (c *Client) listen(ctx context.Context, redirectURL string) (*login.Loopback, error) {
	if err := c.ready(opAuthorize, "TokenURL", c.cfg.TokenURL); err != nil {
		return nil, err
	}
	if err := c.ready(opAuthorize, "AuthURL", c.cfg.AuthURL); err != nil {
		return nil, err
	}
	lb, fail := login.Listen(ctx, redirectURL)
	if fail != nil {
		return nil, (*Error)(fail)
	}
	return lb, nil
}

// awaitLogin shows req to the person, and redeems what comes of it.
func (c *Client) awaitLogin(ctx context.Context, lb *login.Loopback, req *LoginRequest, keep func(*LoginRequest) error) (*TokenPair, error) {
	l := lb.Begin(c.person(), req.URL, req.answeredBy)
	pair, err := c.finishLogin(ctx, l, req, keep)
	l.Finish(err)
	return pair, err
}

// finishLogin waits for the answer to req and redeems it.
func (c *Client) finishLogin(ctx context.Context, l *login.Login, req *LoginRequest, keep func(*LoginRequest) error) (*TokenPair, error) {
	query, fail := l.Await(ctx)
	if fail != nil {
		return nil, (*Error)(fail)
	}
	if keep != nil {
		answered := *req
		answered.Answer = query
		_ = keep(&answered) // the person has logged in: no reason to give that up
	}
	return c.redeem(ctx, req, query)
}

const (
	// codeLives is how long after the person's login its code is redeemed, which many servers
	// let live for a minute.
	codeLives = time.Minute
	// redeemAgain is the first pause between two attempts, where the server names none.
	redeemAgain = time.Second
)

// redeem is Exchange at the end of a login. A person's login is not to be lost by a bad moment
// of the token endpoint: while the server has certainly done nothing, the code is sent again. One
// that may have been redeemed is not (RFC 6749 section 4.1.2).
func (c *Client) redeem(ctx context.Context, req *LoginRequest, query url.Values) (*TokenPair, error) {
	end := c.cfg.Now().Add(codeLives)
	for pause := redeemAgain; ; pause *= 2 {
		pair, err := c.Exchange(ctx, req, query)
		if err == nil {
			c.warnWithoutRefreshToken(pair, c.OfflineAdvice())
			return pair, nil
		}
		now := c.cfg.Now()
		at := now.Add(pause)
		fail, is := errors.AsType[*Error](err)
		if !is || !fail.leavesCode() {
			return nil, err
		}
		if fail.RetryAt.After(at) {
			at = fail.RetryAt
		}
		if at.After(end) || sleep.For(ctx, at.Sub(now)) != nil {
			return nil, err
		}
	}
}

// leavesCode reports whether a code whose exchange has failed can be redeemed yet: it has not
// arrived, or the server has not looked at it.
func (e *Error) leavesCode() bool {
	looked := e.Sent && e.Status != http.StatusTooManyRequests && e.Status != http.StatusServiceUnavailable
	return e.Op == opExchange && e.Kind == ErrTransient && !looked
}
