// Package page shows the server's web pages, knows the browsers that look at them,
// and signs people in.
package page

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"sync"

	"github.com/evertoken/evertoken/internal/authserver/answer"
	"github.com/evertoken/evertoken/internal/authserver/site"
	"github.com/evertoken/evertoken/internal/authserver/user"
)

//go:embed pages.html style.css
var files embed.FS

// templates parses them when the first page is shown: programs that have a server
// for one of their commands do not pay for it in the others.
var templates = sync.OnceValue(func() *template.Template {
	return template.Must(template.ParseFS(files, "pages.html"))
})

// Pages are the pages of a server. They are safe for concurrent use.
type Pages struct {
	site   site.Site
	secret string // key of the CSRF tokens
	users  *user.Directory

	mu       sync.Mutex        // guards browsers
	browsers map[string]string // user by browser cookie; "" before login
}

// New returns the pages of the server at a site, whose forms are protected by a
// secret.
func New(at site.Site, secret string, users *user.Directory) *Pages {
	return &Pages{site: at, secret: secret, users: users, browsers: make(map[string]string)}
}

// Data is what the templates show. They escape all of it.
type Data struct {
	Title, Problem, Text      string
	Action, Style, CSRF, Next string
	User, Client, UserCode    string
	Scopes                    []string

	Status   int // of the answer; 200 if zero
	Cookie   *http.Cookie
	Redirect *url.URL // where the form may lead
}

// Path returns the path of an endpoint, for forms and links.
func (p *Pages) Path(endpoint string) string { return p.site.Base() + endpoint }

// Show renders a template.
func (p *Pages) Show(name string, d Data) *answer.Answer {
	d.Style = p.Path(site.Style)
	if d.Status == 0 {
		d.Status = http.StatusOK
	}
	var b bytes.Buffer
	if err := templates().ExecuteTemplate(&b, name, d); err != nil {
		return answer.Text(http.StatusInternalServerError, "oauthtest: the page cannot be shown")
	}
	h := http.Header{}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", policy(d.Redirect))
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	if d.Cookie != nil {
		h.Set("Set-Cookie", d.Cookie.String())
	}
	return &answer.Answer{Status: d.Status, Header: h, Body: b.Bytes()}
}

// policy allows nothing but the style sheet and the form. Browsers apply
// form-action to the redirect that answers the form, too, so a consent page has
// to name where it leads.
func policy(redirect *url.URL) string {
	p := "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
	switch {
	case redirect == nil:
	case redirect.Host == "":
		p += " " + redirect.Scheme + ":"
	default:
		p += " " + redirect.Scheme + "://" + redirect.Host
	}
	return p
}

// Message shows a page with nothing to do on it.
func (p *Pages) Message(status int, title, text string) *answer.Answer {
	return p.Show("message", Data{Title: title, Text: text, Status: status})
}

// ServeStyle serves the pages' style sheet.
func (p *Pages) ServeStyle(*http.Request) *answer.Answer {
	css, err := files.ReadFile("style.css")
	if err != nil {
		return answer.Text(http.StatusInternalServerError, "oauthtest: there is no style sheet")
	}
	return &answer.Answer{Status: http.StatusOK, Header: http.Header{"Content-Type": {"text/css; charset=utf-8"}}, Body: css}
}
