package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/evertoken/evertoken/internal/browser"
)

// Authenticate logs a person in with the system's browser: authorization code
// with PKCE, returning to a port on the loopback interface (RFC 8252).
//
// It listens on 127.0.0.1 (on [::1] where there is no IPv4) at a free port, or at
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
	lb, fail := listenLoopback(ctx, c.cfg.RedirectURL)
	if fail != nil {
		return nil, fail
	}
	defer lb.close()
	req, err := c.loginRequest(lb.redirectURL, c.resources(ctx))
	if err != nil {
		return nil, err
	}
	if c.cfg.RequirePushedAuth {
		if err := c.push(ctx, req); err != nil {
			return nil, err
		}
	}
	l := &login{
		client:  c,
		req:     req,
		answers: make(chan url.Values),
		notices: make(chan string),
		over:    make(chan struct{}),
	}
	lb.serve(l)
	pair, err := l.run(ctx)
	l.finish(err)
	return pair, err
}

// A login is one run of Authenticate. Whoever hears an answer that carries its
// state offers it to answers; the run takes one and no more.
type login struct {
	client  *Client
	req     *LoginRequest
	answers chan url.Values
	notices chan string // what to tell the person, said by run alone

	over chan struct{} // closed when the login has ended
	err  error         // how it ended; written before over closes
}

// run takes the person through the login.
func (l *login) run(ctx context.Context) (*TokenPair, error) {
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	c := l.client
	c.say("To log in, open this address in a browser, unless one opens by itself:\n\n  %s\n\n", l.req.URL)
	go l.openBrowser(waiting)
	if c.cfg.ReadRedirect != nil {
		c.say("If the browser runs on another machine, paste here the address it ends on.\n")
		go l.readPastes(waiting)
	}
	c.say("Waiting for the login. If the browser shows an error, stop with Ctrl-C.\n")

	query, err := l.await(ctx)
	cancel() // an answer is here: no more asking
	if err != nil {
		return nil, err
	}
	pair, err := c.Exchange(ctx, l.req, query)
	if err != nil {
		return nil, err
	}
	c.warnWithoutRefreshToken(pair, c.OfflineAdvice())
	return pair, nil
}

// await returns the query of the first answer that belongs to this login.
func (l *login) await(ctx context.Context) (url.Values, error) {
	for {
		select {
		case query := <-l.answers:
			return query, nil
		case notice := <-l.notices:
			l.client.say("%s\n", notice)
		case <-ctx.Done():
			return nil, unfinished(ctx, opAuthorize)
		}
	}
}

// finish tells the browser how the login ended.
func (l *login) finish(err error) {
	l.err = err
	close(l.over)
}

// offer hands an answer to the run, and reports whether the login has ended
// since, rather than ctx.
func (l *login) offer(ctx context.Context, query url.Values) bool {
	select {
	case l.answers <- query:
	case <-l.over: // somebody else's answer came first
	case <-ctx.Done():
		return false
	}
	select {
	case <-l.over:
		return true
	case <-ctx.Done():
		return false
	}
}

// openBrowser shows the login page, or says why it cannot.
func (l *login) openBrowser(ctx context.Context) {
	open := l.client.cfg.OpenBrowser
	if open == nil {
		open = browser.Open
	}
	if err := open(ctx, l.req.URL); err != nil {
		l.notify(ctx, fmt.Sprintf("The browser could not be opened (%v). Please open the address above yourself.", err))
	}
}

// maxPastes ends the asking when ReadRedirect returns at once, for ever.
const maxPastes = 20

// readPastes asks the person for the address until one fits.
func (l *login) readPastes(ctx context.Context) {
	for range maxPastes {
		text, err := l.client.cfg.ReadRedirect(ctx)
		if err != nil || ctx.Err() != nil {
			return
		}
		query, err := parsePasted(text, l.req.RedirectURL)
		if err == nil && !l.req.answeredBy(query) {
			err = errState
		}
		if err == nil {
			l.offer(ctx, query)
			return
		}
		l.notify(ctx, fmt.Sprintf("That does not work: %v. Copy the whole address from the browser's address bar.", err))
	}
}

func (l *login) notify(ctx context.Context, notice string) {
	select {
	case l.notices <- notice:
	case <-ctx.Done():
	}
}

var errPaste = errors.New("this is not the address of the login's last page")

// parsePasted reads what a person copied: the address the browser ended on, or
// its query. White space inside comes from terminals that wrap lines. An address
// with another path than the redirect URL's is that of another login: with a path
// for each server, of a login there (RFC 9700 section 4.4.2.2).
func parsePasted(text, redirectURL string) (url.Values, error) {
	text = strings.Trim(strings.Join(strings.Fields(text), ""), `"'<>`)
	text, _, _ = strings.Cut(text, "#")
	if address, query, found := strings.Cut(text, "?"); found {
		if address != "" && pathOf(address) != pathOf(redirectURL) {
			return nil, errPaste
		}
		text = query
	}
	query, err := url.ParseQuery(text)
	if err != nil || (query.Get("code") == "" && query.Get("error") == "") {
		return nil, errPaste
	}
	return query, nil
}

// pathOf returns the path of an address, which may lack its scheme: browsers do not
// show it.
func pathOf(address string) string {
	if _, rest, found := strings.Cut(address, "://"); found {
		address = rest
	}
	_, path, _ := strings.Cut(address, "/")
	return path
}

// say tells the person something. Output is where people look; if it cannot be
// written to, there is nobody to tell.
func (c *Client) say(format string, args ...any) {
	out := c.cfg.Output
	if out == nil {
		out = os.Stderr
	}
	_, _ = fmt.Fprintf(out, format, args...)
}

// unfinished is the error of a login that ctx ended.
func unfinished(ctx context.Context, op string) *Error {
	return &Error{Op: op, Kind: ErrTransient, Err: fmt.Errorf("the login was not finished: %w", context.Cause(ctx))}
}
