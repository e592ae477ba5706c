package login

import (
	"io"
	"log"
	"net/http"
)

// A callback is the handler behind the redirect URL.
type callback struct {
	path  string
	login *Login
}

// ServeHTTP takes the browser's answer to the login and shows how it ended.
func (cb *callback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := cb.path
	if path == "" {
		path = "/"
	}
	if r.URL.Path != path {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	query := r.URL.Query()
	if !isNavigation(r) || !cb.login.answeredBy(query) {
		pageForeign.write(w)
		return
	}
	// The page waits for the exchange, so that it tells the truth.
	if cb.login.offer(r.Context(), query) {
		outcomePage(cb.login.err).write(w)
	}
}

// isNavigation reports whether the request may come from a person's browser tab,
// as far as the browser tells. Images and frames of any web site can reach
// loopback ports, and an error without state would end the login.
func isNavigation(r *http.Request) bool {
	dest := r.Header.Get("Sec-Fetch-Dest")
	return dest == "" || dest == "document"
}

// silentLog keeps net/http from writing about odd connections to stderr.
func silentLog() *log.Logger { return log.New(io.Discard, "", 0) }
