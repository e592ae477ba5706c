// Package person plays the person who signs in: it opens the server's pages with a
// browser of its own, fills in the real forms, and presses their buttons.
package person

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

// The buttons of the consent page.
const (
	Allow = "allow"
	Deny  = "deny"
)

// A Person sits in front of a browser. It is for one use.
type Person struct {
	ctx      context.Context
	user     string
	password func(user string) (password string, known bool)
	browser  *http.Client
}

// New returns the person user, who knows the password. The browser sends by
// transport, and follows redirects as long as they stay at origin.
func New(ctx context.Context, transport http.RoundTripper, origin, user string, password func(string) (string, bool)) *Person {
	jar, _ := cookiejar.New(nil) // never fails
	return &Person{ctx, user, password, &http.Client{Transport: transport, Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if r.URL.Scheme+"://"+r.URL.Host != origin {
			return http.ErrUseLastResponse
		}
		return nil
	}}}
}

// A shownPage is what the browser shows, and where it got it from.
type shownPage struct {
	url      *url.URL
	status   int
	location string
	html     string
}

// Authorize opens authURL, decides, and returns where the browser is sent.
func (p *Person) Authorize(authURL, decision string) (string, error) {
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

// Device enters a user code on the device page, and decides.
func (p *Person) Device(devicePage, userCode, decision string) error {
	page, err := p.signIn(devicePage + "?user_code=" + url.QueryEscape(userCode))
	if err != nil {
		return err
	}
	if page, err = p.decide(page, decision); err == nil && page.status != http.StatusOK {
		err = page.refusal()
	}
	return err
}

// signIn opens a page, and signs in if it asks to.
func (p *Person) signIn(address string) (shownPage, error) {
	r, err := http.NewRequestWithContext(p.ctx, http.MethodGet, address, nil)
	if err != nil {
		return shownPage{}, errors.New("oauthtest: the address to open is malformed")
	}
	page, err := p.open(r)
	if err != nil || !strings.Contains(page.html, `id="login"`) {
		return page, err
	}
	password, known := p.password(p.user)
	if !known {
		return page, fmt.Errorf("oauthtest: there is no user %q; add it to Config.Users", p.user)
	}
	return p.submit(page, url.Values{"username": {p.user}, "password": {password}})
}

// decide presses a button of the consent page.
func (p *Person) decide(page shownPage, decision string) (shownPage, error) {
	if !strings.Contains(page.html, `id="allow"`) {
		return page, page.refusal()
	}
	return p.submit(page, url.Values{"decision": {decision}})
}

// The pages are our own, so expressions suffice to read them. Like the templates,
// they are compiled when the first one is read.
var (
	formAction  = expression(`<form method="post" action="([^"]*)"`)
	hiddenField = expression(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
	pageTitle   = expression(`<h1>([^<]*)</h1>`)
)

func expression(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}

// submit sends the page's form.
func (p *Person) submit(page shownPage, fields url.Values) (shownPage, error) {
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

func (p *Person) open(r *http.Request) (shownPage, error) {
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
