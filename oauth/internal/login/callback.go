package login

import (
	"crypto/rand"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/thishost"
)

// A callback is the handler behind the redirect URL.
type callback struct {
	path  string // of the redirect URL
	last  string // where the browser ends, in the same form
	login *Login
	sent  func() // called before a browser is sent to the last page
	shown func() // called when it was shown
}

// newCallback returns the handler of l's redirect URL, which has path. The browser ends below
// that: without the code in its address, which would stay in its history, and at a place that
// only this login's browser is told. The last page is shown once, and any web site and any
// user of the machine can ask for a path that they know.
func newCallback(l *Login, path string) *callback {
	if path == "" {
		path = "/"
	}
	return &callback{path: path, last: strings.TrimSuffix(path, "/") + "/done/" + rand.Text(), login: l}
}

// bodyTime is how long a request's body may take to come. A browser sends it with its head, as
// form_post does, and nothing reads it; but net/http waits for it before it closes the
// connection, lest the answer be lost.
const bodyTime = 100 * time.Millisecond

// ServeHTTP takes the browser's answer to the login and shows how it ended.
func (cb *callback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())
	if r.ContentLength != 0 { // -1 where its length is not told
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
	}
	switch {
	case !isThisHost(r.Host):
		pageElsewhere.write(w)
	case r.URL.Path != cb.path && r.URL.Path != cb.last:
		http.NotFound(w, r)
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	case r.URL.Path == cb.last:
		cb.showLast(w, r)
	default:
		cb.take(w, r)
	}
}

// take offers the login what the browser has brought, and sends it on to the last page.
func (cb *callback) take(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	switch {
	case !isNavigation(r) || !cb.login.answeredBy(query):
		pageForeign.write(w)
	case !query.Has("state"):
		pageUnclear.write(w)
		cb.login.hearUnclear(query.Get("error"))
	case cb.offer(r, query):
		w.Header().Set("Location", cb.last)
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
	if !isNavigation(r) || !cb.login.answered.Load() {
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
