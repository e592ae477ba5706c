package login

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/evertoken/evertoken/internal/thishost"
)

// A callback is the handler behind the redirect URL.
type callback struct {
	path  string
	login *Login
	sent  func() // called before a browser is sent to the last page
	shown func() // called when it was shown
}

// lastPath, below the path of the redirect URL, is where the browser ends: without the code
// in its address, which would stay in its history.
const lastPath = "/done"

// ServeHTTP takes the browser's answer to the login and shows how it ended.
func (cb *callback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())
	path := cb.path
	if path == "" {
		path = "/"
	}
	last := strings.TrimSuffix(path, "/") + lastPath
	switch {
	case !isThisHost(r.Host):
		pageElsewhere.write(w)
	case r.URL.Path != path && r.URL.Path != last:
		http.NotFound(w, r)
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	case r.URL.Path == last:
		cb.showLast(w, r)
	default:
		cb.take(w, r, last)
	}
}

// take offers the login what the browser has brought, and sends it on to the last page.
func (cb *callback) take(w http.ResponseWriter, r *http.Request, last string) {
	query := r.URL.Query()
	switch {
	case !isNavigation(r) || !cb.login.answeredBy(query):
		pageForeign.write(w)
	case !query.Has("state"):
		pageUnclear.write(w)
		cb.login.hearUnclear(query.Get("error"))
	case cb.offer(r, query):
		w.Header().Set("Location", last)
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusSeeOther)
	}
}

// offer hands the answer to the login. It says before that the browser will be sent on: the
// login may be over by the time that it has been.
func (cb *callback) offer(r *http.Request, query url.Values) bool {
	cb.sent()
	return cb.login.offer(r.Context(), query)
}

// showLast tells how the login ended, once it has: the page waits for the exchange, so
// that it tells the truth.
func (cb *callback) showLast(w http.ResponseWriter, r *http.Request) {
	if !cb.login.answered.Load() {
		http.NotFound(w, r)
		return
	}
	select {
	case <-cb.login.over:
		outcomePage(cb.login.err).write(w)
		cb.shown()
	case <-r.Context().Done():
	}
}

// isThisHost reports whether a request's Host names this machine. A web site whose name
// leads here (DNS rebinding) could otherwise talk to the login.
func isThisHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return thishost.Is(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
}

// isNavigation reports whether the request may come from a person's browser tab,
// as far as the browser tells. Images and frames of any web site can reach
// loopback ports, and could see by the answer what is waiting there.
func isNavigation(r *http.Request) bool {
	dest := r.Header.Get("Sec-Fetch-Dest")
	return dest == "" || dest == "document"
}

// silentLog keeps net/http from writing about odd connections to stderr.
func silentLog() *log.Logger { return log.New(io.Discard, "", 0) }
