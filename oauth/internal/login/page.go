package login

import (
	"bytes"
	_ "embed"
	"errors"
	"html/template"
	"net/http"
	"sync"

	"github.com/evertoken/evertoken/oauth/internal/wire"
)

//go:embed page.html
var pageHTML string

// pageTemplate parses the page at the first login: most programs that start have
// none.
var pageTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("page").Parse(pageHTML))
})

// A page is what the person sees in the browser when a login returns. Nothing of
// the request gets into it.
type page struct {
	Title  string
	Text   string
	Detail string // our error, escaped by the template; empty if the text says it all
	status int
	Good   bool
}

var pageForeign = page{
	status: http.StatusBadRequest,
	Title:  "Not this login",
	Text:   "This answer does not belong to the login that is waiting. Go back to the page that the program opened, or start the login again.",
}

var pageElsewhere = page{
	status: http.StatusMisdirectedRequest,
	Title:  "Not this address",
	Text:   "A login waits here, and it is not reached by this name.",
}

var pageUnclear = page{
	status: http.StatusBadRequest,
	Title:  "Login not finished",
	Text:   "The browser came back with an error that does not say which login it belongs to. The program goes on waiting; if the server has refused the login, stop it there.",
}

// outcomePage tells how a login ended.
func outcomePage(err error) page {
	switch {
	case err == nil:
		return page{
			status: http.StatusOK, Good: true,
			Title: "You are logged in",
			Text:  "You can close this tab and return to the program.",
		}
	case errors.Is(err, wire.ErrAccessDenied):
		return page{
			status: http.StatusForbidden,
			Title:  "Login refused",
			Text:   "Access was not granted. If that was not intended, start the login again in the program.",
		}
	}
	return page{
		status: http.StatusBadGateway, Detail: err.Error(),
		Title: "Login failed",
		Text:  "The login could not be completed. The program says what can be done about it.",
	}
}

// write sends the page. It loads nothing, runs nothing and sends the browser
// nowhere; the code in its address must reach no other host.
func (p page) write(w http.ResponseWriter) {
	var b bytes.Buffer
	if err := pageTemplate().Execute(&b, p); err != nil {
		http.Error(w, p.Title, p.status)
		return
	}
	protect(w.Header())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(p.status)
	_, _ = w.Write(b.Bytes())
}

// protect sets what every answer has, whatever it is: it runs nothing, is kept nowhere, is
// shown in no frame, and its address reaches no other host.
func protect(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
}
