package oauthtest

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"sync"
)

// Allow does what a person does who signs in as user and allows the access: it
// opens authURL, an authorization request to this server, fills in the real
// forms without a socket, and returns where the browser is sent, which is the
// client's redirect URI with code and state. The caller delivers it:
//
//	cfg.OpenBrowser = func(ctx context.Context, authURL string) error {
//		location, err := s.Allow(ctx, authURL, "alice")
//		…
//		resp, err := http.Get(location)
//
// It fails for a user that the server does not know, and if the server shows a
// page that leads nowhere.
func (s *Server) Allow(ctx context.Context, authURL, user string) (location string, err error) {
	return s.newPerson(ctx, user).authorize(authURL, "allow")
}

// Deny is Allow for a person who says no; location then carries the error.
func (s *Server) Deny(ctx context.Context, authURL, user string) (location string, err error) {
	return s.newPerson(ctx, user).authorize(authURL, "deny")
}

// AllowDevice does what a person does who signs in as user, enters userCode on
// the device page (RFC 8628 section 3.3), and allows the access.
func (s *Server) AllowDevice(ctx context.Context, userCode, user string) error {
	return s.newPerson(ctx, user).device(userCode, "allow")
}

// DenyDevice is AllowDevice for a person who says no.
func (s *Server) DenyDevice(ctx context.Context, userCode, user string) error {
	return s.newPerson(ctx, user).device(userCode, "deny")
}

// A person drives a browser of their own.
type person struct {
	s       *Server
	ctx     context.Context
	user    string
	browser *http.Client
}

// A shownPage is what the browser shows, and where it got it from.
type shownPage struct {
	url      *url.URL
	status   int
	location string
	html     string
}

func (s *Server) newPerson(ctx context.Context, user string) *person {
	jar, _ := cookiejar.New(nil) // never fails
	browser := s.Client()
	browser.Jar = jar
	browser.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Scheme+"://"+r.URL.Host != s.URL {
			return http.ErrUseLastResponse
		}
		return nil
	}
	return &person{s, ctx, user, browser}
}

func (p *person) authorize(authURL, decision string) (string, error) {
	page, err := p.signIn(authURL)
	if err != nil {
		return "", err
	}
	if page.location == "" {
		page, err = p.decide(page, decision)
	}
	if err == nil && page.location == "" {
		err = page.refusal()
	}
	return page.location, err
}

func (p *person) device(userCode, decision string) error {
	page, err := p.signIn(p.s.Endpoint(DeviceEndpoint) + "?user_code=" + url.QueryEscape(userCode))
	if err != nil {
		return err
	}
	if page, err = p.decide(page, decision); err == nil && page.status != http.StatusOK {
		err = page.refusal()
	}
	return err
}

// signIn opens a page, and signs in if it asks to.
func (p *person) signIn(address string) (shownPage, error) {
	r, err := http.NewRequestWithContext(p.ctx, http.MethodGet, address, nil)
	if err != nil {
		return shownPage{}, errors.New("oauthtest: the address to open is malformed")
	}
	page, err := p.open(r)
	if err != nil || !strings.Contains(page.html, `id="login"`) {
		return page, err
	}
	p.s.mu.Lock()
	password, known := p.s.users[p.user]
	p.s.mu.Unlock()
	if !known {
		return page, fmt.Errorf("oauthtest: there is no user %q; add it to Config.Users", p.user)
	}
	return p.submit(page, url.Values{"username": {p.user}, "password": {password}})
}

// decide presses a button of the consent page.
func (p *person) decide(page shownPage, decision string) (shownPage, error) {
	if !strings.Contains(page.html, `id="allow"`) {
		return page, page.refusal()
	}
	return p.submit(page, url.Values{"decision": {decision}})
}

// The pages are our own, so expressions suffice to read them. Like the templates,
// they are compiled when somebody reads one.
var (
	formAction  = expression(`<form method="post" action="([^"]*)"`)
	hiddenField = expression(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
	pageTitle   = expression(`<h1>([^<]*)</h1>`)
)

func expression(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}

// submit sends the page's form.
func (p *person) submit(page shownPage, fields url.Values) (shownPage, error) {
	for _, field := range hiddenField().FindAllStringSubmatch(page.html, -1) {
		fields.Set(field[1], html.UnescapeString(field[2]))
	}
	action := formAction().FindStringSubmatch(page.html)
	if action == nil {
		return page, page.refusal()
	}
	target, err := page.url.Parse(html.UnescapeString(action[1]))
	if err != nil {
		return page, err
	}
	r, err := http.NewRequestWithContext(p.ctx, http.MethodPost, target.String(), strings.NewReader(fields.Encode()))
	if err != nil {
		return page, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return p.open(r)
}

func (p *person) open(r *http.Request) (shownPage, error) {
	resp, err := p.browser.Do(r)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the URL, which has the state in it
		}
		return shownPage{}, fmt.Errorf("oauthtest: open the page: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return shownPage{}, fmt.Errorf("oauthtest: read the page: %w", err)
	}
	return shownPage{resp.Request.URL, resp.StatusCode, resp.Header.Get("Location"), string(body)}, nil
}

// refusal is the error for a page that leads no further.
func (page shownPage) refusal() error {
	title := "no title"
	if m := pageTitle().FindStringSubmatch(page.html); m != nil {
		title = html.UnescapeString(m[1])
	}
	return fmt.Errorf("oauthtest: the server shows a page that leads no further: %q (HTTP %d)", title, page.status)
}
