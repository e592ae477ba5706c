package oauthtest

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"sync"
)

//go:embed pages
var pageFiles embed.FS

// pages parses the templates when the first page is shown: programs that have a
// server for one of their commands do not pay for it in the others.
var pages = sync.OnceValue(func() *template.Template {
	return template.Must(template.ParseFS(pageFiles, "pages/pages.html"))
})

// A pageData is what the templates show. They escape all of it.
type pageData struct {
	Title, Problem, Text      string
	Action, Style, CSRF, Next string
	User, Client, UserCode    string
	Scopes                    []string
	status                    int
	cookie                    *http.Cookie
	redirect                  *url.URL // where the form may lead
}

// showPage renders a template.
func (s *Server) showPage(name string, d pageData) *answer {
	d.Style = s.base + string(styleEndpoint)
	setDefault(&d.status, http.StatusOK)
	var b bytes.Buffer
	if err := pages().ExecuteTemplate(&b, name, d); err != nil {
		return textAnswer(http.StatusInternalServerError, "oauthtest: the page cannot be shown")
	}
	h := http.Header{}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", policy(d.redirect))
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	if d.cookie != nil {
		h.Set("Set-Cookie", d.cookie.String())
	}
	return &answer{status: d.status, header: h, body: b.Bytes()}
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

// message shows a page with nothing to do on it.
func (s *Server) message(status int, title, text string) *answer {
	return s.showPage("message", pageData{Title: title, Text: text, status: status})
}

// serveStyle serves the pages' style sheet.
func (s *Server) serveStyle(*http.Request) *answer {
	css, err := pageFiles.ReadFile("pages/style.css")
	if err != nil {
		return textAnswer(http.StatusInternalServerError, "oauthtest: there is no style sheet")
	}
	return &answer{status: http.StatusOK, header: http.Header{"Content-Type": {"text/css; charset=utf-8"}}, body: css}
}

// seeOther sends a browser on with GET. RFC 9700 section 4.12 asks for 303: with
// 307 the password would travel on.
func seeOther(location string) *answer {
	return &answer{status: http.StatusSeeOther, header: http.Header{"Location": {location}, "Cache-Control": {"no-store"}}}
}
